#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace hako::dispatch {

/// Names one live instance of the engine; the instance manager gives them out.
using InstanceId = std::uint32_t;
inline constexpr InstanceId kNoInstance = UINT32_MAX;

/// What bounds one function version. Counts are instances or invocations, times microseconds.
struct PoolLimits {
    std::uint32_t concurrency_max =
        1000;                             ///< invocations running or waiting; one more is throttled
    std::uint32_t provisioned_count = 0;  ///< instances that are kept however long they idle
    std::int64_t idle_retire_us = 300'000'000;
    /// An invocation waits this long for a busy instance before a new one is started for it, if the
    /// present ones are expected to come free within it. About what a cold start costs.
    std::int64_t scale_out_wait_us = 1'000;
};

/// An invocation that waits for an instance; lives in the invocation, linked into the pool's queue.
struct Waiter {
    std::int64_t arrived_us = 0;
    InstanceId instance = kNoInstance;  ///< set when one was given
    Waiter* next = nullptr;
    Waiter* previous = nullptr;
    bool queued = false;
};

enum class Arrival : std::uint8_t { kRun, kWait, kThrottled };

/// Decides which instance of one function version serves which invocation, when to start one and
/// when to let one go. Pure: no clock, no system calls; the caller passes the time and does what is
/// decided. Instances are reused last-in first-out, so that the surplus goes cold and can be
/// retired.
///
/// Life of an instance here: `take_starts` (starting) -> `instance_free` (idle or given to a
/// waiter) -> ... -> `instance_lost`, from whatever state.
class VersionPool {
public:
    explicit VersionPool(const PoolLimits& limits) : limits_(limits) {}

    /// A new invocation. kRun: `waiter.instance` is busy for it now. kWait: it is queued.
    /// kThrottled: nothing changed.
    [[nodiscard]] Arrival arrive(Waiter& waiter, std::int64_t now_us);
    /// Takes a queued invocation out (timed out, cancelled, or it was given the error of a failed
    /// start).
    void abandon(Waiter& waiter) noexcept;
    /// The invocation has ended (after kRun, or a Waiter that got an instance); frees its place in
    /// the concurrency count.
    void leave() noexcept;

    /// How many instances to start now; they count as starting from here on.
    [[nodiscard]] std::uint32_t take_starts(std::int64_t now_us);
    /// A started instance became ready, or a busy one is done (`busy_us` >= 0: how long it was
    /// busy). Returns the waiter that has it now, else the instance is idle.
    Waiter* instance_free(
        InstanceId instance, std::int64_t now_us, std::int64_t busy_us, bool was_starting
    );
    /// A start failed or an instance died. Returns the oldest waiter if the failure of a start is
    /// to be told to it (it is taken out of the queue), nullptr if none waits or `was_starting` is
    /// false.
    Waiter* instance_lost(InstanceId instance, bool was_starting, bool was_busy) noexcept;

    /// An idle instance that has outlived its use (oldest first), taken out of the pool; call until
    /// nothing comes.
    [[nodiscard]] std::optional<InstanceId> take_retired(std::int64_t now_us) noexcept;
    /// Any idle instance, oldest first, taken out of the pool (the version is going away or memory
    /// is short).
    [[nodiscard]] std::optional<InstanceId> take_idle() noexcept;
    /// When `take_starts` or `take_retired` may next have something to say; INT64_MAX if only
    /// events can change that.
    [[nodiscard]] std::int64_t next_due_us() const noexcept;

    void set_limits(const PoolLimits& limits) noexcept { limits_ = limits; }
    [[nodiscard]] const PoolLimits& limits() const noexcept { return limits_; }
    [[nodiscard]] std::uint32_t in_flight_count() const noexcept { return in_flight_count_; }
    [[nodiscard]] std::uint32_t waiting_count() const noexcept { return waiting_count_; }
    [[nodiscard]] std::uint32_t starting_count() const noexcept { return starting_count_; }
    [[nodiscard]] std::uint32_t busy_count() const noexcept { return busy_count_; }
    [[nodiscard]] std::uint32_t idle_count() const noexcept {
        return static_cast<std::uint32_t>(idle_.size());
    }
    [[nodiscard]] std::uint32_t instance_count() const noexcept {
        return starting_count_ + busy_count_ + idle_count();
    }

private:
    struct Idle {
        InstanceId instance;
        std::int64_t since_us;
    };

    void push_waiter(Waiter& waiter) noexcept;
    void remove_waiter(Waiter& waiter) noexcept;
    [[nodiscard]] bool worth_waiting() const noexcept;
    [[nodiscard]] std::int64_t overdue_at_us() const noexcept;
    [[nodiscard]] std::uint32_t starts_wanted(std::int64_t now_us) const noexcept;

    PoolLimits limits_;
    std::vector<Idle> idle_;  // a stack: the back was used last
    Waiter* head_ = nullptr;
    Waiter* tail_ = nullptr;
    std::uint32_t in_flight_count_ = 0;
    std::uint32_t waiting_count_ = 0;
    std::uint32_t starting_count_ = 0;
    std::uint32_t busy_count_ = 0;
    std::int64_t last_start_us_ = 0;
    std::int64_t busy_average_us_ =
        -1;  // moving average of how long an instance is busy; -1: not known yet
};

}  // namespace hako::dispatch
