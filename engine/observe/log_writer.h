#pragma once

#include <cstdint>
#include <string_view>

#include "engine/base/result.h"

// The file side of function logs: what runs on the offload thread. Only function_logs.cc uses it.
namespace hako::observe {

struct LogPlace {
    int directory_fd = -1;  // STATE/log
    std::string_view function;
    std::int64_t day = 0;
    std::uint64_t file_bytes_max = 0;
    std::uint32_t rotations_max = 0;
};

struct LogWritten {
    std::size_t text_bytes = 0;  // of the text; less than all of it if `failed`
    bool marker_written = false;
    bool failed = false;
    Error error;
};

/// Appends `[hako: N bytes of log dropped]` if `dropped_bytes`, then `text`, to the day's file,
/// which is rotated before if it would grow over its limit. If an earlier write broke off within a
/// line, that line is completed first.
[[nodiscard]] LogWritten write_log(
    const LogPlace& place, std::uint64_t dropped_bytes, std::string_view text
);

/// Deletes the log files of `function` from before `day_first`. Errors: kSystem.
[[nodiscard]] Result<std::uint32_t> remove_logs_before(
    int directory_fd, const char* function, std::int64_t day_first
);

}  // namespace hako::observe
