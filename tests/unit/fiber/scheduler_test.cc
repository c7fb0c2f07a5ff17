#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/fiber/fiber.h"

namespace hako::fiber {
namespace {

class SchedulerTest : public ::testing::Test {
protected:
    FiberId spawn(std::move_only_function<void()> body) {
        Result<FiberId> id = scheduler_->spawn("test", std::move(body));
        EXPECT_TRUE(id.has_value());
        return id.value_or(FiberId{});
    }
    void run_all() {
        while (scheduler_->has_ready()) {
            (void)scheduler_->run_ready(1000);  // the count is asserted where it matters
        }
    }
    // Every test ends with no fiber alive; the scheduler's destructor ENSUREs it again.
    void TearDown() override { EXPECT_EQ(scheduler_->live_count(), 0U); }

    std::unique_ptr<Scheduler> scheduler_ = Scheduler::make();
};

TEST_F(SchedulerTest, RunsInSpawnOrderFromTheNextRunReady) {
    std::string log;
    spawn([&] { log += 'a'; });
    spawn([&] { log += 'b'; });
    EXPECT_EQ(log, "");
    EXPECT_EQ(scheduler_->run_ready(1), 1U);
    EXPECT_EQ(log, "a");
    EXPECT_EQ(scheduler_->run_ready(10), 1U);
    EXPECT_EQ(log, "ab");
    EXPECT_FALSE(scheduler_->has_ready());
}

TEST_F(SchedulerTest, YieldLetsOthersRun) {
    std::string log;
    for (const char letter : {'a', 'b'}) {
        spawn([&log, letter, this] {
            for (int round = 0; round < 3; ++round) {
                log += letter;
                scheduler_->yield();
            }
        });
    }
    run_all();
    EXPECT_EQ(log, "ababab");
}

TEST_F(SchedulerTest, RunReadyStopsAtItsCount) {
    int rounds = 0;
    const FiberId id = spawn([&] {
        while (!scheduler_->is_cancelled()) {
            ++rounds;
            scheduler_->yield();
        }
    });
    EXPECT_EQ(scheduler_->run_ready(256), 256U);
    EXPECT_EQ(rounds, 256);
    scheduler_->cancel(id);
    run_all();
}

TEST_F(SchedulerTest, UnparkEndsThePresentPark) {
    Wake wake = Wake::kCancelled;
    const FiberId id = spawn([&] { wake = scheduler_->park(); });
    run_all();
    EXPECT_EQ(scheduler_->live_count(), 1U);
    scheduler_->unpark(id);
    scheduler_->unpark(id);
    run_all();
    EXPECT_EQ(wake, Wake::kNotified);
}

TEST_F(SchedulerTest, KeepsOneWakeThatCameWhileRunning) {
    int wakes = 0;
    const FiberId id = spawn([&] {
        scheduler_->unpark(scheduler_->self());
        scheduler_->unpark(scheduler_->self());
        for (; wakes < 2; ++wakes) {
            EXPECT_EQ(scheduler_->park(), Wake::kNotified);
        }
    });
    run_all();
    EXPECT_EQ(wakes, 1);  // kept, not counted
    scheduler_->unpark(id);
    run_all();
    EXPECT_EQ(wakes, 2);
}

TEST_F(SchedulerTest, TwoUnparksOfAParkedFiberAreOne) {
    int wakes = 0;
    const FiberId id = spawn([&] {
        for (; wakes < 2; ++wakes) {
            (void)scheduler_->park();  // counted
        }
    });
    run_all();
    scheduler_->unpark(id);
    scheduler_->unpark(id);
    run_all();
    EXPECT_EQ(wakes, 1);
    scheduler_->unpark(id);
    run_all();
}

TEST_F(SchedulerTest, WakeBeforeFirstRunAndDuringYieldIsKept) {
    const FiberId early = spawn([&] { EXPECT_EQ(scheduler_->park(), Wake::kNotified); });
    scheduler_->unpark(early);
    run_all();
    EXPECT_EQ(scheduler_->live_count(), 0U);
    const FiberId yielding = spawn([&] {
        scheduler_->yield();
        EXPECT_EQ(scheduler_->park(), Wake::kNotified);
    });
    EXPECT_EQ(scheduler_->run_ready(1), 1U);
    scheduler_->unpark(yielding);
    run_all();
}

TEST_F(SchedulerTest, ParkOpKeepsForeignWakesForTheNextPark) {
    bool op_done = false;
    const FiberId id = spawn([&] {
        EXPECT_EQ(scheduler_->park_op(true), Wake::kNotified);
        EXPECT_TRUE(op_done);
        EXPECT_EQ(scheduler_->park(), Wake::kNotified);
    });
    run_all();
    scheduler_->unpark(id);  // must neither end the op's wait nor be lost
    EXPECT_FALSE(scheduler_->has_ready());
    op_done = true;
    EXPECT_TRUE(scheduler_->unpark_op(id));
    EXPECT_FALSE(scheduler_->unpark_op(id));
    run_all();
}

TEST_F(SchedulerTest, NotificationBehindAnOpWakeIsKept) {
    const FiberId id = spawn([&] {
        EXPECT_EQ(scheduler_->park(), Wake::kNotified);  // the timer's
        EXPECT_EQ(scheduler_->park(), Wake::kNotified);  // the notification
    });
    run_all();
    EXPECT_TRUE(scheduler_->unpark_op(id));
    scheduler_->unpark(id);
    run_all();
}

TEST_F(SchedulerTest, CancelEndsPresentAndLaterParks) {
    std::vector<Wake> wakes;
    const FiberId id = spawn([&] {
        wakes.push_back(scheduler_->park());
        EXPECT_TRUE(scheduler_->is_cancelled());
        wakes.push_back(scheduler_->park());
        wakes.push_back(scheduler_->park_op());
    });
    run_all();
    scheduler_->cancel(id);
    run_all();
    EXPECT_EQ(wakes, (std::vector<Wake>{Wake::kCancelled, Wake::kCancelled, Wake::kCancelled}));
}

TEST_F(SchedulerTest, CancelBeforeFirstRunStillRunsTheBody) {
    bool ran = false;
    const FiberId id = spawn([&] {
        ran = true;
        EXPECT_EQ(scheduler_->park(), Wake::kCancelled);
    });
    scheduler_->cancel(id);
    run_all();
    EXPECT_TRUE(ran);
}

TEST_F(SchedulerTest, ShieldedParkOutlastsCancel) {
    const FiberId id = spawn([&] {
        EXPECT_EQ(scheduler_->park(true), Wake::kNotified);
        EXPECT_TRUE(scheduler_->is_cancelled());
        EXPECT_EQ(scheduler_->park(), Wake::kCancelled);
    });
    run_all();
    scheduler_->cancel(id);
    EXPECT_FALSE(scheduler_->has_ready());
    EXPECT_EQ(scheduler_->live_count(), 1U);
    scheduler_->unpark(id);
    run_all();
}

TEST_F(SchedulerTest, CancelAllReachesEveryFiber) {
    int ended = 0;
    for (int index = 0; index < 500; ++index) {
        spawn([&] {
            EXPECT_EQ(scheduler_->park(), Wake::kCancelled);
            ++ended;
        });
    }
    run_all();
    scheduler_->cancel_all();
    run_all();
    EXPECT_EQ(ended, 500);
}

TEST_F(SchedulerTest, StaleIdsTouchNobody) {
    const FiberId old_id = spawn([] {});
    run_all();
    bool woken = false;
    const FiberId new_id = spawn([&] { woken = scheduler_->park() == Wake::kNotified; });
    run_all();
    EXPECT_EQ(new_id.slot_index, old_id.slot_index);
    EXPECT_NE(new_id, old_id);
    scheduler_->unpark(old_id);
    scheduler_->cancel(old_id);
    EXPECT_FALSE(scheduler_->unpark_op(old_id));
    scheduler_->unpark(FiberId{});
    scheduler_->unpark(FiberId{.slot_index = 999, .generation = 1});
    EXPECT_FALSE(scheduler_->has_ready());
    scheduler_->unpark(new_id);
    run_all();
    EXPECT_TRUE(woken);
}

TEST_F(SchedulerTest, JoinWaitsForTheEndAndReturnsAtOnceAfter) {
    std::string log;
    const FiberId worker = spawn([&] {
        (void)scheduler_->park();  // until the test says so
        log += 'w';
    });
    const FiberId first = spawn([&] {
        scheduler_->join(worker);
        log += '1';
        scheduler_->join(worker);
        log += '1';
    });
    const FiberId second = spawn([&] {
        scheduler_->join(worker);
        log += '2';
        EXPECT_EQ(scheduler_->park(), Wake::kNotified);  // the wake kept during the join
    });
    run_all();
    scheduler_->cancel(first);
    scheduler_->unpark(second);
    EXPECT_FALSE(scheduler_->has_ready()) << "neither ends a join";
    scheduler_->unpark(worker);
    run_all();
    EXPECT_EQ(log.substr(0, 1), "w");
    EXPECT_EQ(log.size(), 4U);
}

TEST_F(SchedulerTest, BodyDiesWithItsCapturesBeforeTheSlotIsUsedAgain) {
    auto shared = std::make_shared<int>(7);
    spawn([shared, this] { scheduler_->yield(); });
    EXPECT_EQ(shared.use_count(), 2);
    run_all();
    EXPECT_EQ(shared.use_count(), 1);
}

TEST_F(SchedulerTest, LimitLeavesTheBodyUntouched) {
    scheduler_ = Scheduler::make({.fibers_max = 2});
    spawn([] {});
    spawn([] {});
    std::move_only_function<void()> body = [] {};
    const Result<FiberId> third = scheduler_->spawn("third", std::move(body));
    ASSERT_FALSE(third.has_value());
    EXPECT_EQ(third.error().code, Errc::kLimit);
    EXPECT_TRUE(body != nullptr);
    run_all();
    EXPECT_TRUE(scheduler_->spawn("third", std::move(body)).has_value());
    run_all();
}

using SchedulerDeathTest = SchedulerTest;

TEST_F(SchedulerDeathTest, ParkInsideNoParkDies) {
    EXPECT_DEATH(
        {
            spawn([this] {
                const NoPark scope(*scheduler_);
                (void)scheduler_->park();  // dies here
            });
            run_all();
        },
        "parked inside a NoPark scope"
    );
    spawn([this] {
        {
            const NoPark scope(*scheduler_);
        }
        scheduler_->unpark(scheduler_->self());
        EXPECT_EQ(scheduler_->park(), Wake::kNotified);  // a closed scope forbids nothing
    });
    run_all();
}

TEST_F(SchedulerDeathTest, ParkOutsideAFiberDies) {
    EXPECT_DEATH((void)scheduler_->park(), "called outside a fiber");
    EXPECT_DEATH((void)scheduler_->self(), "called outside a fiber");
}

TEST_F(SchedulerDeathTest, DestructionWithLiveFibersDies) {
    EXPECT_DEATH(
        {
            spawn([] {});
            scheduler_.reset();
        },
        "the scheduler died before its fibers ended"
    );
}

TEST_F(SchedulerDeathTest, EscapedExceptionNamesTheFiber) {
    EXPECT_DEATH(
        {
            (void)scheduler_->spawn("thrower", [] { throw std::runtime_error("lost"); });
            run_all();
        },
        "exception left fiber 'thrower': lost"
    );
}

}  // namespace
}  // namespace hako::fiber
