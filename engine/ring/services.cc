#include <cerrno>
#include <csignal>
#include <utility>

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/base/ensure.h"
#include "engine/ring/loop_impl.h"

namespace hako::ring {

void Loop::offload(std::move_only_function<void()>&& work) {
    Impl& impl = *impl_;
    OffloadJob job{.work = &work, .fiber = impl.scheduler->self()};
    impl.start_offload_pool();
    impl.offload_pool->submit(job);
    while (!job.is_done) {
        (void)impl.scheduler->park_op(true);  // the job says when
    }
}

void Loop::Impl::start_offload_pool() {
    if (offload_pool != nullptr) {
        return;
    }
    Result<std::unique_ptr<OffloadPool>> pool = OffloadPool::make(offload_threads_max);
    ENSURE(pool.has_value(), "no descriptor left for the offload pool");
    offload_pool = std::move(*pool);
    offload_watch.owner = this;
    offload_watch.on_events = [](Watch& watch, std::uint32_t) {
        static_cast<Impl*>(watch.owner)->finish_offloaded();
    };
    offload_watch.fd = offload_pool->done_fd();
    offload_watch.mask = POLLIN;
    arm_watch(offload_watch);
}

void Loop::Impl::finish_offloaded() {
    for (OffloadJob* job = offload_pool->take_done(); job != nullptr;) {
        OffloadJob* following = std::exchange(job->next, nullptr);
        job->is_done = true;
        (void)scheduler->unpark_op(job->fiber);  // false: the fiber has not parked yet
        job = following;
    }
}

Result<void> Loop::watch_signals(std::span<const int> signals, std::function<void(int)> on_signal) {
    Impl& impl = *impl_;
    ENSURE(!impl.signal_fd, "signals are watched already");
    sigset_t set{};
    (void)::sigemptyset(&set);  // cannot fail on a valid pointer
    for (const int signo : signals) {
        if (::sigaddset(&set, signo) != 0) {
            return fail_errno("sigaddset");
        }
    }
    UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd) {
        return fail_errno("signalfd");
    }
    const int rc = ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    if (rc != 0) {
        return fail(sys_error(rc, "pthread_sigmask"));
    }
    impl.signal_fd = std::move(fd);
    impl.on_signal = std::move(on_signal);
    impl.signal_watch.owner = &impl;
    impl.signal_watch.on_events = [](Watch& watch, std::uint32_t) {
        static_cast<Impl*>(watch.owner)->read_signals();
    };
    watch(impl.signal_watch, impl.signal_fd.get(), POLLIN);
    return {};
}

void Loop::Impl::read_signals() {
    for (;;) {
        signalfd_siginfo info{};
        const ssize_t got = ::read(signal_fd.get(), &info, sizeof info);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            ENSURE(errno == EAGAIN, "the signalfd gave no read");
            return;
        }
        ENSURE(got == sizeof info, "a short read from a signalfd");
        on_signal(static_cast<int>(info.ssi_signo));
    }
}

}  // namespace hako::ring
