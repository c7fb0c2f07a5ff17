#include <array>

#include <gtest/gtest.h>

#include "engine/dispatch/version_pool.h"

namespace hako::dispatch {
namespace {

constexpr PoolLimits kLimits{
    .concurrency_max = 3,
    .provisioned_count = 0,
    .idle_retire_us = 1'000'000,
    .scale_out_wait_us = 1'000
};

// Brings `count` instances (numbers 0..count-1) to idle, each having been busy for `busy_us`.
void warm_up(VersionPool& pool, std::uint32_t count, std::int64_t busy_us) {
    std::array<Waiter, 8> waiters{};
    for (std::uint32_t i = 0; i < count; ++i) {
        ASSERT_EQ(pool.arrive(waiters[i], 0), Arrival::kWait);
    }
    ASSERT_EQ(pool.take_starts(0), count);
    for (InstanceId i = 0; i < count; ++i) {
        ASSERT_NE(pool.instance_free(i, 0, -1, true), nullptr);
    }
    for (InstanceId i = 0; i < count; ++i) {
        ASSERT_EQ(pool.instance_free(i, i, busy_us, false), nullptr);
        pool.leave();
    }
}

TEST(VersionPool, ReusesTheLastUsedInstanceFirst) {
    VersionPool pool(kLimits);
    warm_up(pool, 3, 10);
    Waiter waiter;
    EXPECT_EQ(pool.arrive(waiter, 5), Arrival::kRun);
    EXPECT_EQ(waiter.instance, 2U);
}

TEST(VersionPool, ThrottlesAtTheConcurrencyLimit) {
    VersionPool pool(kLimits);
    std::array<Waiter, 4> waiters{};
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(pool.arrive(waiters[i], 0), Arrival::kWait);
    }
    EXPECT_EQ(pool.arrive(waiters[3], 0), Arrival::kThrottled);
    EXPECT_EQ(pool.in_flight_count(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
        pool.abandon(waiters[i]);
        pool.leave();
    }
}

TEST(VersionPool, ShortWorkIsQueuedRatherThanScaledOut) {
    VersionPool pool(kLimits);
    warm_up(pool, 1, 20);
    Waiter first;
    Waiter second;
    ASSERT_EQ(pool.arrive(first, 100), Arrival::kRun);
    ASSERT_EQ(pool.arrive(second, 100), Arrival::kWait);
    EXPECT_EQ(pool.take_starts(100), 0U) << "20 us of waiting beats a cold start";
    EXPECT_EQ(pool.next_due_us(), 1'100);
    EXPECT_EQ(pool.take_starts(1'100), 1U) << "but not for ever";
    EXPECT_EQ(pool.take_starts(1'101), 0U) << "one instance answers one waiter";
    EXPECT_EQ(pool.instance_free(0, 1'200, 20, false), &second);
}

TEST(VersionPool, LongWorkScalesOutAtOnce) {
    VersionPool pool(kLimits);
    warm_up(pool, 1, 50'000);
    Waiter first;
    Waiter second;
    ASSERT_EQ(pool.arrive(first, 100), Arrival::kRun);
    ASSERT_EQ(pool.arrive(second, 100), Arrival::kWait);
    EXPECT_EQ(pool.take_starts(100), 1U);
    pool.abandon(second);
}

TEST(VersionPool, RetiresTheColdestAndKeepsProvisioned) {
    PoolLimits limits = kLimits;
    limits.provisioned_count = 1;
    VersionPool pool(limits);
    warm_up(pool, 3, 10);
    EXPECT_FALSE(pool.take_retired(999'999).has_value());
    EXPECT_EQ(pool.next_due_us(), 1'000'000);
    EXPECT_EQ(pool.take_retired(1'000'002), 0U);
    EXPECT_EQ(pool.take_retired(1'000'002), 1U);
    EXPECT_FALSE(pool.take_retired(9'000'000).has_value()) << "one is provisioned";
    EXPECT_EQ(pool.next_due_us(), INT64_MAX);
}

TEST(VersionPool, ProvisionedAreStartedAheadAndReplaced) {
    PoolLimits limits = kLimits;
    limits.provisioned_count = 2;
    VersionPool pool(limits);
    EXPECT_EQ(pool.take_starts(0), 2U);
    EXPECT_EQ(pool.take_starts(0), 0U);
    EXPECT_EQ(pool.instance_free(0, 0, -1, true), nullptr);
    EXPECT_EQ(pool.instance_lost(0, false, false), nullptr);
    EXPECT_EQ(pool.take_starts(0), 1U);
}

TEST(VersionPool, FailedStartIsToldToTheOldestWaiterOnly) {
    VersionPool pool(kLimits);
    Waiter first;
    Waiter second;
    ASSERT_EQ(pool.arrive(first, 0), Arrival::kWait);
    ASSERT_EQ(pool.arrive(second, 1), Arrival::kWait);
    ASSERT_EQ(pool.take_starts(1), 2U);
    EXPECT_EQ(pool.instance_lost(0, true, false), &first);
    EXPECT_FALSE(first.queued);
    EXPECT_TRUE(second.queued);
    EXPECT_EQ(pool.take_starts(2), 0U) << "the other start is still under way";
    pool.abandon(second);
}

}  // namespace
}  // namespace hako::dispatch
