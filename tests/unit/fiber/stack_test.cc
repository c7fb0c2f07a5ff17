#include <cstdint>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/fiber/fiber.h"
#include "engine/fiber/sanitizers.h"
#include "engine/fiber/stack_pool.h"

namespace hako::fiber {
namespace {

// TSan maps memory of its own for each fiber and keeps it; it also makes each spawn 0.7 ms.
constexpr bool kCountsMappings = !HAKO_TSAN;
constexpr int kSpawns = HAKO_TSAN ? 2'000 : 100'000;

std::size_t mapping_count() {
    if (!kCountsMappings) {
        return 0;
    }
    std::ifstream maps("/proc/self/maps");
    std::size_t lines = 0;
    for (std::string line; std::getline(maps, line);) {
        ++lines;
    }
    return lines;
}

std::string permissions_of(const void* address) {
    std::ifstream maps("/proc/self/maps");
    const auto wanted = reinterpret_cast<std::uintptr_t>(address);
    for (std::string line; std::getline(maps, line);) {
        const std::size_t dash = line.find('-');
        const std::size_t space = line.find(' ');
        const auto begin = std::stoull(line.substr(0, dash), nullptr, 16);
        const auto end = std::stoull(line.substr(dash + 1, space - dash - 1), nullptr, 16);
        if (wanted >= begin && wanted < end) {
            return line.substr(space + 1, 4);
        }
    }
    return "none";
}

TEST(StackPool, OpensAllButTheGuard) {
    StackPool pool(64 * 1024, 4);
    const Result<Stack> stack = pool.take();
    ASSERT_TRUE(stack.has_value());
    EXPECT_EQ(stack->bytes, 64U * 1024U);
    EXPECT_EQ(permissions_of(stack->base - 1), "---p");
    EXPECT_EQ(permissions_of(stack->base - guard_bytes()), "---p");
    EXPECT_EQ(permissions_of(stack->base), "rw-p");
    EXPECT_EQ(permissions_of(stack->top() - 1), "rw-p");
    std::memset(stack->base, 0x5a, stack->bytes);
    pool.give_back(*stack);
}

TEST(StackPool, ReusesLastInFirstOutAndUnmapsBeyondItsKeep) {
    StackPool pool(64 * 1024, 2);
    std::vector<Stack> taken;
    for (int index = 0; index < 3; ++index) {
        taken.push_back(pool.take().value());
    }
    pool.give_back(taken[0]);
    pool.give_back(taken[1]);
    pool.give_back(taken[2]);  // one too many
    EXPECT_EQ(pool.idle_count(), 2U);
    EXPECT_NE(permissions_of(taken[1].base), "none");
    EXPECT_EQ(pool.take().value().base, taken[1].base);
    EXPECT_EQ(pool.take().value().base, taken[0].base);
    pool.give_back(taken[0]);
    pool.give_back(taken[1]);
}

TEST(StackPool, RoundsUpToWholePages) {
    StackPool pool(9000, 1);
    const Stack stack = pool.take().value();
    EXPECT_EQ(stack.bytes % guard_bytes(), 0U);
    EXPECT_GE(stack.bytes, 9000U);
    pool.give_back(stack);
}

TEST(FiberStacks, AHundredThousandSpawnsReuseStacks) {
    const auto scheduler = Scheduler::make();
    std::set<const void*> places;
    const auto spawn_and_run = [&] {
        ASSERT_TRUE(scheduler->spawn("brief", [&places] {
            const volatile char mark = 0;
            places.insert(const_cast<const char*>(&mark));
        }));
        EXPECT_EQ(scheduler->run_ready(1), 1U);
    };
    spawn_and_run();
    const std::size_t mappings_before = mapping_count();
    for (int index = 0; index < kSpawns; ++index) {
        spawn_and_run();
    }
    EXPECT_EQ(places.size(), 1U);
    EXPECT_LE(mapping_count(), mappings_before + 4) << "the heap may grow, stacks may not";
    EXPECT_EQ(scheduler->live_count(), 0U);
}

TEST(FiberStacks, ManyAtOnceAreGivenBack) {
    const std::size_t mappings_before = mapping_count();
    {
        const auto scheduler = Scheduler::make({.fibers_max = 2000, .stacks_kept_max = 16});
        for (int index = 0; index < 2000; ++index) {
            ASSERT_TRUE(scheduler->spawn("parked", [&] {
                (void)scheduler->park();  // until cancelled
            }));
        }
        EXPECT_EQ(scheduler->run_ready(5000), 2000U);
        EXPECT_FALSE(scheduler->spawn("one more", [] {}).has_value());
        scheduler->cancel_all();
        EXPECT_EQ(scheduler->run_ready(5000), 2000U);
        EXPECT_EQ(scheduler->live_count(), 0U);
    }
    EXPECT_LE(mapping_count(), mappings_before + 16) << "4000 mappings had been made";
}

[[gnu::noinline]] int recurse(int depth) {  // NOLINT(misc-no-recursion): overflowing is the point
    volatile char frame[512];
    frame[depth % 512] = static_cast<char>(depth);
    return depth <= 0 ? frame[0] : recurse(depth - 1) + frame[depth % 512];
}

[[gnu::noinline]] int take_big_frame() {
    volatile char frame[300 * 1024];  // far over the guard page, were it not probed page by page
    frame[0] = 1;
    return frame[0];
}

TEST(FiberStackDeathTest, OverflowPrintsTheFibersName) {
    const auto overflow = [] {
        const auto scheduler = Scheduler::make();
        (void)scheduler->spawn("deep-one", [] { (void)recurse(1'000'000); });
        (void)scheduler->run_ready(1);  // dies in here
    };
    EXPECT_DEATH(overflow(), "stack overflow in fiber 'deep-one'");
}

TEST(FiberStackDeathTest, BigFrameCannotStepOverTheGuard) {
    if (kStackFactor != 1) {
        GTEST_SKIP() << "sanitizer builds have stacks of 256 KiB and no stack probes of this shape";
    }
    const auto overflow = [] {
        const auto scheduler = Scheduler::make();
        (void)scheduler->spawn("big-frame", [] { (void)take_big_frame(); });
        (void)scheduler->run_ready(1);  // dies in here
    };
    EXPECT_DEATH(overflow(), "stack overflow in fiber 'big-frame'");
}

TEST(FiberStackDeathTest, OtherFaultsAreNotBlamedOnTheStack) {
    const auto fault = [] {
        const auto scheduler = Scheduler::make();
        (void)scheduler->spawn("null-writer", [] {
            volatile int* volatile nowhere = nullptr;
            *nowhere = 1;
        });
        (void)scheduler->run_ready(1);  // dies in here
    };
#if HAKO_ASAN || HAKO_TSAN
    EXPECT_DEATH(fault(), "");  // by a report instead of a signal
#else
    EXPECT_EXIT(fault(), ::testing::KilledBySignal(SIGSEGV), "^$");
#endif
}

}  // namespace
}  // namespace hako::fiber
