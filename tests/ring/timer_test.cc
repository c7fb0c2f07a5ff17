#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "engine/ring/timer_heap.h"
#include "tests/ring/loop_fixture.h"

namespace hako::ring {
namespace {

struct Numbered {
    Timer timer;
    std::size_t number = 0;
    std::vector<std::size_t>* fired = nullptr;

    void init(std::size_t own_number, std::vector<std::size_t>* log) {
        number = own_number;
        fired = log;
        timer.owner = this;
        timer.on_due = [](Timer& own) {
            auto& self = *static_cast<Numbered*>(own.owner);
            self.fired->push_back(self.number);
        };
    }
};

/// The simplest thing that is right: due time and order of arming, sorted.
class Model {
public:
    void arm(std::size_t number, std::int64_t due_us) {
        disarm(number);
        armed_.emplace(std::pair(due_us, sequence_++), number);
    }
    void disarm(std::size_t number) {
        std::erase_if(armed_, [number](const auto& item) { return item.second == number; });
    }
    [[nodiscard]] std::vector<std::size_t> take_due(std::int64_t now) {
        std::vector<std::size_t> due;
        while (!armed_.empty() && armed_.begin()->first.first <= now) {
            due.push_back(armed_.begin()->second);
            armed_.erase(armed_.begin());
        }
        return due;
    }
    [[nodiscard]] std::int64_t first_due_us() const {
        return armed_.empty() ? kNever : armed_.begin()->first.first;
    }
    [[nodiscard]] std::size_t size() const { return armed_.size(); }

private:
    std::map<std::pair<std::int64_t, std::uint64_t>, std::size_t> armed_;
    std::uint64_t sequence_ = 0;
};

TEST(TimerHeap, AgreesWithAModelUnderRandomUse) {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        std::mt19937 random(seed);
        std::vector<std::size_t> fired;
        std::vector<Numbered> timers(100);
        for (std::size_t number = 0; number < timers.size(); ++number) {
            timers[number].init(number, &fired);
        }
        TimerHeap heap;
        Model model;
        std::int64_t now = 1000;
        for (int step = 0; step < 5000; ++step) {
            const std::size_t number = random() % timers.size();
            switch (random() % 4) {
                case 0:
                case 1: {
                    const std::int64_t due_us =
                        now + random() % 200 - 20;  // often equal, some past
                    heap.arm(timers[number].timer, due_us);
                    model.arm(number, due_us);
                    break;
                }
                case 2:
                    heap.disarm(timers[number].timer);
                    model.disarm(number);
                    break;
                default:
                    now += random() % 30;
                    fired.clear();
                    heap.fire_due(now);
                    ASSERT_EQ(fired, model.take_due(now)) << "seed " << seed << " step " << step;
            }
            ASSERT_EQ(heap.size(), model.size()) << "seed " << seed << " step " << step;
            ASSERT_EQ(heap.first_due_us(), model.first_due_us()) << "seed " << seed;
        }
        for (Numbered& numbered : timers) {
            heap.disarm(numbered.timer);
            EXPECT_FALSE(numbered.timer.is_armed());
        }
        EXPECT_EQ(heap.size(), 0U);
    }
}

TEST(TimerHeap, TimerThatArmsItselfInThePastFiresOncePerCall) {
    struct Again {
        Timer timer;
        TimerHeap* heap = nullptr;
        int count = 0;
    } again;
    TimerHeap heap;
    again.heap = &heap;
    again.timer.owner = &again;
    again.timer.on_due = [](Timer& own) {
        auto& self = *static_cast<Again*>(own.owner);
        ++self.count;
        self.heap->arm(own, 1);
    };
    heap.arm(again.timer, 1);
    heap.fire_due(10);
    EXPECT_EQ(again.count, 1);
    heap.fire_due(10);
    EXPECT_EQ(again.count, 2);
    heap.disarm(again.timer);
}

TEST(TimerHeap, NeverIsNotArmed) {
    std::vector<std::size_t> fired;
    Numbered numbered;
    numbered.init(0, &fired);
    TimerHeap heap;
    heap.arm(numbered.timer, 5);
    heap.arm(numbered.timer, kNever);
    EXPECT_FALSE(numbered.timer.is_armed());
    EXPECT_EQ(heap.first_due_us(), kNever);
}

class TimerTest : public LoopTest {};
HAKO_ON_BOTH_KERNELS(TimerTest);

TEST_P(TimerTest, FiresInOrderAndNeverEarly) {
    std::mt19937 random(7);
    struct Due {
        Timer timer;
        std::int64_t due_us = 0;
        std::vector<std::int64_t>* fired = nullptr;
    };
    std::vector<Due> timers(500);
    std::vector<std::int64_t> fired;
    const std::int64_t start_us = now_us();
    for (Due& due : timers) {
        due.fired = &fired;
        due.due_us = start_us + 1000 + random() % 20'000;
        due.timer.owner = &due;
        due.timer.on_due = [](Timer& own) {
            auto& self = *static_cast<Due*>(own.owner);
            EXPECT_GE(now_us(), self.due_us);
            self.fired->push_back(self.due_us);
        };
        loop_->arm(due.timer, due.due_us);
    }
    for (std::size_t index = 0; index < timers.size(); index += 5) {
        loop_->disarm(timers[index].timer);
    }
    EXPECT_TRUE(turn_until([&] { return fired.size() == 400; }));
    EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
}

// The best of many: a busy machine delays some, a loop that rounds to milliseconds delays all.
TEST_P(TimerTest, SleepersWakeAtTheirDeadlineNotBefore) {
    std::int64_t least_late_us = INT64_MAX;
    spawn([&] {
        for (int index = 0; index < 100; ++index) {
            const std::int64_t deadline_us = now_us() + 100;
            EXPECT_TRUE(loop_->sleep_until(deadline_us));
            const std::int64_t late_us = now_us() - deadline_us;
            ASSERT_GE(late_us, 0);
            least_late_us = std::min(least_late_us, late_us);
        }
    });
    run();
    EXPECT_LT(least_late_us, 500);
}

TEST_P(TimerTest, ParkUntilTellsNotificationFromDeadline) {
    fiber::FiberId parked{};
    parked = spawn([&] {
        EXPECT_TRUE(loop_->park_until(now_us() + 5'000'000));
        const Result<void> timed_out = loop_->park_until(now_us() + 1'000);
        ASSERT_FALSE(timed_out.has_value());
        EXPECT_EQ(timed_out.error().code, Errc::kTimeout);
    });
    spawn([&] { loop_->scheduler().unpark(parked); });
    run();
}

// Both happen before the fiber runs again: neither may swallow the other.
TEST_P(TimerTest, NotificationTogetherWithTheDeadlineIsNotLost) {
    std::vector<Errc> errors;
    int notified = 0;
    const fiber::FiberId parked = spawn([&] {
        while (notified == 0) {
            const Result<void> end = loop_->park_until(now_us() + 2'000);
            end ? static_cast<void>(++notified) : errors.push_back(end.error().code);
        }
    });
    struct Notify {
        Timer timer;
        Loop* loop = nullptr;
        fiber::FiberId target;
    } notify;
    notify.loop = loop_.get();
    notify.target = parked;
    notify.timer.owner = &notify;
    notify.timer.on_due = [](Timer& own) {
        auto& self = *static_cast<Notify*>(own.owner);
        self.loop->scheduler().unpark(self.target);
    };
    loop_->turn(1);
    loop_->arm(notify.timer, now_us() + 2'000);
    const std::int64_t both_due_us = now_us() + 3'000;
    while (now_us() < both_due_us) {  // let both become due before the next turn looks
    }
    run();
    EXPECT_EQ(notified, 1);
    EXPECT_LE(errors.size(), 1U);
}

}  // namespace
}  // namespace hako::ring
