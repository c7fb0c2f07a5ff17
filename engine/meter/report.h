#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/meter/request_id.h"

// The lines Lambda puts around an invocation's output, to the byte: fields separated by tabs, two
// decimals, nothing that AWS log parsers do not know. Every function formats into the caller's
// buffer, allocates nothing and returns a view of it that ends with a newline.
namespace hako::meter {

inline constexpr std::size_t kLineBytesMax = 512;
inline constexpr std::size_t kErrorTypeBytesMax = 128;  // longer ones are cut
using LineBuffer = std::array<char, kLineBytesMax>;

/// How the REPORT line ends.
enum class ReportStatus : std::uint8_t { kOk, kTimeout, kError };

struct ReportLine {
    RequestId request_id;
    std::uint64_t duration_us = 0;
    std::uint64_t billed_us = 0;
    std::uint32_t memory_mib = 0;
    std::uint64_t memory_peak_bytes = 0;
    bool cold = false;  // writes Init Duration
    std::uint64_t init_us = 0;
    ReportStatus status = ReportStatus::kOk;
    std::string_view error_type;  // kError: `Runtime.ExitError`; control characters become '?'
};

/// `START RequestId: <id> Version: $LATEST`; `version` 0 is $LATEST.
[[nodiscard]] std::string_view format_start(
    LineBuffer& out, const RequestId& id, std::uint32_t version
) noexcept;
/// `END RequestId: <id>`
[[nodiscard]] std::string_view format_end(LineBuffer& out, const RequestId& id) noexcept;
/// The REPORT line. Milliseconds are rounded up at the second decimal, so that a billed duration is
/// always the printed duration rounded up, never more; memory is rounded up to whole MB.
[[nodiscard]] std::string_view format_report(LineBuffer& out, const ReportLine& line) noexcept;
/// `<iso> <id> Task timed out after 3.00 seconds` and an empty line; `iso` is IsoClock's text.
[[nodiscard]] std::string_view format_timeout(
    LineBuffer& out, std::string_view iso, const RequestId& id, std::uint64_t timeout_us
) noexcept;
/// `RequestId: <id> Error: Runtime exited with error: exit status 1` and a line
/// `Runtime.ExitError`. `reason` is the text behind `Error: `.
[[nodiscard]] std::string_view format_exit(
    LineBuffer& out, const RequestId& id, std::string_view reason, std::string_view error_type
) noexcept;

}  // namespace hako::meter
