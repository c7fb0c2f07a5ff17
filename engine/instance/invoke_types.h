#pragma once

#include <cstdint>
#include <string_view>

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

protected:
    ~InvokeObserver() = default;
};

}  // namespace hako::instance
