#pragma once

#include <cstdint>
#include <string_view>

#include "engine/base/result.h"
#include "engine/wire/frame.h"

namespace hako::instance {

/// One synchronous invocation as a front door asks for it. Views stay valid until `payload_taken`
/// or `reply`.
struct InvokeCall {
    std::string_view
        function_name;  ///< any form of FACTS: name, name:qualifier, partial or full ARN
    std::string_view qualifier;
    std::string_view
        payload;  ///< at least 64 readable bytes must follow it (the JSON check reads ahead)
    std::string_view client_context;  ///< decoded JSON, may be empty
    wire::InvocationType invocation_type = wire::InvocationType::kRequestResponse;
    wire::LogType log_type = wire::LogType::kNone;
    std::string_view request_id = {};  ///< a UUID that the caller was told; empty: a new one
    std::string_view trace_id = {};    ///< X-Amzn-Trace-Id; over 127 bytes the function gets none
};

/// How a streamed answer begins. Views are valid only during `on_begin`.
struct StreamHead {
    std::string_view content_type;  ///< printable ASCII, at most 255 bytes; empty: none was given
    std::string_view version;       ///< executed version
    std::string_view request_id;
};

/// What came of it. Views are valid only during `reply`.
struct InvokeReply {
    std::uint32_t status = 200;  ///< HTTP status of Lambda's Invoke
    bool function_error = false;
    std::string_view
        error_code;            ///< API error code if status >= 400; "Unhandled" if function_error
    std::string_view version;  ///< executed version
    std::string_view
        payload;  ///< the function's answer, the function error's JSON, or the API error's JSON
    /// The answer went out through `on_begin` and `on_part`. Then `payload` is empty, or what went
    /// wrong after that: the error's JSON if `function_error` or `status` says so.
    bool streamed = false;
    std::string_view log_tail;  ///< last 4096 bytes of the log if asked for
    wire::InvokeResultMeta
        numbers;  ///< request id, durations, memory; lengths are filled by the writer
};

/// The front door's side of one invocation.
class InvokeObserver {
public:
    InvokeObserver() = default;
    InvokeObserver(const InvokeObserver&) = delete;
    InvokeObserver& operator=(const InvokeObserver&) = delete;
    /// The payload and the client context have been copied: their memory may be reused. At most
    /// once, before `reply`.
    virtual void payload_taken() = 0;
    /// The caller has left: the invocation was cancelled because nobody wants its answer.
    [[nodiscard]] virtual bool is_gone() const = 0;
    /// Exactly once. Must copy what it keeps; must not park.
    virtual void reply(const InvokeReply& reply) = 0;

    /// Whether the answer may come in parts, if the function streams it: then `on_begin` is called
    /// once, `on_part` for each part in order, and `reply` (with `streamed`) when it is over. An
    /// answer that is not streamed comes in `reply` alone, as ever. Asked once, before the function
    /// runs.
    [[nodiscard]] virtual bool wants_stream() const { return false; }
    /// Both run on the fiber of `invoke` and may park while the caller takes its time, which holds
    /// the function up and bounds what is kept for it. An error means that the caller has gone or
    /// does not read any more: the invocation is ended. The part's memory is the engine's own, and
    /// stays as it is until the return.
    [[nodiscard]] virtual Result<void> on_begin(const StreamHead& /*head*/) { return {}; }
    [[nodiscard]] virtual Result<void> on_part(std::string_view /*part*/) { return {}; }

protected:
    ~InvokeObserver() = default;
};

}  // namespace hako::instance
