#include "engine/ring/offload.h"

#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/base/ensure.h"

namespace hako::ring {

Result<std::unique_ptr<OffloadPool>> OffloadPool::make(std::uint32_t threads_max) {
    std::unique_ptr<OffloadPool> pool(new OffloadPool(threads_max));
    pool->done_fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!pool->done_fd_) {
        return fail_errno("eventfd for offloaded work");
    }
    return pool;
}

OffloadPool::~OffloadPool() {
    {
        const std::lock_guard lock(mutex_);
        ENSURE(queue_head_ == nullptr, "the offload pool died with work queued");
        is_ending_ = true;
    }
    has_work_.notify_all();
    for (std::thread& thread : threads_) {
        thread.join();
    }
}

void OffloadPool::submit(OffloadJob& job) {
    bool needs_thread = false;
    {
        const std::lock_guard lock(mutex_);
        job.next = nullptr;
        (queue_tail_ == nullptr ? queue_head_ : queue_tail_->next) = &job;
        queue_tail_ = &job;
        ++queued_count_;
        needs_thread = queued_count_ > idle_count_ && threads_.size() < threads_max_;
    }
    if (needs_thread) {
        start_thread();
    }
    has_work_.notify_one();
}

// The new thread inherits the mask, so signals are blocked before it exists: none can ever reach
// it.
void OffloadPool::start_thread() {
    sigset_t all{};
    sigset_t former{};
    (void)::sigfillset(&all);  // cannot fail on a valid pointer
    ENSURE(::pthread_sigmask(SIG_SETMASK, &all, &former) == 0, "pthread_sigmask failed");
    try {
        threads_.emplace_back([this] { run_thread(); });
    } catch (const std::system_error&) {
        // Out of threads: those we have will do; none at all would leave the fiber waiting for
        // ever.
        ENSURE(!threads_.empty(), "not one offload thread could be started");
    }
    ENSURE(::pthread_sigmask(SIG_SETMASK, &former, nullptr) == 0, "pthread_sigmask failed");
}

void OffloadPool::run_thread() noexcept {
    (void)::pthread_setname_np(::pthread_self(), "hako-offload");  // only for people who look
    std::unique_lock lock(mutex_);
    for (;;) {
        while (queue_head_ == nullptr) {
            if (is_ending_) {
                return;
            }
            ++idle_count_;
            has_work_.wait(lock);
            --idle_count_;
        }
        OffloadJob& job = *queue_head_;
        queue_head_ = std::exchange(job.next, nullptr);
        if (queue_head_ == nullptr) {
            queue_tail_ = nullptr;
        }
        --queued_count_;
        lock.unlock();
        (*job.work)();
        hand_back(job);
        lock.lock();
    }
}

// After the exchange the job belongs to the loop again and may be gone.
void OffloadPool::hand_back(OffloadJob& job) noexcept {
    OffloadJob* head = done_.load(std::memory_order_relaxed);
    do {
        job.next = head;
    } while (!done_.compare_exchange_weak(
        head, &job, std::memory_order_release, std::memory_order_relaxed
    ));
    if (head != nullptr) {
        return;  // whoever put the first one there has announced, or is about to
    }
    const std::uint64_t one = 1;
    const ssize_t written = ::write(done_fd_.get(), &one, sizeof one);
    ENSURE(written == sizeof one, "the offload eventfd took no write");
}

OffloadJob* OffloadPool::take_done() noexcept {
    std::uint64_t announced = 0;
    const ssize_t got = ::read(done_fd_.get(), &announced, sizeof announced);
    ENSURE(got == sizeof announced || errno == EAGAIN, "the offload eventfd gave no read");
    OffloadJob* newest_first = done_.exchange(nullptr, std::memory_order_acquire);
    OffloadJob* oldest_first = nullptr;
    while (newest_first != nullptr) {
        OffloadJob* job = newest_first;
        newest_first = std::exchange(job->next, oldest_first);
        oldest_first = job;
    }
    return oldest_first;
}

}  // namespace hako::ring
