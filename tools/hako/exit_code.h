#pragma once

#include <stdexcept>
#include <string>

namespace hako::cli {

/// What the process ends with; documented in hako(1).
enum class Exit : int {
    kOk = 0,
    kFunctionError = 1,
    kCannotRun = 1,  ///< of `doctor` alone
    kUsage = 2,         ///< bad arguments, or a local file that cannot be used
    kUnreachable = 3,   ///< no engine there, it went away, or it did not answer in time
    kApiError = 4,      ///< the engine answered 4xx
    kServiceError = 5,  ///< the engine answered 5xx
    kThrottled = 6      ///< the engine answered 429
};

/// Ends the command; `main` prints the text on standard error.
class Failure : public std::runtime_error {
public:
    Failure(Exit exit, const std::string& text) : std::runtime_error(text), exit_(exit) {}
    [[nodiscard]] Exit exit() const noexcept { return exit_; }

private:
    Exit exit_;
};

}  // namespace hako::cli
