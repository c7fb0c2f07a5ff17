#pragma once

#include <cstdint>

namespace hako::meter {

inline constexpr std::uint32_t kBillingIncrementMsDefault = 100;
inline constexpr std::uint32_t kBillingIncrementMsMax = 60'000;

/// What an invocation of `duration_us` is billed, in microseconds: duration plus billed init time,
/// rounded up to the increment, at least one increment. `init_billed_us` is 0 under the 2017 rule
/// (init time is free) and the init duration where a cold start is charged. `increment_ms` is
/// 1..kBillingIncrementMsMax. Source: AWS Lambda pricing, "rounded up to the nearest 100ms" (2017).
[[nodiscard]] std::uint64_t billed_us(
    std::uint64_t duration_us, std::uint64_t init_billed_us, std::uint32_t increment_ms
) noexcept;

}  // namespace hako::meter
