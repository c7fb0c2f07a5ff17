#pragma once

#include <cstdint>
#include <expected>
#include <string_view>
#include <utility>

namespace hako {

/// What kind of failure the world gave us. The table in `errc_name` names each; gateways map it to
/// a client error.
enum class Errc : std::uint8_t {
    kSystem,      ///< a system call failed; `Error::sys_errno` says how
    kTimeout,     ///< a deadline passed
    kCancelled,   ///< the waiting fiber was cancelled
    kLimit,       ///< a configured limit was hit
    kNotFound,    ///< no such function, version, sandbox, file
    kExists,      ///< the name is taken
    kInvalid,     ///< the input breaks a rule
    kClosed,      ///< the peer went away
    kProtocol,    ///< the peer sent bytes that break the format
    kUnsupported  ///< the kernel or this build cannot do it
};
inline constexpr std::uint8_t kErrcCount = 10;

/// Stable lower-case name of `code`, for logs and tests.
[[nodiscard]] std::string_view errc_name(Errc code) noexcept;

/// A failure: small, copies freely. `what` is a literal naming the step that failed.
struct Error {
    Errc code = Errc::kSystem;
    int sys_errno = 0;
    const char* what = "";
};

template <typename T>
using Result = std::expected<T, Error>;

/// `Error` for a failed system call. Call it in the statement after the call, before anything can
/// change `errno`.
[[nodiscard]] Error errno_error(const char* what) noexcept;

/// The same from an explicit number (a `-cqe->res`, a child's report).
[[nodiscard]] constexpr Error sys_error(int sys_errno, const char* what) noexcept {
    return Error{.code = Errc::kSystem, .sys_errno = sys_errno, .what = what};
}

[[nodiscard]] inline std::unexpected<Error> fail(Error error) noexcept {
    return std::unexpected<Error>(error);
}
[[nodiscard]] inline std::unexpected<Error> fail(Errc code, const char* what) noexcept {
    return std::unexpected<Error>(Error{.code = code, .sys_errno = 0, .what = what});
}
[[nodiscard]] inline std::unexpected<Error> fail_errno(const char* what) noexcept {
    return std::unexpected<Error>(errno_error(what));
}

}  // namespace hako

#define HAKO_CONCAT2(a, b) a##b
#define HAKO_CONCAT(a, b) HAKO_CONCAT2(a, b)

/// Returns the error of `expr` from the enclosing function, or goes on. The value, if any, is
/// dropped.
#define TRY(expr)                                                       \
    do {                                                                \
        auto&& hako_try_result = (expr);                                \
        if (!hako_try_result) {                                         \
            return std::unexpected(std::move(hako_try_result).error()); \
        }                                                               \
    } while (false)

/// Declares `decl` from the value of `expr`, or returns its error from the enclosing function.
#define TRY_ASSIGN(decl, expr) TRY_ASSIGN_IMPL(HAKO_CONCAT(hako_try_, __LINE__), decl, expr)
#define TRY_ASSIGN_IMPL(name, decl, expr)                \
    auto name = (expr);                                  \
    if (!name) {                                         \
        return std::unexpected(std::move(name).error()); \
    }                                                    \
    decl = std::move(*name)
