#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/fiber/fiber.h"

namespace hako::ring {

/// One piece of blocking work; lives on the stack of the fiber that waits for it.
struct OffloadJob {
    std::move_only_function<void()>* work = nullptr;
    fiber::FiberId fiber;
    bool is_done = false;  // set and read on the loop only
    OffloadJob* next = nullptr;
};

/// Threads for what must block. They start when first needed, take no signals, and end with the
/// pool. Finished jobs come back in a list that an eventfd announces once, however many it holds.
class OffloadPool {
public:
    [[nodiscard]] static Result<std::unique_ptr<OffloadPool>> make(std::uint32_t threads_max);
    ~OffloadPool();  // joins; no job may be queued
    OffloadPool(const OffloadPool&) = delete;
    OffloadPool& operator=(const OffloadPool&) = delete;

    void submit(OffloadJob& job);
    /// The finished jobs, oldest first, linked by `next`. Clears the announcement.
    [[nodiscard]] OffloadJob* take_done() noexcept;
    /// Readable when there is something to take; borrowed.
    [[nodiscard]] int done_fd() const noexcept { return done_fd_.get(); }

private:
    explicit OffloadPool(std::uint32_t threads_max) : threads_max_(threads_max) {}
    void start_thread();
    void run_thread() noexcept;
    void hand_back(OffloadJob& job) noexcept;

    std::uint32_t threads_max_;
    UniqueFd done_fd_;
    std::atomic<OffloadJob*> done_{nullptr};  // newest first
    std::mutex mutex_;                        // guards what follows
    std::condition_variable has_work_;
    OffloadJob* queue_head_ = nullptr;
    OffloadJob* queue_tail_ = nullptr;
    std::uint32_t queued_count_ = 0;
    std::uint32_t idle_count_ = 0;
    bool is_ending_ = false;
    std::vector<std::thread> threads_;  // the loop's thread only
};

}  // namespace hako::ring
