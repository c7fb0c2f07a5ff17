#include "engine/dispatch/start_pace.h"

#include <gtest/gtest.h>

namespace hako::dispatch {
namespace {

constexpr std::int64_t kNowUs = 1'000'000'000;

TEST(StartPace, NothingLostNothingWaits) {
    EXPECT_LE(StartPace().not_before_us(), kNowUs);
}

TEST(StartPace, ABurstPassesAndTheNextWaits) {
    StartPace pace;
    for (int i = 0; i < StartPace::kBurst; ++i) {
        pace.lost(kNowUs);
        EXPECT_LE(pace.not_before_us(), kNowUs);
    }
    pace.lost(kNowUs);
    EXPECT_EQ(pace.not_before_us(), kNowUs + StartPace::kLossIntervalUs);
}

TEST(StartPace, SteadyLossesComeAtTheRate) {
    StartPace pace;
    std::int64_t now_us = kNowUs;
    int lost_count = 0;
    while (now_us < kNowUs + 10'000'000) {
        pace.lost(now_us);
        ++lost_count;
        now_us = std::max(now_us + 1'000, pace.not_before_us());
    }
    EXPECT_NEAR(lost_count, StartPace::kBurst + 10'000'000 / StartPace::kLossIntervalUs, 2);
}

TEST(StartPace, ABusyFunctionWithTheOddCrashNeverWaits) {
    StartPace pace;
    for (std::int64_t now_us = kNowUs; now_us < kNowUs + 10'000'000; now_us += 1'000) {
        pace.answered();
        if (now_us % 20'000 == 0) {  // one in twenty
            pace.lost(now_us);
        }
        EXPECT_LE(pace.not_before_us(), now_us);
    }
}

TEST(StartPace, AnswersOfThePastAreNoCredit) {
    StartPace pace;
    for (int i = 0; i < 1'000'000; ++i) {
        pace.answered();
    }
    for (int i = 0; i <= StartPace::kBurst; ++i) {
        pace.lost(kNowUs);
    }
    EXPECT_GT(pace.not_before_us(), kNowUs);
}

}  // namespace
}  // namespace hako::dispatch
