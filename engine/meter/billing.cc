#include "engine/meter/billing.h"

#include <algorithm>

#include "engine/base/ensure.h"

namespace hako::meter {

std::uint64_t billed_us(
    std::uint64_t duration_us, std::uint64_t init_billed_us, std::uint32_t increment_ms
) noexcept {
    ENSURE(
        increment_ms >= 1 && increment_ms <= kBillingIncrementMsMax,
        "billing increment is checked by config"
    );
    const std::uint64_t increment_us = std::uint64_t{increment_ms} * 1000;
    const std::uint64_t used_us = duration_us + init_billed_us;
    const std::uint64_t increments_count =
        used_us / increment_us + (used_us % increment_us != 0 ? 1 : 0);
    return std::max<std::uint64_t>(increments_count, 1) * increment_us;
}

}  // namespace hako::meter
