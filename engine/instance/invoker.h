#pragma once

#include <cstdint>
#include <functional>

#include "engine/instance/event_json.h"
#include "engine/instance/invoke_types.h"
#include "engine/instance/manager.h"
#include "engine/instance/stream_relay.h"
#include "engine/meter/ledger.h"
#include "engine/meter/report.h"
#include "engine/meter/request_id.h"
#include "engine/meter/time_text.h"
#include "engine/observe/metrics.h"
#include "engine/registry/registry.h"
#include "engine/ring/loop.h"

namespace hako::instance {

struct InvokerOptions {
    std::uint32_t billing_increment_ms = 100;
    std::uint32_t concurrency_max = 1000;  ///< of the account: all functions together
    std::uint32_t payload_bytes_max = 6291456;
    std::uint32_t event_bytes_max = 262144;  ///< of an asynchronous invocation
    StreamLimits stream;
};

/// One invocation from request to answer: finds the function, waits for an instance, hands over,
/// meters, writes the ledger record and the log lines, answers.
class Invoker {
public:
    struct Parts {
        ring::Loop& loop;
        registry::Registry& registry;
        Manager& manager;
        meter::Ledger& ledger;
        observe::Metrics& metrics;
    };

    Invoker(const Parts& parts, const InvokerOptions& options);
    ~Invoker();
    Invoker(const Invoker&) = delete;
    Invoker& operator=(const Invoker&) = delete;

    /// Runs on the caller's fiber until the function has answered or failed; parks. Calls
    /// `observer.reply` exactly once. Behaviour: Lambda's Invoke (FACTS section 5).
    void invoke(const InvokeCall& call, InvokeObserver& observer);
    [[nodiscard]] std::uint32_t in_flight_count() const noexcept { return in_flight_count_; }
    /// Ends every running invocation with an error (the drain deadline has passed). They still
    /// reply.
    void cancel_all();
    /// Called after each ledger record: the owner arms what syncs the ledger and flushes the logs.
    std::function<void()> on_recorded;
    /// Takes an asynchronous invocation that was found good; false: there is no room for it. It
    /// copies what it keeps, and is invoked later with the request id given here.
    std::function<bool(const InvokeCall& call, std::string_view request_id)> on_event;

private:
    struct Run;

    [[nodiscard]] bool admit(Run& run);
    void take_event(Run& run);
    [[nodiscard]] bool check_payload(Run& run);
    [[nodiscard]] bool is_account_full(const Run& run) const;
    [[nodiscard]] static bool is_function_full(const Run& run);
    [[nodiscard]] bool await_instance(Run& run);
    void call_instance(Run& run);
    void await_answer(Run& run);
    [[nodiscard]] bool pass_on(Run& run);
    void take_answer(Run& run, const Channel::Answer& answer);
    void take_stream_end(Run& run, const Channel::Answer& answer);
    void take_stream_fault(Run& run, Errc fault);
    void take_exit(Run& run, const spawner::Gone& gone);
    void tell_cancelled(Run& run);
    void tell_start_failure(Run& run, StartFailure& failure);
    void account(Run& run);
    void write_log_end(Run& run);
    void reply(Run& run);
    void log_failed_start(Run& run);
    [[nodiscard]] std::string_view format_report(const Run& run, meter::LineBuffer& line);
    void refuse(Run& run, const registry::ApiError& error);
    void throttle(Run& run, std::string_view reason);
    void refuse_with(Run& run, std::uint32_t status, std::string_view code, std::string_view body);

    ring::Loop& loop_;
    registry::Registry& registry_;
    Manager& manager_;
    meter::Ledger& ledger_;
    observe::Metrics& metrics_;
    InvokerOptions options_;
    meter::RequestIdGenerator ids_;
    meter::IsoClock iso_clock_;
    Run* runs_ = nullptr;  // list of all that run
    EventJson event_json_;
    std::uint32_t in_flight_count_ = 0;
    std::uint32_t unreserved_count_ = 0;  // of them: of functions without reserved concurrency
};

}  // namespace hako::instance
