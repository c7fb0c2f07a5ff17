#include "engine/ring/loop.h"

#include <algorithm>
#include <utility>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/ensure.h"
#include "engine/ring/loop_impl.h"

namespace hako::ring {
namespace {

// Enough to amortise the system call, few enough that completions never wait long behind a crowd.
constexpr std::uint32_t kFibersPerTurn = 256;
constexpr std::uint32_t kCompletionsPerTurn = 4096;
constexpr std::size_t kDeferredCapacity = 64;

}  // namespace

Loop::Impl::Impl(std::unique_ptr<Uring> made_uring, const LoopOptions& options)
    : uring(std::move(made_uring)),
      scheduler(fiber::Scheduler::make(options.scheduler)),
      turn_now_us(now_us()),
      offload_threads_max(options.offload_threads) {
    deferred.reserve(kDeferredCapacity);
    deferred_running.reserve(kDeferredCapacity);
}

Loop::Impl::~Impl() {
    ENSURE(!is_in_turn, "the loop died inside a turn");
    ENSURE(uring->counters().ops_in_flight == 0, "the loop died with operations in flight");
}

bool Loop::Impl::has_ended() const noexcept {
    return is_stopping_now || (is_stopping && scheduler->live_count() == 0);
}

// What is ready at the start (spawned from outside, or left over) keeps the turn from waiting.
void Loop::Impl::turn(std::int64_t wait_until_us) {
    ENSURE(!is_in_turn, "a turn inside a turn");
    is_in_turn = true;
    const bool may_wait = !scheduler->has_ready() && deferred.empty() && !has_ended();
    uring->enter(may_wait ? std::min(wait_until_us, timers.first_due_us()) : 0);
    turn_now_us = now_us();
    reap();
    timers.fire_due(turn_now_us);
    (void)scheduler->run_ready(kFibersPerTurn);  // the rest has its next turn
    run_deferred();
    is_in_turn = false;
}

// What a task defers in its turn runs in the next one.
void Loop::Impl::run_deferred() {
    if (deferred.empty()) {
        return;
    }
    std::swap(deferred, deferred_running);
    for (auto& task : deferred_running) {
        task();
    }
    deferred_running.clear();
}

void Loop::Impl::reap() {
    Completion completion;
    for (std::uint32_t count = 0; count < kCompletionsPerTurn; ++count) {
        if (!uring->next_completion(completion)) {
            return;
        }
        dispatch(completion);
    }
}

void Loop::Impl::dispatch(const Completion& completion) {
    switch (static_cast<Tag>(completion.user_data & kTagMask)) {
        case Tag::kOp:
        case Tag::kCancel:
            on_op_completion(untagged<Op>(completion.user_data), completion);
            return;
        case Tag::kAccept:
            on_accept_completion(untagged<AcceptOp>(completion.user_data), completion);
            return;
        case Tag::kWatch:
            on_watch_completion(untagged<Watch>(completion.user_data), completion);
            return;
        case Tag::kNone:
            return;
    }
    ENSURE(false, "a completion with an unknown tag");
}

Loop::Loop(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Loop::~Loop() = default;

Result<std::unique_ptr<Loop>> Loop::make(const LoopOptions& options) {
    TRY_ASSIGN(std::unique_ptr<Uring> uring, Uring::make(options));
    auto impl = std::make_unique<Impl>(std::move(uring), options);
    return std::unique_ptr<Loop>(new Loop(std::move(impl)));
}

void Loop::run() {
    while (!impl_->has_ended()) {
        impl_->turn(kNever);
    }
    impl_->is_stopping = false;
    impl_->is_stopping_now = false;
}

void Loop::turn(std::int64_t wait_until_us) {
    impl_->turn(wait_until_us);
}

void Loop::stop() noexcept {
    impl_->is_stopping = true;
}

void Loop::stop_now() noexcept {
    impl_->is_stopping_now = true;
}

fiber::Scheduler& Loop::scheduler() noexcept {
    return *impl_->scheduler;
}

const RingFeatures& Loop::features() const noexcept {
    return impl_->uring->features();
}

std::int64_t Loop::turn_now_us() const noexcept {
    return impl_->turn_now_us;
}

const Loop::Counters& Loop::counters() const noexcept {
    return impl_->uring->counters();
}

void Loop::arm(Timer& timer, std::int64_t due_us) {
    impl_->timers.arm(timer, due_us);
}

void Loop::disarm(Timer& timer) noexcept {
    impl_->timers.disarm(timer);
}

void Loop::defer(std::move_only_function<void()>&& task) {
    impl_->deferred.push_back(std::move(task));
}

void Loop::futex_wake(std::uint32_t* word) {
    if (!impl_->uring->features().futex_wake) {
        // Fails only if the word is not mapped, and then nobody waits on it.
        (void)::syscall(SYS_futex, word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
        return;
    }
    io_uring_sqe& sqe = impl_->uring->take_sqe();
    sqe.opcode = kOpFutexWake;
    sqe.fd = kFutexSizeU32;
    sqe.addr = reinterpret_cast<std::uintptr_t>(word);
    sqe.off = 1;  // waiters
    sqe.addr3 = kFutexAnyBit;
    // A success would only wake the loop for nothing.
    sqe.flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe.user_data = tagged(nullptr, Tag::kNone);
}

}  // namespace hako::ring
