#include "engine/queue/event_queue.h"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "engine/observe/engine_log.h"

namespace hako::queue {

namespace {

// Lambda's: retried for six hours after a throttle or a fault, one second at first, doubling to
// five minutes (FACTS section 11).
constexpr std::int64_t kAgeMaxUs = 6LL * 3600 * 1'000'000;
constexpr std::int64_t kBackoffUs = 1'000'000;
constexpr std::int64_t kBackoffMaxUs = 300'000'000;
// Readable bytes behind the payload, which the JSON check wants.
constexpr std::size_t kPaddingBytes = 64;

}  // namespace

struct EventQueue::Event {
    std::string function_name;
    std::string qualifier;
    std::string payload;  // and the padding
    std::string client_context;
    std::string request_id;
    std::string trace_id;
    std::int64_t taken_us = 0;
    std::uint32_t function_errors_count = 0;
    std::uint32_t faults_count = 0;

    [[nodiscard]] std::uint64_t bytes() const noexcept {
        return sizeof(Event) + function_name.size() + qualifier.size() + payload.size() +
               client_context.size() + trace_id.size();
    }
    [[nodiscard]] instance::InvokeCall call() const noexcept {
        return {
            .function_name = function_name,
            .qualifier = qualifier,
            .payload = std::string_view(payload).substr(0, payload.size() - kPaddingBytes),
            .client_context = client_context,
            .request_id = request_id,
            .trace_id = trace_id,
        };
    }
};

/// What came of one attempt. Nobody reads the function's answer.
class EventQueue::Attempt final : public instance::InvokeObserver {
public:
    void payload_taken() override {}
    [[nodiscard]] bool is_gone() const override { return false; }
    void reply(const instance::InvokeReply& reply) override {
        status_ = reply.status;
        is_function_error_ = reply.function_error;
    }
    [[nodiscard]] bool is_function_error() const noexcept { return is_function_error_; }
    [[nodiscard]] bool is_done() const noexcept { return status_ < 300 && !is_function_error_; }
    /// The function went away, or does not take the event: trying again changes nothing.
    [[nodiscard]] bool is_hopeless() const noexcept {
        return status_ >= 400 && status_ < 500 && status_ != 429;
    }
    [[nodiscard]] std::uint32_t status() const noexcept { return status_; }

private:
    std::uint32_t status_ = 500;
    bool is_function_error_ = false;
};

EventQueue::EventQueue(
    ring::Loop& loop, instance::Invoker& invoker, const EventQueueOptions& options
)
    : loop_(loop), invoker_(invoker), options_(options) {
    timer_.owner = this;
    timer_.on_due = [](ring::Timer& timer) { static_cast<EventQueue*>(timer.owner)->start_due(); };
}

EventQueue::~EventQueue() {
    loop_.disarm(timer_);
}

bool EventQueue::offer(const instance::InvokeCall& call, std::string_view request_id) {
    auto event = std::make_unique<Event>();
    event->function_name = call.function_name;
    event->qualifier = call.qualifier;
    event->payload.reserve(call.payload.size() + kPaddingBytes);
    event->payload = call.payload;
    event->payload.append(kPaddingBytes, '\0');
    event->client_context = call.client_context;
    event->request_id = request_id;
    event->trace_id = call.trace_id;
    event->taken_us = loop_.turn_now_us();
    if (stopped_ || bytes_ + event->bytes() > options_.bytes_max) {
        return false;
    }
    bytes_ += event->bytes();
    wait(std::move(event), loop_.turn_now_us());
    return true;
}

void EventQueue::wait(std::unique_ptr<Event> event, std::int64_t due_us) {
    waiting_.emplace(due_us, std::move(event));
    arm();
}

void EventQueue::arm() {
    if (waiting_.empty() || running_count_ >= options_.running_max) {
        loop_.disarm(timer_);  // who ends looks again
        return;
    }
    const std::int64_t due_us = waiting_.begin()->first;
    if (!timer_.is_armed() || due_us < timer_.due_us) {
        loop_.arm(timer_, due_us);
    }
}

void EventQueue::start_due() {
    const std::int64_t now = loop_.turn_now_us();
    while (!waiting_.empty() && waiting_.begin()->first <= now &&
           running_count_ < options_.running_max) {
        auto first = waiting_.extract(waiting_.begin());
        Event* event = first.mapped().release();
        const Result<fiber::FiberId> spawned =
            loop_.scheduler().spawn("event", [this, event] { run(std::unique_ptr<Event>(event)); });
        if (!spawned) {  // so many fibers: later
            waiting_.emplace(now + kBackoffUs, event);
            break;
        }
        ++running_count_;
    }
    arm();
}

void EventQueue::run(std::unique_ptr<Event> event) {
    Attempt attempt;
    invoker_.invoke(event->call(), attempt);
    ENSURE(running_count_ > 0, "who ends has begun");
    --running_count_;
    settle(std::move(event), attempt);
    if (stopped_ && running_count_ == 0 && on_idle) {
        on_idle();
    }
}

void EventQueue::settle(std::unique_ptr<Event> event, const Attempt& attempt) {
    const std::int64_t now = loop_.turn_now_us();
    if (attempt.is_done()) {
        bytes_ -= event->bytes();
    } else if (stopped_) {
        drop(std::move(event), "the engine is stopping");
    } else if (attempt.is_hopeless()) {
        drop(std::move(event), "it was refused");
    } else if (attempt.is_function_error()) {
        const std::size_t retry = event->function_errors_count++;
        if (retry >= options_.retry_delays_us.size()) {
            drop(std::move(event), "the function failed every time");
        } else {
            wait(std::move(event), now + options_.retry_delays_us[retry]);
        }
    } else if (now - event->taken_us > kAgeMaxUs) {
        drop(std::move(event), "it is too old");
    } else {
        const std::uint32_t doublings = std::min(event->faults_count++, 9U);
        wait(std::move(event), now + std::min(kBackoffUs << doublings, kBackoffMaxUs));
    }
    arm();
}

void EventQueue::drop(std::unique_ptr<Event> event, std::string_view why) {
    observe::log_line(
        observe::Level::kWarning,
        "queue",
        "event dropped function={} request={}: {}",
        event->function_name,
        event->request_id,
        why
    );
    bytes_ -= event->bytes();
}

std::size_t EventQueue::stop() {
    stopped_ = true;
    loop_.disarm(timer_);
    const std::size_t dropped_count = waiting_.size();
    waiting_.clear();
    return dropped_count;
}

}  // namespace hako::queue
