#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "engine/fiber/fiber.h"

namespace hako::fiber {
namespace {

void run_all(Scheduler& scheduler) {
    while (scheduler.has_ready()) {
        (void)scheduler.run_ready(1000);  // until none is left
    }
}

TEST(FiberContext, CatchesInsideTheFiber) {
    const auto scheduler = Scheduler::make();
    std::string caught;
    ASSERT_TRUE(scheduler->spawn("thrower", [&] {
        try {
            throw std::runtime_error("boom");
        } catch (const std::runtime_error& error) {
            caught = error.what();
        }
    }));
    run_all(*scheduler);
    EXPECT_EQ(caught, "boom");
}

// Two fibers handle exceptions at the same time and end their handlers in the order they began
// them: with one shared list of caught exceptions the first `}` would drop the second's exception.
TEST(FiberContext, KeepsExceptionsInFlightApart) {
    const auto scheduler = Scheduler::make();
    std::string log;
    for (const char* name : {"first", "second", "third"}) {
        ASSERT_TRUE(scheduler->spawn("handler", [&log, &scheduler, name] {
            EXPECT_EQ(std::current_exception(), nullptr);
            try {
                throw std::runtime_error(name);
            } catch (const std::exception& error) {
                scheduler->yield();
                try {
                    throw std::logic_error("inner");
                } catch (const std::logic_error&) {
                    scheduler->yield();
                }
                log += error.what();
                try {
                    std::rethrow_exception(std::current_exception());
                } catch (const std::exception& again) {
                    EXPECT_STREQ(again.what(), name);
                }
                scheduler->yield();
            }
            EXPECT_EQ(std::current_exception(), nullptr);
        }));
    }
    run_all(*scheduler);
    EXPECT_EQ(log, "firstsecondthird");
    EXPECT_EQ(std::current_exception(), nullptr);
}

struct YieldsWhenDestroyed {
    Scheduler& scheduler;
    int& uncaught_seen;
    ~YieldsWhenDestroyed() {
        scheduler.yield();  // forbidden by house rule, yet the switch itself must survive it
        uncaught_seen = std::uncaught_exceptions();
    }
};

TEST(FiberContext, UncaughtCountStaysWithItsFiber) {
    const auto scheduler = Scheduler::make();
    int seen_in_unwinding = -1;
    int seen_in_other = -1;
    ASSERT_TRUE(scheduler->spawn("unwinding", [&] {
        try {
            const YieldsWhenDestroyed guard{*scheduler, seen_in_unwinding};
            throw std::runtime_error("unwinds through a switch");
        } catch (const std::runtime_error&) {
            EXPECT_EQ(std::uncaught_exceptions(), 0);
        }
    }));
    ASSERT_TRUE(scheduler->spawn("other", [&] { seen_in_other = std::uncaught_exceptions(); }));
    run_all(*scheduler);
    EXPECT_EQ(seen_in_unwinding, 1);
    EXPECT_EQ(seen_in_other, 0);
}

TEST(FiberContext, FiberRunsWhileTheLoopHandlesAnException) {
    const auto scheduler = Scheduler::make();
    try {
        throw std::runtime_error("loop's own");
    } catch (const std::runtime_error& error) {
        ASSERT_TRUE(scheduler->spawn("inside", [] {
            EXPECT_EQ(std::current_exception(), nullptr);
            EXPECT_THROW(throw std::logic_error("fiber's own"), std::logic_error);
        }));
        run_all(*scheduler);
        EXPECT_STREQ(error.what(), "loop's own");
        EXPECT_NE(std::current_exception(), nullptr);
    }
}

TEST(FiberContext, KeepsLocalsAndCalleeSavedStateAcrossManySwitches) {
    const auto scheduler = Scheduler::make();
    constexpr int kFibers = 50;
    constexpr int kRounds = 200;
    double total = 0;
    for (int index = 0; index < kFibers; ++index) {
        ASSERT_TRUE(scheduler->spawn("adder", [&total, &scheduler, index] {
            double sum = 0;
            for (int round = 0; round < kRounds; ++round) {
                sum += index;
                scheduler->yield();
            }
            total += sum;
        }));
    }
    run_all(*scheduler);
    EXPECT_DOUBLE_EQ(total, kRounds * (kFibers * (kFibers - 1) / 2.0));
}

}  // namespace
}  // namespace hako::fiber
