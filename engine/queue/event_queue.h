#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string_view>

#include "engine/instance/invoke_types.h"
#include "engine/instance/invoker.h"
#include "engine/ring/loop.h"

namespace hako::queue {

struct EventQueueOptions {
    std::uint64_t bytes_max = 64 * 1024 * 1024;  ///< of the events that wait or run
    std::uint32_t running_max = 100;             ///< at the same time
    /// Before the second and the third attempt after a function error.
    std::array<std::int64_t, 2> retry_delays_us = {60'000'000, 120'000'000};
};

/// Asynchronous invocations, in memory. Lives on the loop.
class EventQueue {
public:
    EventQueue(ring::Loop& loop, instance::Invoker& invoker, const EventQueueOptions& options);
    ~EventQueue();  // nothing may run any more
    EventQueue(const EventQueue&) = delete;
    EventQueue& operator=(const EventQueue&) = delete;

    /// Takes an event that has been checked; copies it. False: the queue is full.
    [[nodiscard]] bool offer(const instance::InvokeCall& call, std::string_view request_id);
    /// Runs no more of them: what runs goes on, what waits is dropped. Returns how many were.
    std::size_t stop();
    [[nodiscard]] std::uint32_t running_count() const noexcept { return running_count_; }
    [[nodiscard]] std::size_t waiting_count() const noexcept { return waiting_.size(); }
    /// Called when the last one that ran has ended after `stop`.
    std::function<void()> on_idle;

private:
    struct Event;
    class Attempt;

    void start_due();
    void run(std::unique_ptr<Event> event);
    void settle(std::unique_ptr<Event> event, const Attempt& attempt);
    void wait(std::unique_ptr<Event> event, std::int64_t due_us);
    void drop(std::unique_ptr<Event> event, std::string_view why);
    void arm();

    ring::Loop& loop_;
    instance::Invoker& invoker_;
    EventQueueOptions options_;
    std::multimap<std::int64_t, std::unique_ptr<Event>> waiting_;  // by when they are due
    ring::Timer timer_;
    std::uint64_t bytes_ = 0;
    std::uint32_t running_count_ = 0;
    bool stopped_ = false;
};

}  // namespace hako::queue
