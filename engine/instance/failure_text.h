#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/wire/spawner_protocol.h"

namespace hako::instance {

/// A failure as Lambda shows it: the error type, the sentence of the log line (without `RequestId:
/// ... Error: `), and the JSON for the caller.
struct FailureText {
    std::string error_type;
    std::string sentence;
    std::string payload;
};

/// `Sandbox.Timedout`; seconds with two decimals, as in AWS's text.
[[nodiscard]] FailureText timeout_text(std::string_view request_id, std::int64_t timeout_us);
/// `Runtime.ExitError` or, if the kernel killed for memory, `Runtime.OutOfMemory`; from a
/// waitpid(2) status.
[[nodiscard]] FailureText exit_text(std::string_view request_id, const spawner::Gone& gone);
/// `Function.ResponseSizeTooLarge`, AWS's sentence.
[[nodiscard]] FailureText response_too_large_text();
/// The same for a streamed answer, which has a limit of its own.
[[nodiscard]] FailureText stream_too_large_text(std::uint64_t bytes_max);
/// `Runtime.InvalidResponse`-like: the worker broke the channel protocol. hako's own; AWS has no
/// shared memory.
[[nodiscard]] FailureText protocol_text(std::string_view request_id);
/// The sandbox could not be made or set up; a service error, with the step that failed.
[[nodiscard]] FailureText sandbox_text(
    std::string_view request_id, std::string_view step, int sys_errno
);

/// Name of a signal as AWS's runtime supervisor prints it ("killed", "segmentation fault"); "signal
/// 34" for unnamed ones.
[[nodiscard]] std::string signal_text(int signal_number);

/// JSON string literal of `text` with its quotes.
[[nodiscard]] std::string json_quoted(std::string_view text);

/// Value of the string member `key` at the top level of a runtime's error JSON, cut to 256 bytes;
/// empty if it is not there or the payload is not JSON. For logs only: the payload itself goes to
/// the caller untouched.
[[nodiscard]] std::string error_member(std::string_view payload, std::string_view key);

}  // namespace hako::instance
