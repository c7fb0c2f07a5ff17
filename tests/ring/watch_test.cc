#include <array>
#include <string>
#include <vector>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/ring/loop_fixture.h"

namespace hako::ring {
namespace {

struct Seen {
    Watch watch;
    char letter = '?';
    int read_fd = -1;  // drained at each event
    std::string* log = nullptr;
    std::uint32_t events = 0;
    int event_count = 0;
    bool is_closed = false;

    explicit Seen(char name, std::string* shared_log = nullptr) : letter(name), log(shared_log) {
        watch.owner = this;
        watch.on_events = [](Watch& own, std::uint32_t poll_events) {
            auto& self = *static_cast<Seen*>(own.owner);
            self.events = poll_events;
            ++self.event_count;
            if (self.log != nullptr) {
                *self.log += self.letter;
            }
            char buffer[64];
            if (self.read_fd >= 0 && (poll_events & POLLIN) != 0) {
                EXPECT_GT(::read(self.read_fd, buffer, sizeof buffer), 0);
            }
        };
        watch.on_closed = [](Watch& own, std::uint32_t) {
            static_cast<Seen*>(own.owner)->is_closed = true;
        };
    }
};

class WatchTest : public LoopTest {
protected:
    void signal(int event_fd) {
        const std::uint64_t one = 1;
        ASSERT_EQ(::write(event_fd, &one, sizeof one), 8);
    }
    void settle() {
        // Two turns that do not wait: one to submit, one to see what the submit brought.
        loop_->turn(1);
        loop_->turn(1);
    }
    void close(Seen& seen) {
        loop_->unwatch(seen.watch);
        EXPECT_FALSE(seen.is_closed) << "closed from inside unwatch";
        EXPECT_TRUE(turn_until([&] { return seen.is_closed; }));
        EXPECT_FALSE(seen.watch.armed);
        EXPECT_FALSE(seen.watch.closing);
    }
};
HAKO_ON_BOTH_KERNELS(WatchTest);

TEST_P(WatchTest, CallsForEachEventUntilUnwatched) {
    const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    Seen seen('e');
    seen.read_fd = event.get();
    loop_->watch(seen.watch, event.get(), POLLIN);
    settle();
    EXPECT_EQ(seen.event_count, 0);
    for (int round = 1; round <= 50; ++round) {
        signal(event.get());
        ASSERT_TRUE(turn_until([&] { return seen.event_count == round; }));
        EXPECT_EQ(seen.events, unsigned{POLLIN});
    }
    settle();
    EXPECT_EQ(seen.event_count, 50);
    close(seen);
    signal(event.get());
    settle();
    EXPECT_EQ(seen.event_count, 50);
}

TEST_P(WatchTest, SeesWhatWasReadyBeforehand) {
    const UniqueFd event(::eventfd(3, EFD_CLOEXEC | EFD_NONBLOCK));
    Seen seen('e');
    seen.read_fd = event.get();
    loop_->watch(seen.watch, event.get(), POLLIN);
    EXPECT_TRUE(turn_until([&] { return seen.event_count == 1; }));
    close(seen);
}

TEST_P(WatchTest, HangUpIsTold) {
    PipePair pipe;
    Seen seen('p');
    seen.read_fd = pipe.read_end.get();
    loop_->watch(seen.watch, pipe.read_end.get(), POLLIN);
    settle();
    ASSERT_EQ(::write(pipe.write_end.get(), "x", 1), 1);
    ASSERT_TRUE(turn_until([&] { return seen.event_count == 1; }));
    pipe.write_end.reset();
    ASSERT_TRUE(turn_until([&] { return (seen.events & POLLHUP) != 0; }));
    const std::uint64_t enters_before = loop_->counters().enters;
    const int events_before = seen.event_count;
    for (int turn = 0; turn < 10; ++turn) {
        settle();
    }
    EXPECT_EQ(seen.event_count, events_before) << "a hang-up is told again and again";
    EXPECT_LE(loop_->counters().enters, enters_before + 1);
    close(seen);
}

TEST_P(WatchTest, BadDescriptorIsToldAsError) {
    Seen seen('b');
    loop_->watch(seen.watch, 9999, POLLIN);
    ASSERT_TRUE(turn_until([&] { return seen.event_count == 1; }));
    EXPECT_NE(seen.events & POLLERR, 0U);
    close(seen);
}

// What a function has written is read before its answer is passed on: both events are told before
// any fiber runs. Not in their order: Linux 6.1 tells deferred completions last first.
TEST_P(WatchTest, TheTurnThatTellsAnEventTellsThoseBeforeIt) {
    const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const PipePair pipe;
    std::string log;
    Seen first('e', &log);
    Seen second('p', &log);
    first.read_fd = event.get();
    second.read_fd = pipe.read_end.get();
    loop_->watch(first.watch, event.get(), POLLIN);
    loop_->watch(second.watch, pipe.read_end.get(), POLLIN);
    settle();
    for (int round = 0; round < 100; ++round) {
        log.clear();
        const bool pipe_first = round % 3 == 0;
        if (pipe_first) {
            ASSERT_EQ(::write(pipe.write_end.get(), "x", 1), 1);
        }
        signal(event.get());
        if (!pipe_first) {
            ASSERT_EQ(::write(pipe.write_end.get(), "x", 1), 1);
        }
        const char later = pipe_first ? 'e' : 'p';
        ASSERT_TRUE(turn_until([&] { return log.find(later) != std::string::npos; }));
        ASSERT_EQ(log.size(), 2U) << "told of the later event only: " << log;
        settle();
    }
    close(first);
    close(second);
}

TEST_P(WatchTest, UnwatchBeforeTheFirstSubmit) {
    const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    Seen seen('e');
    loop_->watch(seen.watch, event.get(), POLLIN);
    close(seen);
    EXPECT_EQ(seen.event_count, 0);
}

// The event and the removal meet in the kernel: the removal must win in the end.
TEST_P(WatchTest, UnwatchAsTheEventHappens) {
    for (int round = 0; round < 20; ++round) {
        std::array<int, 2> ends{};
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        const UniqueFd ours(ends[0]);
        const UniqueFd theirs(ends[1]);
        const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        Seen hang_up('h');
        Seen rung('r');
        loop_->watch(hang_up.watch, ours.get(), POLLHUP);
        loop_->watch(rung.watch, event.get(), POLLIN);
        settle();
        loop_->unwatch(hang_up.watch);
        loop_->unwatch(rung.watch);
        ASSERT_EQ(::shutdown(ours.get(), SHUT_RDWR), 0);
        signal(event.get());
        ASSERT_TRUE(turn_until([&] { return hang_up.is_closed && rung.is_closed; }))
            << "round " << round;
    }
}

TEST_P(WatchTest, UnwatchInsideTheCallbackAndWatchAgain) {
    const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    struct Once {
        Watch watch;
        Loop* loop = nullptr;
        int events = 0;
        int closes = 0;
    } once;
    once.loop = loop_.get();
    once.watch.owner = &once;
    once.watch.on_events = [](Watch& own, std::uint32_t) {
        auto& self = *static_cast<Once*>(own.owner);
        ++self.events;
        self.loop->unwatch(own);
    };
    once.watch.on_closed = [](Watch& own, std::uint32_t) {
        ++static_cast<Once*>(own.owner)->closes;
    };
    signal(event.get());
    for (int round = 1; round <= 20; ++round) {
        loop_->watch(once.watch, event.get(), POLLIN);
        ASSERT_TRUE(turn_until([&] { return once.closes == round; }));
        EXPECT_EQ(once.events, round);
    }
}

TEST_P(WatchTest, ManyWatchesAndUnwatchesInOneTurn) {
    std::vector<UniqueFd> events;
    std::vector<std::unique_ptr<Seen>> all;
    for (int index = 0; index < 1500; ++index) {  // several times the submission queue
        events.emplace_back(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
        all.push_back(std::make_unique<Seen>('m'));
        all.back()->read_fd = events.back().get();
        loop_->watch(all.back()->watch, events.back().get(), POLLIN);
    }
    const auto every = [&](auto is_met) {
        return turn_until([&, is_met] {
            for (const auto& seen : all) {
                if (!is_met(*seen)) {
                    return false;
                }
            }
            return true;
        });
    };
    EXPECT_TRUE(every([](const Seen& seen) { return seen.event_count == 1; }));
    for (const auto& seen : all) {
        loop_->unwatch(seen->watch);
    }
    EXPECT_TRUE(every([](const Seen& seen) { return seen.is_closed; }));
}

// More events at once than the completion queue holds: the kernel keeps the rest and may end
// standing polls; every watch must still be told.
TEST_P(WatchTest, CompletionQueueOverflowLosesNothing) {
    open_loop({.sq_entries = 16, .cq_entries = 32});
    std::vector<UniqueFd> events;
    std::vector<std::unique_ptr<Seen>> all;
    int told = 0;
    for (int index = 0; index < 300; ++index) {
        events.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        all.push_back(std::make_unique<Seen>('o'));
        all.back()->read_fd = events.back().get();
        loop_->watch(all.back()->watch, events.back().get(), POLLIN);
    }
    settle();
    for (int round = 1; round <= 5; ++round) {
        for (const UniqueFd& event : events) {
            signal(event.get());
        }
        ASSERT_TRUE(turn_until([&] {
            told = 0;
            for (const auto& seen : all) {
                told += seen->event_count;
            }
            return told >= 300 * round;
        })) << told;
    }
    EXPECT_EQ(told, 1500);
    for (const auto& seen : all) {
        close(*seen);
    }
}

}  // namespace
}  // namespace hako::ring
