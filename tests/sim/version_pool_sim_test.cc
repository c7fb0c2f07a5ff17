#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <list>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/dispatch/version_pool.h"

namespace hako::dispatch {
namespace {

// A seeded world around one pool: invocations arrive, instances start, work, fail and die in random
// order on a fake clock. The model below knows what each instance does; the pool must agree with it
// after every event.
class PoolWorld {
public:
    explicit PoolWorld(std::uint64_t seed)
        : random_(seed),
          limits_{
              .concurrency_max = 1 + static_cast<std::uint32_t>(random_() % 40),
              .provisioned_count = static_cast<std::uint32_t>(random_() % 4),
              .idle_retire_us = 50'000,
              .scale_out_wait_us = static_cast<std::int64_t>(random_() % 3'000),
          },
          pool_(limits_) {}

    void step() {
        now_us_ += static_cast<std::int64_t>(random_() % 700);
        switch (random_() % 8) {
            case 0:
            case 1:
            case 2:
                arrive();
                break;
            case 3:
            case 4:
                finish_one();
                break;
            case 5:
                finish_start(random_() % 10 != 0);
                break;
            case 6:
                random_() % 20 == 0 ? die_somewhere() : finish_one();
                break;
            default:
                random_() % 5 == 0 ? abandon_one() : finish_one();
                break;
        }
        settle();
        check();
    }

    void drain() {
        while (!running_.empty() || !waiting_.empty() || !starting_.empty()) {
            now_us_ += 10'000;
            finish_start(true);
            finish_one();
            settle();
            check();
        }
        now_us_ += limits_.idle_retire_us + 1;
        settle();
        check();
        EXPECT_EQ(pool_.in_flight_count(), 0U);
        EXPECT_EQ(pool_.instance_count(), limits_.provisioned_count)
            << "scales back to the pinned ones";
    }

    std::uint64_t throttled_count = 0;
    std::uint64_t served_count = 0;
    std::uint64_t told_of_failed_start_count = 0;

private:
    struct Running {
        InstanceId instance;
        std::int64_t since_us;
    };

    void arrive() {
        Waiter& waiter = waiting_.emplace_back();
        const std::uint32_t in_flight_before = pool_.in_flight_count();
        switch (pool_.arrive(waiter, now_us_)) {
            case Arrival::kThrottled:
                EXPECT_GE(in_flight_before, limits_.concurrency_max);
                ++throttled_count;
                waiting_.pop_back();
                break;
            case Arrival::kRun:
                ASSERT_FALSE(idle_.empty());
                EXPECT_EQ(waiter.instance, idle_.back()) << "last in, first out";
                idle_.pop_back();
                running_.push_back({waiter.instance, now_us_});
                waiting_.pop_back();
                break;
            case Arrival::kWait:
                EXPECT_TRUE(idle_.empty()) << "waits only if nothing is idle";
                break;
        }
    }

    void given(InstanceId instance, Waiter* waiter) {
        if (waiter == nullptr) {
            EXPECT_TRUE(waiting_.empty()) << "idle while somebody waits";
            idle_.push_back(instance);
            return;
        }
        ASSERT_FALSE(waiting_.empty());
        EXPECT_EQ(waiter, &waiting_.front()) << "first come, first served";
        EXPECT_EQ(waiter->instance, instance);
        waiting_.pop_front();
        running_.push_back({instance, now_us_});
    }

    void finish_one() {
        if (running_.empty()) {
            return;
        }
        const std::size_t index = random_() % running_.size();
        const Running done = running_[index];
        running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
        ++served_count;
        given(
            done.instance,
            pool_.instance_free(done.instance, now_us_, now_us_ - done.since_us, false)
        );
        pool_.leave();
    }

    void finish_start(bool well) {
        if (starting_.empty()) {
            return;
        }
        const InstanceId instance = starting_.front();
        starting_.pop_front();
        if (well) {
            given(instance, pool_.instance_free(instance, now_us_, -1, true));
            return;
        }
        Waiter* waiter = pool_.instance_lost(instance, true, false);
        EXPECT_EQ(waiter == nullptr, waiting_.empty());
        if (waiter != nullptr) {
            EXPECT_EQ(waiter, &waiting_.front());
            waiting_.pop_front();
            ++told_of_failed_start_count;
            pool_.leave();
        }
    }

    void die_somewhere() {
        if (!running_.empty() && random_() % 2 == 0) {
            EXPECT_EQ(pool_.instance_lost(running_.back().instance, false, true), nullptr);
            running_.pop_back();
            pool_.leave();
        } else if (!idle_.empty()) {
            const std::size_t index = random_() % idle_.size();
            EXPECT_EQ(pool_.instance_lost(idle_[index], false, false), nullptr);
            idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(index));
        }
    }

    void abandon_one() {
        if (waiting_.empty()) {
            return;
        }
        auto victim = waiting_.begin();
        std::advance(victim, static_cast<std::ptrdiff_t>(random_() % waiting_.size()));
        pool_.abandon(*victim);
        waiting_.erase(victim);
        pool_.leave();
    }

    // What the instance manager does after every event.
    void settle() {
        for (std::uint32_t count = pool_.take_starts(now_us_); count > 0; --count) {
            starting_.push_back(next_instance_++);
        }
        while (const auto retired = pool_.take_retired(now_us_)) {
            ASSERT_FALSE(idle_.empty());
            EXPECT_EQ(*retired, idle_.front()) << "the coldest goes first";
            idle_.pop_front();
        }
    }

    void check() const {
        EXPECT_EQ(pool_.idle_count(), idle_.size());
        EXPECT_EQ(pool_.busy_count(), running_.size());
        EXPECT_EQ(pool_.starting_count(), starting_.size());
        EXPECT_EQ(pool_.waiting_count(), waiting_.size());
        EXPECT_EQ(pool_.in_flight_count(), running_.size() + waiting_.size());
        EXPECT_LE(pool_.in_flight_count(), limits_.concurrency_max);
        EXPECT_GE(pool_.instance_count(), limits_.provisioned_count);
        EXPECT_LE(
            pool_.starting_count(),
            std::max<std::size_t>(waiting_.size(), 0) + limits_.provisioned_count +
                limits_.concurrency_max
        );
        if (!waiting_.empty()) {
            EXPECT_TRUE(idle_.empty());
            // Nobody waits for ever: a start is under way, or something is busy, and the pool has a
            // time for the next look.
            EXPECT_TRUE(
                pool_.starting_count() > 0 ||
                (pool_.busy_count() > 0 && pool_.next_due_us() < INT64_MAX)
            );
        }
    }

    std::mt19937_64 random_;
    PoolLimits limits_;
    VersionPool pool_;
    std::int64_t now_us_ = 1'000'000;
    InstanceId next_instance_ = 0;
    std::list<Waiter> waiting_;
    std::vector<Running> running_;
    std::deque<InstanceId> starting_;
    std::deque<InstanceId> idle_;
};

std::uint64_t seeds_count() {
    const char* text = std::getenv("HAKO_SIM_SEEDS");
    return text != nullptr ? std::stoull(text) : 300;
}

TEST(VersionPoolSim, InvariantsHoldUnderRandomEvents) {
    std::uint64_t throttled_count = 0;
    std::uint64_t served_count = 0;
    std::uint64_t told_count = 0;
    for (std::uint64_t seed = 1; seed <= seeds_count(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        PoolWorld world(seed);
        for (int event_index = 0; event_index < 2'000 && !::testing::Test::HasFailure();
             ++event_index) {
            world.step();
        }
        world.drain();
        ASSERT_FALSE(::testing::Test::HasFailure()) << "replay with this seed alone";
        throttled_count += world.throttled_count;
        served_count += world.served_count;
        told_count += world.told_of_failed_start_count;
    }
    // The world must have visited what it claims to test.
    EXPECT_GT(throttled_count, 0U);
    EXPECT_GT(served_count, 0U);
    EXPECT_GT(told_count, 0U);
}

}  // namespace
}  // namespace hako::dispatch
