#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hako::meter {

inline constexpr std::size_t kIsoBytes = 24;   // 2017-12-14T10:00:00.123Z
inline constexpr std::size_t kDateBytes = 10;  // 2017-12-14

/// Days since 1970-01-01 (UTC) of a wall clock value; what decides which day's file a line is in.
[[nodiscard]] std::int64_t utc_day(std::int64_t wall_us) noexcept;

/// Writes `YYYY<separator>MM<separator>DD`, 10 characters, of a UTC day in the years 0..9999.
void write_date(char* out, std::int64_t day, char separator) noexcept;

/// Days since 1970 of `YYYY-MM-DD`; -1 if it is not a date of 1970 or later.
[[nodiscard]] std::int64_t parse_date(std::string_view text) noexcept;

/// Formats UTC wall clock times as ISO 8601 with milliseconds; the part up to the second is kept,
/// so within one second only three digits are written. One thread.
class IsoClock {
public:
    /// The 24 characters, valid until the next call.
    [[nodiscard]] std::string_view format(std::int64_t wall_us) noexcept;

private:
    std::int64_t second_ = INT64_MIN;
    std::array<char, kIsoBytes> text_ = {};
};

}  // namespace hako::meter
