#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hako::gateway::auth {

/// `20150830T123600Z`: how signatures write a time.
using BasicTime = std::array<char, 16>;

[[nodiscard]] BasicTime to_basic_time(std::int64_t unix_s) noexcept;
[[nodiscard]] inline std::string_view view_of(const BasicTime& time) noexcept {
    return {time.data(), time.size()};
}

/// Seconds since 1970 of `20150830T123600Z`; nothing if it is another form or no such time.
[[nodiscard]] std::optional<std::int64_t> from_basic_time(std::string_view text) noexcept;
/// The same of a Date header's `Mon, 09 Sep 2011 23:36:00 GMT` (the weekday is not checked: AWS's
/// own examples have wrong ones).
[[nodiscard]] std::optional<std::int64_t> from_http_date(std::string_view text) noexcept;

}  // namespace hako::gateway::auth
