#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include <sys/socket.h>

#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/fiber/fiber.h"

// One io_uring, one timer heap, one scheduler, one thread: the event loop. Parking calls are for
// fibers of this loop; callbacks (watches, timers) run on the loop between fibers and must not park
// or take long: they mark work as ready.
namespace hako::ring {

struct LoopOptions {
    std::uint32_t sq_entries = 512;
    std::uint32_t cq_entries = 4096;
    std::uint32_t offload_threads = 2;
    bool plain_kernel = false;  // use no feature the kernel may lack: how tests reach the fallbacks
    fiber::SchedulerOptions scheduler;
};

/// What the kernel offers, probed once.
struct RingFeatures {
    bool defer_taskrun = false;
    bool multishot_accept = false;
    bool multishot_poll = false;
    bool futex_wake = false;  // IORING_OP_FUTEX_WAKE
    bool registered_ring_fd = false;
};

/// A standing poll on a descriptor (multishot, edge-triggered by wake-ups). Owner keeps it alive
/// until `Loop::unwatch` was called AND its `closed` callback ran, or the loop is gone. The
/// descriptor is borrowed.
struct Watch {
    using Callback = void (*)(Watch& watch, std::uint32_t poll_events);
    Callback on_events = nullptr;  // POLLIN etc.; also called with POLLERR|POLLHUP
    Callback on_closed =
        nullptr;  // after unwatch: the kernel no longer names this record; may be null
    void* owner = nullptr;
    // The loop's own:
    int fd = -1;
    std::uint32_t mask = 0;
    bool armed = false;
    bool closing = false;
};

/// A timer in the heap; the owner keeps it alive while armed. Disarming is immediate.
struct Timer {
    using Callback = void (*)(Timer& timer);
    Callback on_due = nullptr;
    void* owner = nullptr;
    // The loop's own:
    std::int64_t due_us = kNever;
    std::uint32_t heap_index = UINT32_MAX;  // UINT32_MAX: not armed
    [[nodiscard]] bool is_armed() const noexcept { return heap_index != UINT32_MAX; }
};

class Loop {
public:
    /// For the calling thread: it alone may use and destroy the loop. Errors: kUnsupported (no
    /// io_uring, or an operation we cannot do without is missing), kSystem.
    [[nodiscard]] static Result<std::unique_ptr<Loop>> make(const LoopOptions& options = {});
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    /// Runs until `stop` and no fiber is alive, or until `stop_now`; can be called again.
    void run();
    /// One turn: submit, wait at most until `wait_until_us` (or the next timer; not at all while
    /// something is ready), reap, fire timers, run ready fibers and deferred tasks. For tests and
    /// `run`.
    void turn(std::int64_t wait_until_us);
    void stop() noexcept;      // run() returns once every fiber has ended
    void stop_now() noexcept;  // run() returns after the present turn

    [[nodiscard]] fiber::Scheduler& scheduler() noexcept;
    [[nodiscard]] const RingFeatures& features() const noexcept;
    /// Monotonic microseconds, read once per turn and after each park: cheap. `now_us()` reads the
    /// clock.
    [[nodiscard]] std::int64_t turn_now_us() const noexcept;

    // Parking operations. `deadline_us` is absolute, kNever for none. Errors: kTimeout, kCancelled,
    // kClosed, kSystem. The op's record lives on the caller's stack; the call returns only after
    // every completion that names it has come back.

    /// Bytes read, 0 at end of stream.
    [[nodiscard]] Result<std::uint32_t> recv(
        int fd, std::span<std::byte> into, std::int64_t deadline_us
    );
    /// Sends all of `from` (MSG_NOSIGNAL, MSG_WAITALL semantics).
    [[nodiscard]] Result<void> send_all(
        int fd, std::span<const std::byte> from, std::int64_t deadline_us
    );
    [[nodiscard]] Result<std::uint32_t> recvmsg(int fd, msghdr& message, std::int64_t deadline_us);
    [[nodiscard]] Result<std::uint32_t> sendmsg(
        int fd, const msghdr& message, std::int64_t deadline_us
    );
    [[nodiscard]] Result<std::uint32_t> read(
        int fd, std::span<std::byte> into, std::uint64_t offset, std::int64_t deadline_us
    );
    [[nodiscard]] Result<std::uint32_t> write(
        int fd, std::span<const std::byte> from, std::uint64_t offset, std::int64_t deadline_us
    );
    [[nodiscard]] Result<void> connect(
        int fd, const sockaddr& address, socklen_t address_bytes, std::int64_t deadline_us
    );
    /// Events that are set.
    [[nodiscard]] Result<std::uint32_t> poll(int fd, std::uint32_t mask, std::int64_t deadline_us);
    [[nodiscard]] Result<void> sleep_until(std::int64_t deadline_us
    );  // ok at the deadline; kCancelled
    /// Parks until notified (scheduler().unpark(self)) or the deadline.
    [[nodiscard]] Result<void> park_until(std::int64_t deadline_us);
    /// Runs `work` on an offload thread and parks until it is done. Not cancellable (the work sees
    /// its end). `work` must not touch anything the loop owns without its own synchronisation.
    void offload(std::move_only_function<void()>&& work);

    /// Accepts on a listening socket until the fiber is cancelled or an error; calls
    /// `on_connection` for each (on this fiber; it may spawn, must not park). Multishot; EMFILE and
    /// ECONNABORTED are waited out, not returned.
    [[nodiscard]] Result<void> accept_loop(
        int listen_fd, const std::function<void(UniqueFd)>& on_connection
    );

    // Non-parking.
    void watch(Watch& watch, int fd, std::uint32_t poll_mask);
    void unwatch(Watch& watch);
    void arm(Timer& timer, std::int64_t due_us);  // re-arming moves it
    void disarm(Timer& timer) noexcept;
    /// Wakes one waiter of a shared futex word: queued as an SQE where the kernel can (goes out
    /// with the next submit), else futex(2) at once.
    void futex_wake(std::uint32_t* word);
    /// Runs `task` on the loop before it next waits (from completions and fibers of this thread
    /// only).
    void defer(std::move_only_function<void()>&& task);
    /// Calls `on_signal(signo)` on the loop for each of `signals`, which are blocked for the
    /// process (signalfd through the ring).
    [[nodiscard]] Result<void> watch_signals(
        std::span<const int> signals, std::function<void(int)> on_signal
    );

    /// Counters for tests and metrics.
    struct Counters {
        std::uint64_t enters = 0;
        std::uint64_t completions = 0;
        std::uint64_t sqes = 0;
        std::uint64_t ops_in_flight = 0;
    };
    [[nodiscard]] const Counters& counters() const noexcept;

    struct Impl;

private:
    explicit Loop(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace hako::ring
