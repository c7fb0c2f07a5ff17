#include "engine/dispatch/version_pool.h"

#include <algorithm>

#include "engine/base/ensure.h"

namespace hako::dispatch {

Arrival VersionPool::arrive(Waiter& waiter, std::int64_t now_us) {
    ENSURE(!waiter.queued && waiter.instance == kNoInstance, "an invocation arrives once");
    if (in_flight_count_ >= limits_.concurrency_max) {
        return Arrival::kThrottled;
    }
    ++in_flight_count_;
    waiter.arrived_us = now_us;
    if (!idle_.empty()) {
        ENSURE(waiting_count_ == 0, "nobody waits while an instance is idle");
        waiter.instance = idle_.back().instance;
        idle_.pop_back();
        ++busy_count_;
        return Arrival::kRun;
    }
    push_waiter(waiter);
    return Arrival::kWait;
}

void VersionPool::abandon(Waiter& waiter) noexcept {
    ENSURE(waiter.queued, "only a queued invocation can be abandoned");
    remove_waiter(waiter);
}

void VersionPool::leave() noexcept {
    ENSURE(in_flight_count_ > 0, "more invocations ended than arrived");
    --in_flight_count_;
}

bool VersionPool::worth_waiting() const noexcept {
    // With every instance busy for about the average, the queue moves by `busy_count_` each
    // average.
    if (busy_count_ == 0 || busy_average_us_ < 0) {
        return false;
    }
    return busy_average_us_ * waiting_count_ <= limits_.scale_out_wait_us * busy_count_;
}

std::int64_t VersionPool::overdue_at_us() const noexcept {
    // One more instance per wait, not one per turn of the loop.
    return std::max(head_->arrived_us, last_start_us_) + limits_.scale_out_wait_us;
}

std::uint32_t VersionPool::starts_wanted(std::int64_t now_us) const noexcept {
    std::uint32_t wanted = 0;
    if (waiting_count_ > starting_count_) {
        if (!worth_waiting()) {
            wanted = waiting_count_ - starting_count_;
        } else if (now_us >= overdue_at_us()) {
            wanted =
                1;  // the estimate was too hopeful for the first in line; the rest may be right
        }
    }
    if (instance_count() + wanted < limits_.provisioned_count) {
        wanted = limits_.provisioned_count - instance_count();
    }
    return wanted;
}

std::uint32_t VersionPool::take_starts(std::int64_t now_us) {
    const std::uint32_t wanted = starts_wanted(now_us);
    if (wanted > 0) {
        last_start_us_ = now_us;
    }
    starting_count_ += wanted;
    // Everything this pool has must fit on the idle stack: the hot path never grows it.
    idle_.reserve(instance_count());
    return wanted;
}

Waiter* VersionPool::instance_free(
    InstanceId instance, std::int64_t now_us, std::int64_t busy_us, bool was_starting
) {
    if (was_starting) {
        ENSURE(starting_count_ > 0, "an instance became ready that nobody started");
        --starting_count_;
    } else {
        ENSURE(busy_count_ > 0, "an instance came free that was not busy");
        --busy_count_;
        busy_average_us_ =
            busy_average_us_ < 0 ? busy_us : busy_average_us_ + (busy_us - busy_average_us_) / 8;
    }
    if (head_ == nullptr) {
        idle_.push_back({.instance = instance, .since_us = now_us});
        return nullptr;
    }
    Waiter& waiter = *head_;
    remove_waiter(waiter);
    waiter.instance = instance;
    ++busy_count_;
    return &waiter;
}

Waiter* VersionPool::instance_lost(InstanceId instance, bool was_starting, bool was_busy) noexcept {
    if (was_starting) {
        ENSURE(starting_count_ > 0, "a start failed that nobody began");
        --starting_count_;
        Waiter* waiter = head_;
        if (waiter != nullptr) {
            remove_waiter(*waiter);
        }
        return waiter;
    }
    if (was_busy) {
        ENSURE(busy_count_ > 0, "a busy instance died that was not busy");
        --busy_count_;
        return nullptr;
    }
    const auto found = std::ranges::find(idle_, instance, &Idle::instance);
    ENSURE(found != idle_.end(), "an idle instance died that was not idle");
    idle_.erase(found);
    return nullptr;
}

std::optional<InstanceId> VersionPool::take_retired(std::int64_t now_us) noexcept {
    if (idle_.empty() || instance_count() <= limits_.provisioned_count ||
        now_us - idle_.front().since_us < limits_.idle_retire_us) {
        return std::nullopt;
    }
    return take_idle();
}

std::optional<InstanceId> VersionPool::take_idle() noexcept {
    if (idle_.empty()) {
        return std::nullopt;
    }
    const InstanceId instance = idle_.front().instance;
    idle_.erase(idle_.begin());
    return instance;
}

std::int64_t VersionPool::next_due_us() const noexcept {
    std::int64_t due_us = INT64_MAX;
    if (waiting_count_ > starting_count_) {
        due_us = overdue_at_us();
    }
    if (!idle_.empty() && instance_count() > limits_.provisioned_count) {
        due_us = std::min(due_us, idle_.front().since_us + limits_.idle_retire_us);
    }
    return due_us;
}

void VersionPool::push_waiter(Waiter& waiter) noexcept {
    waiter.previous = tail_;
    waiter.next = nullptr;
    waiter.queued = true;
    (tail_ != nullptr ? tail_->next : head_) = &waiter;
    tail_ = &waiter;
    ++waiting_count_;
}

void VersionPool::remove_waiter(Waiter& waiter) noexcept {
    ENSURE(waiter.queued && waiting_count_ > 0, "the waiter is in the queue");
    (waiter.previous != nullptr ? waiter.previous->next : head_) = waiter.next;
    (waiter.next != nullptr ? waiter.next->previous : tail_) = waiter.previous;
    waiter.previous = nullptr;
    waiter.next = nullptr;
    waiter.queued = false;
    --waiting_count_;
}

}  // namespace hako::dispatch
