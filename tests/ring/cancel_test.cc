#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/ring/loop_fixture.h"

namespace hako::ring {
namespace {

class CancelTest : public LoopTest {};
HAKO_ON_BOTH_KERNELS(CancelTest);

TEST_P(CancelTest, EndsTheWaitAndAllLaterOnes) {
    const SocketPair pair;
    std::array<std::byte, 8> buffer{};
    const fiber::FiberId waiting = spawn([&] {
        EXPECT_EQ(loop_->recv(pair.far.get(), buffer, kNever).error().code, Errc::kCancelled);
        EXPECT_EQ(loop_->recv(pair.far.get(), buffer, kNever).error().code, Errc::kCancelled);
        EXPECT_EQ(loop_->sleep_until(now_us() + 1'000'000).error().code, Errc::kCancelled);
        EXPECT_EQ(loop_->park_until(kNever).error().code, Errc::kCancelled);
        EXPECT_EQ(loop_->poll(pair.far.get(), POLLIN, kNever).error().code, Errc::kCancelled);
    });
    spawn([&] {
        EXPECT_TRUE(loop_->sleep_until(now_us() + 1'000));
        loop_->scheduler().cancel(waiting);
    });
    run();
}

TEST_P(CancelTest, CancelledSendStops) {
    const SocketPair pair;
    const std::vector<std::byte> much(16 * 1024 * 1024);
    const fiber::FiberId sending = spawn([&] {
        const Result<void> sent = loop_->send_all(pair.near.get(), much, kNever);
        ASSERT_FALSE(sent.has_value());
        EXPECT_EQ(sent.error().code, Errc::kCancelled);
    });
    spawn([&] {
        EXPECT_TRUE(loop_->sleep_until(now_us() + 2'000));
        loop_->scheduler().cancel(sending);
    });
    run();
}

// Data and cancellation in the same turn: the data counts, else it would be lost.
TEST_P(CancelTest, CompletedOpWinsOverCancellation) {
    const SocketPair pair;
    bool has_ended = false;
    const fiber::FiberId receiving = spawn([&] {
        std::array<std::byte, 8> buffer{};
        EXPECT_EQ(loop_->recv(pair.far.get(), buffer, kNever).value_or(0), 3U);
        EXPECT_TRUE(loop_->scheduler().is_cancelled());
        has_ended = true;
    });
    loop_->turn(1);
    loop_->turn(1);
    ASSERT_EQ(::write(pair.near.get(), "abc", 3), 3);
    loop_->scheduler().cancel(receiving);
    EXPECT_TRUE(turn_until([&] { return has_ended; }));
}

struct Storm {
    std::uint32_t ok = 0;
    std::uint32_t timed_out = 0;
    std::uint32_t cancelled = 0;

    void count(const Result<std::uint32_t>& result) {
        if (result) {
            ++ok;
        } else if (result.error().code == Errc::kTimeout) {
            ++timed_out;
        } else {
            ASSERT_EQ(result.error().code, Errc::kCancelled) << result.error().sys_errno;
            ++cancelled;
        }
    }
    [[nodiscard]] std::uint32_t total() const { return ok + timed_out + cancelled; }
};

// Thousands of waits of every kind, each ended by data, deadline or cancellation, often by two of
// them in the same turn. Records live on fiber stacks that are used again at once: a completion
// that came after its fiber left would land in another fiber's frame.
TEST_P(CancelTest, StormLeaksNothing) {
    constexpr std::uint32_t kFibers = 400;
    constexpr std::uint32_t kRounds = 12;
    constexpr unsigned kSeed = 20240711;
    std::mt19937 random(kSeed);
    std::array<SocketPair, 16> pairs;
    const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
    Storm storm;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
        std::vector<fiber::FiberId> fibers;
        for (std::uint32_t index = 0; index < kFibers; ++index) {
            const std::int64_t deadline_us =
                random() % 3 == 0 ? kNever : now_us() + random() % 8000;
            const SocketPair& pair = pairs[index % pairs.size()];
            const bool is_poll = random() % 4 == 0;
            fibers.push_back(spawn([&, deadline_us, is_poll] {
                std::array<std::byte, 16> buffer{};
                storm.count(
                    is_poll ? loop_->poll(event.get(), POLLIN, deadline_us)
                            : loop_->recv(pair.far.get(), buffer, deadline_us)
                );
            }));
        }
        spawn([&] {
            std::shuffle(fibers.begin(), fibers.end(), random);
            for (const fiber::FiberId id : fibers) {
                if (random() % 8 == 0) {
                    const SocketPair& pair = pairs[random() % pairs.size()];
                    EXPECT_TRUE(loop_->send_all(pair.near.get(), bytes_of("data"), kNever));
                }
                if (random() % 16 == 0) {
                    EXPECT_TRUE(loop_->sleep_until(now_us() + random() % 300));
                }
                loop_->scheduler().cancel(id);
            }
        });
        run();
        ASSERT_EQ(loop_->counters().ops_in_flight, 0U) << "seed " << kSeed << " round " << round;
    }
    EXPECT_EQ(storm.total(), kFibers * kRounds);
    EXPECT_GT(storm.ok, 0U);
    EXPECT_GT(storm.timed_out, 0U);
    EXPECT_GT(storm.cancelled, 0U);
}

TEST_P(CancelTest, CancelAllEndsTwoThousandWaits) {
    const SocketPair pair;
    std::uint32_t cancelled = 0;
    for (int index = 0; index < 2000; ++index) {
        spawn([&] {
            std::array<std::byte, 8> buffer{};
            const auto bytes = loop_->recv(pair.far.get(), buffer, now_us() + 60'000'000);
            cancelled += !bytes && bytes.error().code == Errc::kCancelled ? 1 : 0;
        });
    }
    EXPECT_TRUE(turn_until([&] { return loop_->counters().ops_in_flight == 2000; }));
    loop_->scheduler().cancel_all();
    run();
    EXPECT_EQ(cancelled, 2000U);
}

}  // namespace
}  // namespace hako::ring
