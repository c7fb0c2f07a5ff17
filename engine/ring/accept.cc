#include <cerrno>
#include <utility>

#include <poll.h>

#include "engine/base/ensure.h"
#include "engine/ring/loop_impl.h"

namespace hako::ring {
namespace {

// How long to leave the backlog alone when descriptors or memory are used up. Nothing tells when
// one is free again, and asking at once would spin.
constexpr std::int64_t kExhaustedPauseUs = 10'000;
constexpr std::size_t kAcceptedCapacity = 64;

[[nodiscard]] bool is_exhaustion(int sys_errno) noexcept {
    return sys_errno == EMFILE || sys_errno == ENFILE || sys_errno == ENOMEM ||
           sys_errno == ENOBUFS;
}

// accept(2): a connection that broke before we took it; the next one may be fine.
[[nodiscard]] bool is_of_one_connection(int sys_errno) noexcept {
    return sys_errno == ECONNABORTED || sys_errno == EINTR || sys_errno == EPROTO ||
           sys_errno == EPERM;
}

}  // namespace

void Loop::Impl::arm_accept(AcceptOp& op, int listen_fd) {
    io_uring_sqe& sqe = uring->take_sqe();
    if (uring->features().multishot_accept) {
        io_uring_prep_multishot_accept(&sqe, listen_fd, nullptr, nullptr, SOCK_CLOEXEC);
    } else {
        io_uring_prep_accept(&sqe, listen_fd, nullptr, nullptr, SOCK_CLOEXEC);
    }
    sqe.user_data = tagged(&op, Tag::kAccept);
    ++op.pending_count;
    ++uring->counters().ops_in_flight;
}

void Loop::Impl::on_accept_completion(AcceptOp& op, const Completion& completion) {
    ENSURE(op.pending_count != 0, "a connection for an accept that has ended");
    if (completion.res >= 0) {
        op.accepted.emplace_back(completion.res);
    } else {
        op.sys_errno = -completion.res;
    }
    if (completion.is_last()) {
        --op.pending_count;
        --uring->counters().ops_in_flight;
    }
    (void)scheduler->unpark_op(op.fiber);  // false: it is awake already, or sleeps out a shortage
}

Result<void> Loop::accept_loop(int listen_fd, const std::function<void(UniqueFd)>& on_connection) {
    AcceptOp op;
    op.fiber = impl_->scheduler->self();
    op.accepted.reserve(kAcceptedCapacity);
    Result<void> end = fail(Errc::kCancelled, "accept");
    while (!impl_->scheduler->is_cancelled()) {
        if (op.pending_count == 0) {
            impl_->arm_accept(op, listen_fd);
        }
        if (impl_->scheduler->park_op() == fiber::Wake::kCancelled) {
            break;
        }
        {
            const fiber::NoPark scope(*impl_->scheduler);
            for (UniqueFd& connection : op.accepted) {
                on_connection(std::move(connection));
            }
        }
        op.accepted.clear();
        const int sys_errno = std::exchange(op.sys_errno, 0);
        if (is_exhaustion(sys_errno)) {
            (void)sleep_until(now_us() + kExhaustedPauseUs);  // the loop's head looks for a cancel
        } else if (sys_errno == EAGAIN) {
            (void)poll(listen_fd, POLLIN, kNever);  // non-blocking, old kernel; the same
        } else if (sys_errno != 0 && !is_of_one_connection(sys_errno)) {
            end = fail(sys_error(sys_errno, "accept"));
            break;
        }
    }
    if (op.pending_count != 0) {
        impl_->request_cancel(op, Tag::kAccept);
        impl_->see_through(op);
    }
    // Connections that came with the cancellation are closed: nobody would cancel what they start.
    return end;
}

}  // namespace hako::ring
