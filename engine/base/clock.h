#pragma once

#include <cstdint>

namespace hako {

/// CLOCK_MONOTONIC in microseconds: every time and deadline inside the engine.
[[nodiscard]] std::int64_t now_us() noexcept;
/// CLOCK_MONOTONIC in nanoseconds, for measuring.
[[nodiscard]] std::int64_t now_ns() noexcept;
/// Wall clock in microseconds since 1970: only for what people and clients read.
[[nodiscard]] std::int64_t wall_us() noexcept;

/// A deadline that never passes.
inline constexpr std::int64_t kNever = INT64_MAX;

}  // namespace hako
