#include "engine/ring/timer_heap.h"

#include <algorithm>

#include "engine/base/ensure.h"
#include "engine/ring/loop.h"

namespace hako::ring {
namespace {

constexpr std::size_t kArity = 4;  // four entries of 24 bytes: two cache lines a level
constexpr std::size_t kFirstCapacity = 1024;

}  // namespace

TimerHeap::TimerHeap() {
    entries_.reserve(kFirstCapacity);
}

void TimerHeap::put(std::size_t index, const Entry& entry) noexcept {
    entries_[index] = entry;
    entry.timer->heap_index = static_cast<std::uint32_t>(index);
}

void TimerHeap::sift_up(std::size_t index, const Entry& entry) noexcept {
    while (index > 0) {
        const std::size_t parent = (index - 1) / kArity;
        if (!is_before(entry, entries_[parent])) {
            break;
        }
        put(index, entries_[parent]);
        index = parent;
    }
    put(index, entry);
}

void TimerHeap::sift_down(std::size_t index, const Entry& entry) noexcept {
    for (;;) {
        const std::size_t first_child = index * kArity + 1;
        if (first_child >= entries_.size()) {
            break;
        }
        const std::size_t end = std::min(first_child + kArity, entries_.size());
        std::size_t least = first_child;
        for (std::size_t child = first_child + 1; child < end; ++child) {
            if (is_before(entries_[child], entries_[least])) {
                least = child;
            }
        }
        if (!is_before(entries_[least], entry)) {
            break;
        }
        put(index, entries_[least]);
        index = least;
    }
    put(index, entry);
}

void TimerHeap::arm(Timer& timer, std::int64_t due_us) {
    ENSURE(timer.on_due != nullptr, "armed a timer without a callback");
    disarm(timer);
    if (due_us == kNever) {
        return;
    }
    timer.due_us = due_us;
    const Entry entry{.due_us = due_us, .sequence = next_sequence_++, .timer = &timer};
    entries_.push_back(entry);
    sift_up(entries_.size() - 1, entry);
}

void TimerHeap::disarm(Timer& timer) noexcept {
    if (!timer.is_armed()) {
        return;
    }
    const std::size_t index = timer.heap_index;
    ENSURE(index < entries_.size(), "a timer's place is outside the heap");
    ENSURE(entries_[index].timer == &timer, "a timer's place is another's");
    timer.heap_index = UINT32_MAX;
    timer.due_us = kNever;
    const Entry last = entries_.back();
    entries_.pop_back();
    if (index == entries_.size()) {
        return;
    }
    if (index > 0 && is_before(last, entries_[(index - 1) / kArity])) {
        sift_up(index, last);
    } else {
        sift_down(index, last);
    }
}

void TimerHeap::fire_due(std::int64_t now_us) {
    const std::uint64_t sequence_end = next_sequence_;
    while (!entries_.empty()) {
        const Entry first = entries_.front();
        if (first.due_us > now_us || first.sequence >= sequence_end) {
            return;
        }
        disarm(*first.timer);
        first.timer->on_due(*first.timer);  // the record may be gone or armed again after this
    }
}

}  // namespace hako::ring
