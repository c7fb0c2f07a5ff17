#pragma once

#include <cstdint>
#include <string_view>

#include <fmt/core.h>

// The engine's own log: one line per event on standard error,
//   2017-12-14T10:00:00.123Z info ledger next segment ready number=3 bytes=8388608
// with `<6>` (sd-daemon(3)) in front under systemd, and a coloured level on a terminal. Never pass
// secrets: payloads, environment values and policies do not belong here.
namespace hako::observe {

enum class Level : std::uint8_t { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

/// Looks at standard error and the environment (JOURNAL_STREAM, INVOCATION_ID, NO_COLOR) once; call
/// it in main. Without it: no prefix, no colour, level info.
void init_engine_log(Level level_min) noexcept;
void set_log_level(Level level_min) noexcept;
[[nodiscard]] bool log_enabled(Level level) noexcept;
/// Writes to `fd` instead of standard error (tests, --log-file); the descriptor is borrowed.
void set_log_fd(int fd, bool journal, bool colour) noexcept;

/// Behind `log_line`: formats into a buffer on the stack (cut at 1 KiB, marked with `...`), escapes
/// control characters so that a line stays one line, and writes it with one write(2).
void vlog_line(Level level, std::string_view area, fmt::string_view format, fmt::format_args args);

/// `log_line(Level::kInfo, "ledger", "next segment ready number={} bytes={}", n, b)`. May block on
/// a standard error that nobody reads.
template <typename... Args>
void log_line(
    Level level, std::string_view area, fmt::format_string<Args...> format, Args&&... args
) {
    if (log_enabled(level)) {
        vlog_line(level, area, format, fmt::make_format_args(args...));
    }
}

}  // namespace hako::observe
