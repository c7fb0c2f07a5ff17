#include <array>
#include <string>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/ring/loop_fixture.h"

namespace hako::ring {
namespace {

class LoopTurnTest : public LoopTest {};
HAKO_ON_BOTH_KERNELS(LoopTurnTest);

TEST_P(LoopTurnTest, PlainKernelUsesNoNewFeature) {
    const RingFeatures& features = loop_->features();
    if (GetParam() == Kernel::kPlain) {
        EXPECT_FALSE(features.defer_taskrun || features.multishot_accept);
        EXPECT_FALSE(features.multishot_poll || features.futex_wake || features.registered_ring_fd);
    } else {
        RecordProperty("defer_taskrun", features.defer_taskrun);
        RecordProperty("futex_wake", features.futex_wake);
        EXPECT_TRUE(features.multishot_poll) << "5.13; the oldest kernel we name is 6.1";
        EXPECT_TRUE(features.multishot_accept) << "5.19";
        EXPECT_TRUE(features.defer_taskrun) << "6.1";
    }
}

// The engine costs nothing while nothing happens.
TEST_P(LoopTurnTest, IdleLoopMakesNoEnters) {
    const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    Watch watch;
    watch.on_events = [](Watch&, std::uint32_t) { FAIL(); };
    bool is_closed = false;
    watch.owner = &is_closed;
    watch.on_closed = [](Watch& own, std::uint32_t) { *static_cast<bool*>(own.owner) = true; };
    loop_->watch(watch, event.get(), POLLIN);
    const SocketPair pair;
    const fiber::FiberId waiting = spawn([&] {
        std::array<std::byte, 8> buffer{};
        EXPECT_FALSE(loop_->recv(pair.far.get(), buffer, kNever).has_value());
    });
    loop_->turn(1);
    loop_->turn(1);
    Timer timer;
    timer.owner = loop_.get();
    timer.on_due = [](Timer& own) { static_cast<Loop*>(own.owner)->stop_now(); };
    const std::int64_t due_us = now_us() + 300'000;
    loop_->arm(timer, due_us);
    const Loop::Counters before = loop_->counters();
    loop_->run();
    EXPECT_GE(now_us(), due_us);
    EXPECT_EQ(loop_->counters().enters - before.enters, 1U) << "the one that slept 300 ms";
    EXPECT_EQ(loop_->counters().completions, before.completions);
    loop_->unwatch(watch);
    loop_->scheduler().cancel(waiting);
    EXPECT_TRUE(turn_until([&] { return is_closed; }));
    run();
}

TEST_P(LoopTurnTest, EchoOfManyFibersSharesEnters) {
    constexpr int kPairs = 50;
    constexpr int kRounds = 20;
    std::vector<SocketPair> pairs(kPairs);
    for (const SocketPair& pair : pairs) {
        spawn([&] {
            std::array<std::byte, 8> buffer{};
            for (int round = 0; round < kRounds; ++round) {
                ASSERT_TRUE(loop_->send_all(pair.near.get(), bytes_of("ping"), kNever));
                ASSERT_EQ(loop_->recv(pair.near.get(), buffer, kNever).value_or(0), 4U);
            }
        });
        spawn([&] {
            std::array<std::byte, 8> buffer{};
            for (int round = 0; round < kRounds; ++round) {
                ASSERT_EQ(loop_->recv(pair.far.get(), buffer, kNever).value_or(0), 4U);
                ASSERT_TRUE(loop_->send_all(pair.far.get(), bytes_of("pong"), kNever));
            }
        });
    }
    run();
    EXPECT_EQ(loop_->counters().sqes, 4U * kPairs * kRounds);
    EXPECT_LT(loop_->counters().enters, 10U * kRounds) << "4000 operations";
}

TEST_P(LoopTurnTest, MoreOpsThanTheSubmissionQueueHolds) {
    open_loop({.sq_entries = 8, .cq_entries = 16});
    const UniqueFd file(::memfd_create("many", MFD_CLOEXEC));
    int done = 0;
    for (int index = 0; index < 1000; ++index) {
        spawn([&, index] {
            const std::array<std::byte, 1> letter{static_cast<std::byte>(index)};
            const auto offset = static_cast<std::uint64_t>(index);
            ASSERT_EQ(loop_->write(file.get(), letter, offset, kNever).value_or(0), 1U);
            std::array<std::byte, 1> back{};
            ASSERT_EQ(loop_->read(file.get(), back, offset, kNever).value_or(0), 1U);
            EXPECT_EQ(back, letter);
            ++done;
        });
    }
    run();
    EXPECT_EQ(done, 1000);
}

TEST_P(LoopTurnTest, YieldingFibersDoNotStarveCompletions) {
    const SocketPair pair;
    bool is_done = false;
    for (int index = 0; index < 400; ++index) {
        spawn([&] {
            while (!is_done) {
                loop_->scheduler().yield();
            }
        });
    }
    spawn([&] {
        std::array<std::byte, 8> buffer{};
        EXPECT_EQ(loop_->recv(pair.far.get(), buffer, kNever).value_or(0), 1U);
        EXPECT_TRUE(loop_->sleep_until(now_us() + 500));
        is_done = true;
    });
    spawn([&] { EXPECT_TRUE(loop_->send_all(pair.near.get(), bytes_of("x"), kNever)); });
    run();
    EXPECT_TRUE(is_done);
}

TEST_P(LoopTurnTest, DeferredTasksRunBeforeTheLoopWaits) {
    std::string log;
    loop_->defer([&] {
        log += '1';
        loop_->defer([&] {
            log += '3';
            loop_->stop_now();
        });
    });
    loop_->defer([&] { log += '2'; });
    loop_->run();
    EXPECT_EQ(log, "123");
}

TEST_P(LoopTurnTest, RunCanBeCalledAgain) {
    loop_->stop_now();
    loop_->run();
    int runs = 0;
    for (int round = 0; round < 3; ++round) {
        spawn([&] {
            EXPECT_TRUE(loop_->sleep_until(now_us() + 100));
            ++runs;
        });
        run();
    }
    EXPECT_EQ(runs, 3);
}

TEST_P(LoopTurnTest, TurnNowFollowsTheClock) {
    spawn([&] {
        const std::int64_t deadline_us = now_us() + 1'000;
        EXPECT_TRUE(loop_->sleep_until(deadline_us));
        EXPECT_GE(loop_->turn_now_us(), deadline_us);
        EXPECT_LE(loop_->turn_now_us(), now_us());
    });
    run();
}

// A forked child must not be able to touch the queues: their memory is not there.
TEST_P(LoopTurnTest, ForkedChildHasNoRing) {
    std::size_t ring_maps = 0;
    int report[2] = {-1, -1};
    ASSERT_EQ(::pipe2(report, O_CLOEXEC), 0);
    const UniqueFd read_end(report[0]);
    UniqueFd write_end(report[1]);
    const auto count_ring_maps = [] {
        std::size_t count = 0;
        FILE* maps = std::fopen("/proc/self/maps", "re");
        char line[512];
        while (std::fgets(line, sizeof line, maps) != nullptr) {
            count += std::strstr(line, "io_uring") != nullptr ? 1 : 0;
        }
        (void)std::fclose(maps);  // opened for reading
        return count;
    };
    ASSERT_GT(count_ring_maps(), 0U);
    const pid_t child = ::fork();
    if (child == 0) {
        const std::size_t count = count_ring_maps();
        ::_exit(::write(write_end.get(), &count, sizeof count) == sizeof count ? 0 : 1);
    }
    ASSERT_GT(child, 0);
    EXPECT_EQ(::read(read_end.get(), &ring_maps, sizeof ring_maps), 8);
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_EQ(ring_maps, 0U);
}

// Sockets watched by a loop that is gone are gone too when their owner closes them.
TEST_P(LoopTurnTest, DestructionLetsGoOfWatchedDescriptors) {
    SocketPair pair;
    Watch watch;
    watch.on_events = [](Watch&, std::uint32_t) {};
    loop_->watch(watch, pair.far.get(), POLLIN);
    loop_->turn(1);
    open_loop({});
    pair.far.reset();
    char letter = 0;
    EXPECT_EQ(::recv(pair.near.get(), &letter, 1, MSG_DONTWAIT), 0) << "no end of stream yet";
}

}  // namespace
}  // namespace hako::ring
