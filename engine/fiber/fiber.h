#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "engine/base/result.h"

// Fibers: straight-line code that can wait. One scheduler per thread; a fiber never changes thread.
// This folder is the only place that sees Boost.Context and the sanitizers' fiber calls.
namespace hako::fiber {

class Fiber;  // opaque; owned by the scheduler

/// Identifies a fiber for as long as it lives and never again: safe to keep after the fiber has
/// ended.
struct FiberId {
    std::uint32_t slot_index = 0;
    std::uint32_t generation = 0;  // 0: no fiber
    friend bool operator==(FiberId, FiberId) = default;
};

/// Why a park ended.
enum class Wake : std::uint8_t { kNotified, kCancelled };

struct SchedulerOptions {
    std::uint32_t stack_bytes = 64 * 1024;  // usable, times four under sanitizers
    std::uint32_t fibers_max =
        16384;  // two mappings each; the kernel's default allows 65 530 mappings
    std::uint32_t stacks_kept_max = 256;  // idle stacks beyond it are unmapped
};

class Scheduler {
public:
    /// For the calling thread: only it may use the scheduler (checked in `run_ready`).
    [[nodiscard]] static std::unique_ptr<Scheduler> make(const SchedulerOptions& options = {});
    ~Scheduler();  // ENSUREs that no fiber is alive
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;

    /// Starts `body` on a pooled stack; it first runs from the next `run_ready`. `name` is a
    /// literal, shown on stack overflow and in aborts. Errors: kLimit at `fibers_max`, kSystem when
    /// no stack can be mapped (`body` is then untouched).
    [[nodiscard]] Result<FiberId> spawn(const char* name, std::move_only_function<void()>&& body);

    /// Runs ready fibers, at most `count_max` switches; returns how many ran. From the loop only,
    /// never from a fiber.
    std::uint32_t run_ready(std::uint32_t count_max);
    [[nodiscard]] bool has_ready() const noexcept;
    [[nodiscard]] std::uint32_t live_count() const noexcept;

    /// The fiber that runs now; ENSUREs there is one.
    [[nodiscard]] FiberId self() const noexcept;
    [[nodiscard]] bool in_fiber() const noexcept;

    /// Waits until `unpark` or `cancel`. A wake that came while the fiber was running is kept (one,
    /// not counted) and ends the next park at once. ENSUREs no NoPark scope is open. A cancelled
    /// fiber's parks return kCancelled at once from then on, unless `shielded` (for waits that must
    /// see their completions through).
    Wake park(bool shielded = false);
    /// Makes the fiber ready; nothing if it has ended. Cheap; callable from completions.
    void unpark(FiberId id) noexcept;
    /// The same pair for whoever waits for one event of its own (a completion, a timer): `park_op`
    /// is ended by `unpark_op` and `cancel` only, so an `unpark` meanwhile is kept for the fiber's
    /// next `park` instead of ending this wait early or being lost in it. kCancelled may come with
    /// the event; callers look at their record. `unpark_op` also ends a plain `park`, and is true
    /// if it was what ended the wait.
    Wake park_op(bool shielded = false);
    bool unpark_op(FiberId id) noexcept;
    /// Cancellation is a value: the fiber's present and later waits return kCancelled; it ends by
    /// returning.
    void cancel(FiberId id) noexcept;
    void cancel_all() noexcept;
    [[nodiscard]] bool is_cancelled() const noexcept;  // of the running fiber
    /// Lets other ready fibers run.
    void yield();
    /// Parks until `id` has ended; returns at once if it has. Not cut short by cancellation.
    void join(FiberId id);

    struct Impl;

private:
    friend class NoPark;
    explicit Scheduler(const SchedulerOptions& options);
    std::unique_ptr<Impl> impl_;
};

/// While one is open the running fiber must not park (checked). Scopes of one thread nest.
class NoPark {
public:
    explicit NoPark(Scheduler& scheduler) noexcept;
    ~NoPark();
    NoPark(const NoPark&) = delete;
    NoPark& operator=(const NoPark&) = delete;

private:
    Scheduler& scheduler_;
};

}  // namespace hako::fiber
