#pragma once

#include <source_location>

namespace hako {

/// Prints the broken invariant with its place on standard error and aborts. Never allocates.
[[noreturn]] void ensure_failed(
    const char* expression,
    const char* text,
    std::source_location where = std::source_location::current()
) noexcept;

}  // namespace hako

/// An invariant of ours, checked in every build.
#define ENSURE(cond, text)                        \
    do {                                          \
        if (!(cond)) [[unlikely]] {               \
            ::hako::ensure_failed(#cond, (text)); \
        }                                         \
    } while (false)

/// The same for checks too dear for the hot path: debug builds only.
#ifdef NDEBUG
#define DCHECK(cond, text) \
    do {                   \
    } while (false)
#else
#define DCHECK(cond, text) ENSURE(cond, text)
#endif
