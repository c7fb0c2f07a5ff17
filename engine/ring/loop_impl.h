#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/ring/loop.h"
#include "engine/ring/offload.h"
#include "engine/ring/timer_heap.h"
#include "engine/ring/uring.h"

namespace hako::ring {

/// What a completion's user_data points at: the low bits of an aligned pointer.
enum class Tag : std::uint64_t {
    kOp = 0,      // Op: its own completion
    kCancel = 1,  // Op: the completion of the request to cancel it
    kAccept = 2,  // AcceptOp: one of many
    kWatch = 3,   // Watch
    kNone = 7,    // nothing waits for it
};
inline constexpr std::uint64_t kTagMask = 7;

[[nodiscard]] inline std::uint64_t tagged(const void* record, Tag tag) noexcept {
    return reinterpret_cast<std::uintptr_t>(record) | static_cast<std::uint64_t>(tag);
}
template <typename Record>
[[nodiscard]] Record& untagged(std::uint64_t user_data) noexcept {
    return *reinterpret_cast<Record*>(user_data & ~kTagMask);
}

/// An operation in the kernel's hands, on the stack of the fiber that waits for it. The fiber stays
/// until `pending_count`, the completions that still name this record, is 0.
struct alignas(8) Op {
    fiber::FiberId fiber;
    std::uint32_t pending_count = 0;
    std::int32_t res = 0;
};

/// A standing accept.
struct AcceptOp : Op {
    std::vector<UniqueFd> accepted;
    int sys_errno = 0;
};

/// Ends a fiber's wait at its deadline; `has_fired` only if it was the timer that ended it.
class Deadline {
public:
    Deadline(Loop::Impl& loop, fiber::FiberId fiber, std::int64_t deadline_us);
    ~Deadline();
    Deadline(const Deadline&) = delete;
    Deadline& operator=(const Deadline&) = delete;

    void disarm() noexcept;
    [[nodiscard]] bool has_fired() const noexcept { return has_fired_; }

private:
    static void on_due(Timer& timer);

    Loop::Impl& loop_;
    fiber::FiberId fiber_;
    Timer timer_;
    bool has_fired_ = false;
};

struct Loop::Impl {
    Impl(std::unique_ptr<Uring> made_uring, const LoopOptions& options);
    ~Impl();
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    // Turns (loop.cc).
    void turn(std::int64_t wait_until_us);
    void run_deferred();
    void reap();
    void dispatch(const Completion& completion);
    [[nodiscard]] bool has_ended() const noexcept;

    // Operations (ops.cc).
    template <typename Prepare>
    [[nodiscard]] Result<std::uint32_t> perform(
        const char* what, std::int64_t deadline_us, const Prepare& prepare
    );
    [[nodiscard]] Result<std::uint32_t> await_op(
        Op& op, const char* what, std::int64_t deadline_us
    );
    void request_cancel(Op& op, Tag tag);
    void see_through(Op& op);
    void on_op_completion(Op& op, const Completion& completion) noexcept;

    // Standing requests (watch.cc, accept.cc).
    void arm_watch(Watch& watch);
    void close_watch(Watch& watch);
    void on_watch_completion(Watch& watch, const Completion& completion);
    void arm_accept(AcceptOp& op, int listen_fd);
    void on_accept_completion(AcceptOp& op, const Completion& completion);

    // Offloaded work and signals (services.cc).
    void start_offload_pool();
    void finish_offloaded();
    void read_signals();

    std::unique_ptr<Uring> uring;
    std::unique_ptr<fiber::Scheduler> scheduler;
    TimerHeap timers;
    std::int64_t turn_now_us;
    std::uint32_t offload_threads_max;
    bool is_stopping = false;
    bool is_stopping_now = false;
    bool is_in_turn = false;
    std::vector<std::move_only_function<void()>> deferred;
    std::vector<std::move_only_function<void()>> deferred_running;
    std::unique_ptr<OffloadPool> offload_pool;
    Watch offload_watch;
    UniqueFd signal_fd;
    Watch signal_watch;
    std::function<void(int)> on_signal;
};

}  // namespace hako::ring
