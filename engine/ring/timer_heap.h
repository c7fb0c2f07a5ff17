#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/clock.h"

namespace hako::ring {

struct Timer;

/// The armed timers of a loop: a 4-ary heap whose timers know their place, so moving and disarming
/// one is O(log n). Timers due at the same time come out in the order they were armed.
class TimerHeap {
public:
    TimerHeap();

    void arm(Timer& timer, std::int64_t due_us);  // re-arming moves it
    void disarm(Timer& timer) noexcept;           // nothing if it is not armed
    /// When the first timer is due, kNever without one.
    [[nodiscard]] std::int64_t first_due_us() const noexcept {
        return entries_.empty() ? kNever : entries_.front().due_us;
    }
    /// Calls `on_due` of every timer due at `now_us`. One that a callback arms waits for the next
    /// call, else a timer that always re-arms in the past would keep the loop here.
    void fire_due(std::int64_t now_us);
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

private:
    struct Entry {
        std::int64_t due_us;
        std::uint64_t sequence;
        Timer* timer;
    };
    [[nodiscard]] static bool is_before(const Entry& a, const Entry& b) noexcept {
        return a.due_us != b.due_us ? a.due_us < b.due_us : a.sequence < b.sequence;
    }
    void put(std::size_t index, const Entry& entry) noexcept;
    void sift_up(std::size_t index, const Entry& entry) noexcept;
    void sift_down(std::size_t index, const Entry& entry) noexcept;

    std::vector<Entry> entries_;
    std::uint64_t next_sequence_ = 0;
};

}  // namespace hako::ring
