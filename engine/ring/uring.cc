#include "engine/ring/uring.h"

#include <atomic>
#include <cerrno>
#include <cstring>

#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"

namespace hako::ring {
namespace {

std::uint32_t load_acquire(unsigned* word) noexcept {
    return std::atomic_ref<unsigned>(*word).load(std::memory_order_acquire);
}
std::uint32_t load_relaxed(unsigned* word) noexcept {
    return std::atomic_ref<unsigned>(*word).load(std::memory_order_relaxed);
}
void store_release(unsigned* word, std::uint32_t value) noexcept {
    std::atomic_ref<unsigned>(*word).store(value, std::memory_order_release);
}

// Newest first; each older kernel refuses what it does not know with EINVAL. The task-run flag
// tells us without a call that deferred completions wait (6.1, as DEFER_TASKRUN; 5.19 with COOP).
constexpr unsigned kBaseFlags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
constexpr unsigned kSetupFlags[] = {
    kBaseFlags | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
        IORING_SETUP_TASKRUN_FLAG,
    kBaseFlags | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    kBaseFlags,
};

// Without these there is no loop: lost completions (NODROP) and a wait without a timeout (EXT_ARG).
constexpr unsigned kNeededFeatures = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;

constexpr std::uint8_t kNeededOps[] = {
    IORING_OP_RECV,
    IORING_OP_SEND,
    IORING_OP_RECVMSG,
    IORING_OP_SENDMSG,
    IORING_OP_READ,
    IORING_OP_WRITE,
    IORING_OP_CONNECT,
    IORING_OP_ACCEPT,
    IORING_OP_POLL_ADD,
    IORING_OP_POLL_REMOVE,
    IORING_OP_ASYNC_CANCEL,
};

Error setup_error(int sys_errno) noexcept {
    const bool is_refused = sys_errno == ENOSYS || sys_errno == EPERM || sys_errno == EINVAL;
    return Error{
        .code = is_refused ? Errc::kUnsupported : Errc::kSystem,
        .sys_errno = sys_errno,
        .what = "io_uring_setup",
    };
}

}  // namespace

Result<std::unique_ptr<Uring>> Uring::make(const LoopOptions& options) {
    std::unique_ptr<Uring> uring(new Uring);
    TRY(uring->set_up(options));
    TRY(uring->probe(options));
    return uring;
}

Result<void> Uring::set_up(const LoopOptions& options) {
    int rc = -EINVAL;
    for (const unsigned flags : kSetupFlags) {
        if (options.plain_kernel && flags != kBaseFlags) {
            continue;
        }
        io_uring_params params{};
        params.flags = flags;
        params.cq_entries = options.cq_entries;
        rc = io_uring_queue_init_params(options.sq_entries, &ring_, &params);
        if (rc != -EINVAL) {
            break;
        }
    }
    if (rc < 0) {
        return fail(setup_error(-rc));
    }
    is_open_ = true;
    features_.defer_taskrun = (ring_.flags & IORING_SETUP_DEFER_TASKRUN) != 0;
    // A forked child must not share the queues.
    rc = io_uring_ring_dontfork(&ring_);
    if (rc < 0) {
        return fail(sys_error(-rc, "io_uring_ring_dontfork"));
    }
    if (!options.plain_kernel) {
        features_.registered_ring_fd = io_uring_register_ring_fd(&ring_) == 1;
    }
    // Entry i always sits in slot i: the index array is written once.
    for (unsigned index = 0; index < ring_.sq.ring_entries; ++index) {
        ring_.sq.array[index] = index;
    }
    sq_tail_ = load_relaxed(ring_.sq.ktail);
    return {};
}

Result<void> Uring::probe(const LoopOptions& options) {
    if ((ring_.features & kNeededFeatures) != kNeededFeatures) {
        return fail(Errc::kUnsupported, "io_uring without NODROP and EXT_ARG");
    }
    const std::unique_ptr<io_uring_probe, void (*)(io_uring_probe*)> probed(
        io_uring_get_probe_ring(&ring_), io_uring_free_probe
    );
    if (probed == nullptr) {
        return fail(Errc::kUnsupported, "io_uring probe");
    }
    for (const std::uint8_t op : kNeededOps) {
        if (io_uring_opcode_supported(probed.get(), op) == 0) {
            return fail(Errc::kUnsupported, "io_uring operation");
        }
    }
    if (options.plain_kernel) {
        return {};
    }
    // Multishot has no probe of its own: ask for something that came in the same release.
    features_.multishot_poll = (ring_.features & IORING_FEAT_RSRC_TAGS) != 0;  // 5.13
    features_.multishot_accept =
        io_uring_opcode_supported(probed.get(), IORING_OP_SOCKET) != 0;  // 5.19
    features_.futex_wake = (ring_.features & IORING_FEAT_CQE_SKIP) != 0 &&
                           io_uring_opcode_supported(probed.get(), kOpFutexWake) != 0;
    return {};
}

Uring::~Uring() {
    if (!is_open_) {
        return;
    }
    // Closing alone leaves standing polls, and through them the sockets, alive until a kernel
    // worker gets to it: cancel them, then let the deferred ends run. Kernels before 6.0 do not
    // know the call; there it stays so.
    call_enter(0, 0);
    io_uring_sync_cancel_reg all{};
    all.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
    all.timeout.tv_sec = -1;
    all.timeout.tv_nsec = -1;
    (void)io_uring_register_sync_cancel(&ring_, &all);  // ENOENT when nothing stands
    call_enter(0, 0);
    io_uring_queue_exit(&ring_);
}

std::uint32_t Uring::queued_count() const noexcept {
    return sq_tail_ - load_acquire(ring_.sq.khead);
}

io_uring_sqe& Uring::take_sqe() {
    if (queued_count() == ring_.sq.ring_entries) [[unlikely]] {
        make_room();
    }
    io_uring_sqe& sqe = ring_.sq.sqes[sq_tail_ & ring_.sq.ring_mask];
    std::memset(&sqe, 0, sizeof sqe);
    ++sq_tail_;
    ++counters_.sqes;
    return sqe;
}

// Called from fibers too, so completions may not be handled here, only put aside.
void Uring::make_room() {
    constexpr int kTriesMax = 1000;
    for (int attempt = 0; attempt < kTriesMax; ++attempt) {
        call_enter(0, 0);
        if (queued_count() < ring_.sq.ring_entries) {
            return;
        }
        for (Completion completion; pop_from_queue(completion);) {
            aside_.push_back(completion);
        }
    }
    ENSURE(false, "the kernel takes no more submissions");
}

bool Uring::needs_enter() const noexcept {
    constexpr unsigned kWork = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    return queued_count() != 0 || (load_relaxed(ring_.sq.kflags) & kWork) != 0;
}

void Uring::enter(std::int64_t wait_until_us) {
    if (wait_until_us > 0 && !has_completions()) {
        const std::int64_t wait_us = wait_until_us == kNever ? kNever : wait_until_us - now_us();
        if (wait_us > 0) {
            call_enter(1, wait_us);
            return;
        }
    }
    if (needs_enter()) {
        call_enter(0, 0);
    }
}

void Uring::call_enter(std::uint32_t wait_count, std::int64_t wait_us) {
    store_release(ring_.sq.ktail, sq_tail_);
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    if (features_.registered_ring_fd) {
        flags |= IORING_ENTER_REGISTERED_RING;
    }
    __kernel_timespec timeout{.tv_sec = wait_us / 1'000'000, .tv_nsec = wait_us % 1'000'000 * 1000};
    io_uring_getevents_arg arg{};
    if (wait_count != 0 && wait_us != kNever) {
        arg.ts = reinterpret_cast<std::uintptr_t>(&timeout);
    }
    ++counters_.enters;
    const long rc = ::syscall(
        __NR_io_uring_enter,
        ring_.enter_ring_fd,
        queued_count(),
        wait_count,
        flags,
        &arg,
        sizeof arg
    );
    if (rc >= 0) {
        return;
    }
    // ETIME: the wait is over. EINTR: a debugger or a signal. EBUSY, EAGAIN: older completions go
    // first, or memory is short; what was not taken stays queued and goes with the next call.
    const int error = errno;
    ENSURE(
        error == ETIME || error == EINTR || error == EBUSY || error == EAGAIN,
        "io_uring_enter failed"
    );
}

bool Uring::has_completions() const noexcept {
    return aside_next_ < aside_.size() || load_acquire(ring_.cq.ktail) != *ring_.cq.khead;
}

bool Uring::next_completion(Completion& completion) noexcept {
    if (aside_next_ < aside_.size()) [[unlikely]] {
        completion = aside_[aside_next_++];
        if (aside_next_ == aside_.size()) {
            aside_.clear();
            aside_next_ = 0;
        }
    } else if (!pop_from_queue(completion)) {
        return false;
    }
    ++counters_.completions;
    return true;
}

bool Uring::pop_from_queue(Completion& completion) noexcept {
    const unsigned head = *ring_.cq.khead;  // only we write it
    if (load_acquire(ring_.cq.ktail) == head) {
        return false;
    }
    const io_uring_cqe& cqe = ring_.cq.cqes[head & ring_.cq.ring_mask];
    completion = {.user_data = cqe.user_data, .res = cqe.res, .flags = cqe.flags};
    store_release(ring_.cq.khead, head + 1);
    return true;
}

}  // namespace hako::ring
