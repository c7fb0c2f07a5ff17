#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/base/ensure.h"
#include "engine/ring/loop_impl.h"

#include <poll.h>

namespace hako::ring {
namespace {

// An entry's length is 32 bits and its result 31.
constexpr std::size_t kBytesPerOpMax = std::size_t{1} << 30;

[[nodiscard]] std::uint32_t clamped(std::size_t bytes) noexcept {
    return static_cast<std::uint32_t>(std::min(bytes, kBytesPerOpMax));
}

[[nodiscard]] Error op_error(int sys_errno, const char* what) noexcept {
    const bool is_closed =
        sys_errno == EPIPE || sys_errno == ECONNRESET || sys_errno == ECONNABORTED;
    return Error{
        .code = is_closed ? Errc::kClosed : Errc::kSystem, .sys_errno = sys_errno, .what = what
    };
}

}  // namespace

Deadline::Deadline(Loop::Impl& loop, fiber::FiberId fiber, std::int64_t deadline_us)
    : loop_(loop), fiber_(fiber) {
    timer_.on_due = on_due;
    timer_.owner = this;
    if (deadline_us != kNever) {
        loop_.timers.arm(timer_, deadline_us);
    }
}

Deadline::~Deadline() {
    disarm();
}

void Deadline::disarm() noexcept {
    loop_.timers.disarm(timer_);
}

void Deadline::on_due(Timer& timer) {
    auto& self = *static_cast<Deadline*>(timer.owner);
    self.has_fired_ = self.loop_.scheduler->unpark_op(self.fiber_);
}

// A cancelled fiber starts nothing new.
template <typename Prepare>
Result<std::uint32_t> Loop::Impl::perform(
    const char* what, std::int64_t deadline_us, const Prepare& prepare
) {
    for (;;) {
        if (scheduler->is_cancelled()) {
            return fail(Errc::kCancelled, what);
        }
        Op op{.fiber = scheduler->self(), .pending_count = 1};
        io_uring_sqe& sqe = uring->take_sqe();
        prepare(sqe);
        sqe.user_data = tagged(&op, Tag::kOp);
        ++uring->counters().ops_in_flight;
        Result<std::uint32_t> done = await_op(op, what, deadline_us);
        const bool is_interrupted = !done && done.error().sys_errno == EINTR;
        if (!is_interrupted) {
            return done;
        }
    }
}

// An operation that did come to its end counts, even when deadline or cancellation was faster to
// wake the fiber: received bytes must not be lost.
Result<std::uint32_t> Loop::Impl::await_op(Op& op, const char* what, std::int64_t deadline_us) {
    Deadline deadline(*this, op.fiber, deadline_us);
    (void)scheduler->park_op();  // the record says what came
    const bool was_cut_short = op.pending_count != 0;
    if (was_cut_short) {
        deadline.disarm();
        request_cancel(op, Tag::kOp);
        see_through(op);
    }
    if (op.res >= 0) {
        return static_cast<std::uint32_t>(op.res);
    }
    const int sys_errno = -op.res;
    if (was_cut_short && (sys_errno == ECANCELED || sys_errno == EINTR)) {
        return fail(deadline.has_fired() ? Errc::kTimeout : Errc::kCancelled, what);
    }
    return fail(op_error(sys_errno, what));
}

void Loop::Impl::request_cancel(Op& op, Tag tag) {
    io_uring_sqe& sqe = uring->take_sqe();
    io_uring_prep_cancel64(&sqe, tagged(&op, tag), 0);
    sqe.user_data = tagged(&op, Tag::kCancel);
    ++op.pending_count;
    ++uring->counters().ops_in_flight;
}

void Loop::Impl::see_through(Op& op) {
    while (op.pending_count != 0) {
        (void)scheduler->park_op(true);  // the count says when
    }
}

void Loop::Impl::on_op_completion(Op& op, const Completion& completion) noexcept {
    ENSURE(op.pending_count != 0, "a completion for an operation that has ended");
    ENSURE(completion.is_last(), "a one-shot operation promised more");
    if (static_cast<Tag>(completion.user_data & kTagMask) == Tag::kOp) {
        op.res = completion.res;
    }
    --uring->counters().ops_in_flight;
    if (--op.pending_count == 0) {
        (void)scheduler->unpark_op(op.fiber);  // false: a cancellation has woken it already
    }
}

Result<std::uint32_t> Loop::poll(int fd, std::uint32_t mask, std::int64_t deadline_us) {
    return impl_->perform("poll", deadline_us, [fd, mask](io_uring_sqe& sqe) {
        io_uring_prep_poll_add(&sqe, fd, mask);
    });
}

namespace {

/// Runs `attempt`; where the descriptor is non-blocking and the kernel therefore answers EAGAIN,
/// waits until `poll_mask` and tries again.
template <typename Attempt>
Result<std::uint32_t> until_ready(
    Loop& loop, int fd, std::uint32_t poll_mask, std::int64_t deadline_us, const Attempt& attempt
) {
    for (;;) {
        Result<std::uint32_t> done = attempt();
        if (done || done.error().sys_errno != EAGAIN) {
            return done;
        }
        TRY(loop.poll(fd, poll_mask, deadline_us));
    }
}

}  // namespace

Result<std::uint32_t> Loop::recv(int fd, std::span<std::byte> into, std::int64_t deadline_us) {
    ENSURE(!into.empty(), "recv into nothing would look like the end of the stream");
    return until_ready(*this, fd, POLLIN, deadline_us, [&] {
        return impl_->perform("recv", deadline_us, [&](io_uring_sqe& sqe) {
            io_uring_prep_recv(&sqe, fd, into.data(), clamped(into.size()), 0);
        });
    });
}

// The kernel goes on after a short send by itself (MSG_WAITALL, 5.19); older ones are helped.
Result<void> Loop::send_all(int fd, std::span<const std::byte> from, std::int64_t deadline_us) {
    while (!from.empty()) {
        const std::uint32_t bytes = clamped(from.size());
        TRY_ASSIGN(const std::uint32_t sent, until_ready(*this, fd, POLLOUT, deadline_us, [&] {
                       return impl_->perform("send", deadline_us, [&](io_uring_sqe& sqe) {
                           io_uring_prep_send(
                               &sqe, fd, from.data(), bytes, MSG_NOSIGNAL | MSG_WAITALL
                           );
                       });
                   }));
        from = from.subspan(sent);
    }
    return {};
}

Result<std::uint32_t> Loop::recvmsg(int fd, msghdr& message, std::int64_t deadline_us) {
    return until_ready(*this, fd, POLLIN, deadline_us, [&] {
        return impl_->perform("recvmsg", deadline_us, [&](io_uring_sqe& sqe) {
            io_uring_prep_recvmsg(&sqe, fd, &message, MSG_CMSG_CLOEXEC);
        });
    });
}

Result<std::uint32_t> Loop::sendmsg(int fd, const msghdr& message, std::int64_t deadline_us) {
    return until_ready(*this, fd, POLLOUT, deadline_us, [&] {
        return impl_->perform("sendmsg", deadline_us, [&](io_uring_sqe& sqe) {
            io_uring_prep_sendmsg(&sqe, fd, &message, MSG_NOSIGNAL);
        });
    });
}

Result<std::uint32_t> Loop::read(
    int fd, std::span<std::byte> into, std::uint64_t offset, std::int64_t deadline_us
) {
    return until_ready(*this, fd, POLLIN, deadline_us, [&] {
        return impl_->perform("read", deadline_us, [&](io_uring_sqe& sqe) {
            io_uring_prep_read(&sqe, fd, into.data(), clamped(into.size()), offset);
        });
    });
}

Result<std::uint32_t> Loop::write(
    int fd, std::span<const std::byte> from, std::uint64_t offset, std::int64_t deadline_us
) {
    return until_ready(*this, fd, POLLOUT, deadline_us, [&] {
        return impl_->perform("write", deadline_us, [&](io_uring_sqe& sqe) {
            io_uring_prep_write(&sqe, fd, from.data(), clamped(from.size()), offset);
        });
    });
}

Result<void> Loop::connect(
    int fd, const sockaddr& address, socklen_t address_bytes, std::int64_t deadline_us
) {
    TRY(impl_->perform("connect", deadline_us, [&](io_uring_sqe& sqe) {
        io_uring_prep_connect(&sqe, fd, &address, address_bytes);
    }));
    return {};
}

Result<void> Loop::sleep_until(std::int64_t deadline_us) {
    const Deadline deadline(*impl_, impl_->scheduler->self(), deadline_us);
    (void)impl_->scheduler->park_op();  // the timer says whether it was the timer
    return deadline.has_fired() ? Result<void>{} : fail(Errc::kCancelled, "sleep");
}

Result<void> Loop::park_until(std::int64_t deadline_us) {
    const Deadline deadline(*impl_, impl_->scheduler->self(), deadline_us);
    const fiber::Wake wake = impl_->scheduler->park();
    if (wake == fiber::Wake::kCancelled) {
        return fail(Errc::kCancelled, "park");
    }
    return deadline.has_fired() ? fail(Errc::kTimeout, "park") : Result<void>{};
}

}  // namespace hako::ring
