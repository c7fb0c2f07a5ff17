#pragma once

#include <algorithm>
#include <cstdint>

namespace hako::dispatch {

/// Bounds how fast one function version loses and replaces instances. Making a sandbox and taking
/// it away costs milliseconds of both cores: a function that ended its instance with every call had
/// 475 of them a second, and its neighbours waited 5 ms. A burst passes; beyond it starts come at a
/// steady rate, plus a part of the answers, so that a busy function with the odd crash never waits.
/// Pure: the caller tells the time.
class StartPace {
public:
    static constexpr std::int64_t kLossIntervalUs = 200'000;
    static constexpr std::int64_t kBurst = 20;
    static constexpr std::int64_t kAnswersPerLoss = 10;

    /// An instance in use was lost.
    void lost(std::int64_t now_us) noexcept {
        debt_until_us_ = std::max(debt_until_us_, now_us) + kLossIntervalUs;
    }
    /// An invocation was answered and its instance lives on.
    void answered() noexcept { debt_until_us_ -= kLossIntervalUs / kAnswersPerLoss; }
    /// The next start comes no earlier than this.
    [[nodiscard]] std::int64_t not_before_us() const noexcept {
        return debt_until_us_ - kBurst * kLossIntervalUs;
    }

private:
    std::int64_t debt_until_us_ = 0;
};

}  // namespace hako::dispatch
