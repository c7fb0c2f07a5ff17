#include "engine/instance/invoker.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "engine/instance/invoker_run.h"
#include "engine/meter/billing.h"
#include "engine/meter/report.h"
#include "engine/meter/time_text.h"
#include "engine/registry/api_error.h"

namespace hako::instance {

using meter::Outcome;

// With its NUL.
constexpr std::size_t kTraceIdBytes = sizeof(hako_channel::trace_id);

Invoker::Invoker(const Parts& parts, const InvokerOptions& options)
    : loop_(parts.loop),
      registry_(parts.registry),
      manager_(parts.manager),
      ledger_(parts.ledger),
      metrics_(parts.metrics),
      options_(options) {}

Invoker::~Invoker() = default;

void Invoker::invoke(const InvokeCall& call, InvokeObserver& observer) {
    Run run(call, observer);
    run.arrived_us = loop_.turn_now_us();
    const auto given_id = meter::RequestId::parse(call.request_id);
    run.request_id = given_id ? *given_id : ids_.next();
    run.request_id.write_text(run.id_text.data());
    if (!admit(run)) {
        return;
    }
    ++in_flight_count_;
    ++run.function->common->in_flight_count;
    unreserved_count_ += run.is_reserved ? 0 : 1;
    run.next = runs_;
    if (runs_ != nullptr) {
        runs_->previous = &run;
    }
    runs_ = &run;
    if (await_instance(run)) {
        call_instance(run);
    }
    // `version` outlives this: it is forgotten only once nothing is in flight.
    run.version->pool.leave();
    (run.previous != nullptr ? run.previous->next : runs_) = run.next;
    if (run.next != nullptr) {
        run.next->previous = run.previous;
    }
    --in_flight_count_;
    --run.function->common->in_flight_count;
    unreserved_count_ -= run.is_reserved ? 0 : 1;
    if (run.version->replaced) {
        manager_.settle(*run.version);
    }
}

void Invoker::cancel_all() {
    for (Run* run = runs_; run != nullptr; run = run->next) {
        loop_.scheduler().cancel(run->pending.fiber);
    }
}

void Invoker::refuse(Run& run, const registry::ApiError& error) {
    const std::string body = error.to_json();
    refuse_with(run, static_cast<std::uint32_t>(error.status), error.code, body);
}

void Invoker::throttle(Run& run, std::string_view reason) {
    ++metrics_.throttles_count;
    const std::string body =
        fmt::format(R"({{"Reason":"{}","Type":"User","message":"Rate Exceeded."}})", reason);
    refuse_with(run, 429, "TooManyRequestsException", body);
}

void Invoker::refuse_with(
    Run& run, std::uint32_t status, std::string_view code, std::string_view body
) {
    InvokeReply refused;
    refused.status = status;
    refused.error_code = code;
    refused.payload = body;
    std::ranges::copy(run.id(), refused.numbers.request_id);
    run.observer.reply(refused);
}

bool Invoker::check_payload(Run& run) {
    const InvokeCall& call = run.call;
    const bool is_event = call.invocation_type == wire::InvocationType::kEvent;
    const std::uint32_t bytes_max =
        is_event ? options_.event_bytes_max : options_.payload_bytes_max;
    if (call.payload.size() > bytes_max) {
        refuse(
            run,
            registry::too_large(fmt::format(
                "{} byte payload is too large for the {} invocation type (limit {} bytes)",
                call.payload.size(),
                is_event ? "Event" : "RequestResponse",
                bytes_max
            ))
        );
        return false;
    }
    if (!call.payload.empty()) {
        if (const char* fault = event_json_.fault(call.payload)) {
            refuse(
                run, registry::bad_json(fmt::format("Could not parse payload into json: {}", fault))
            );
            return false;
        }
    }
    if (!call.client_context.empty() && event_json_.fault(call.client_context) != nullptr) {
        refuse(
            run,
            {.status = 400,
             .code = "InvalidRequestContentException",
             .message = "Client context must be a valid Base64-encoded JSON object."}
        );
        return false;
    }
    return true;
}

/// Hands the event to the queue, which invokes it later, and answers.
void Invoker::take_event(Run& run) {
    if (!on_event || !on_event(run.call, run.id())) {
        throttle(run, "ConcurrentInvocationLimitExceeded");
        return;
    }
    InvokeReply taken;
    taken.status = 202;
    std::ranges::copy(run.id(), taken.numbers.request_id);
    run.observer.reply(taken);
}

bool Invoker::admit(Run& run) {
    const InvokeCall& call = run.call;
    auto found = registry_.find(call.function_name, call.qualifier);
    if (!found) {
        refuse(run, found.error());
        return false;
    }
    run.function = std::move(found->function);
    run.qualifier = found->qualifier;
    if (!check_payload(run)) {
        return false;
    }
    if (call.invocation_type == wire::InvocationType::kDryRun) {
        InvokeReply dry;
        dry.status = 204;
        std::ranges::copy(run.id(), dry.numbers.request_id);
        run.observer.reply(dry);
        return false;
    }
    if (call.invocation_type == wire::InvocationType::kEvent) {
        take_event(run);
        return false;
    }
    if (ledger_.slots_free_count() <= in_flight_count_) {
        on_recorded();  // so that the next segment is tried for
        refuse(run, registry::service_error("The ledger is full: no disk space for accounting."));
        return false;
    }
    run.version = &manager_.runtime_of(run.function);
    run.is_reserved = run.function->common->reserved_concurrency.has_value();
    const bool account_full = is_account_full(run);
    run.pending.fiber = loop_.scheduler().self();
    if (account_full || is_function_full(run) ||
        run.version->pool.arrive(run.pending, run.arrived_us) == dispatch::Arrival::kThrottled) {
        throttle(
            run,
            !account_full && run.is_reserved ? "ReservedFunctionConcurrentInvocationLimitExceeded"
                                             : "ConcurrentInvocationLimitExceeded"
        );
        return false;
    }
    return true;
}

// What is reserved for one function is not there for the others (AWS "Reserved concurrency").
bool Invoker::is_account_full(const Run& run) const {
    const std::uint64_t reserved =
        std::min<std::uint64_t>(registry_.reserved_total(), options_.concurrency_max);
    return in_flight_count_ >= options_.concurrency_max ||
           (!run.is_reserved && unreserved_count_ >= options_.concurrency_max - reserved);
}

// The reservation is the function's: all its versions share it.
bool Invoker::is_function_full(const Run& run) {
    const registry::FunctionCommon& common = *run.function->common;
    return common.in_flight_count >= common.reserved_concurrency.value_or(UINT32_MAX);
}

bool Invoker::await_instance(Run& run) {
    PendingInvocation& pending = run.pending;
    if (pending.queued) {
        manager_.settle(*run.version);
    }
    while (pending.queued) {
        if (const Result<void> waited = loop_.park_until(kNever); !waited) {
            if (pending.queued) {
                run.version->pool.abandon(pending);
                pending.start_failure = StartFailure{.kind = StartFailure::Kind::kCancelled};
            }
            break;
        }
    }
    if (pending.start_failure) {
        tell_start_failure(run, *pending.start_failure);
        return false;
    }
    ENSURE(pending.instance != dispatch::kNoInstance, "a waiter gets an instance or a failure");
    run.instance = &manager_.instance(pending.instance);
    return true;
}

void Invoker::tell_start_failure(Run& run, StartFailure& failure) {
    using Kind = StartFailure::Kind;
    run.observer.payload_taken();
    run.start_wall_us = wall_us();
    run.handed_over_us = run.answered_us = now_us();
    run.outcome = Outcome::kInitError;
    switch (failure.kind) {
        case Kind::kReported:
            run.failure.payload = std::move(failure.payload);
            run.failure.error_type = error_member(run.failure.payload, "errorType");
            run.failure.sentence = error_member(run.failure.payload, "errorMessage");
            break;
        case Kind::kExited:
            take_exit(run, failure.gone);
            break;
        case Kind::kTimedOut:
            run.failure = timeout_text(run.id(), manager_.options().init_timeout_us);
            break;
        case Kind::kGarbage:
            run.failure = protocol_text(run.id());
            break;
        case Kind::kSandbox:
        case Kind::kSpawnerLost:
            run.failure = sandbox_text(run.id(), failure.step, failure.sys_errno);
            run.is_service_fault = true;
            break;
        case Kind::kCancelled:
            tell_cancelled(run);
            break;
        case Kind::kLimit:
            throttle(run, "ConcurrentInvocationLimitExceeded");
            return;
    }
    run.payload = run.failure.payload;
    run.record.init_us = static_cast<std::uint64_t>(failure.init_us);
    run.cold = failure.kind != Kind::kCancelled;
    account(run);
    log_failed_start(run);
    on_recorded();
    reply(run);
}

void Invoker::call_instance(Run& run) {
    Instance& instance = *run.instance;
    const InvokeCall& call = run.call;
    instance.owner = run.pending.fiber;
    instance.state = Instance::State::kBusy;
    run.cold = instance.invocation_count++ == 0;
    run.event_bytes = static_cast<std::uint32_t>(call.payload.size());
    run.start_wall_us = wall_us();
    manager_.thaw(instance);

    meter::LineBuffer line;
    instance.log.begin(meter::format_start(line, run.request_id, run.version_number()));
    (void)instance.meter.begin();  // a peak that is not reset reads too high, never too low

    std::string qualified_arn;
    std::string_view arn = run.function->arn;
    if (!run.qualifier.empty()) {
        qualified_arn = fmt::format("{}:{}", arn, run.qualifier);
        arn = qualified_arn;
    }
    if (run.observer.wants_stream()) {
        run.relay.emplace(loop_, manager_, options_.stream);
    }
    const std::int64_t timeout_us = run.timeout_us();
    run.handed_over_us = now_us();
    const Result<void> posted = instance.channel.post_invoke({
        .event = call.payload.empty() ? std::string_view("{}") : call.payload,
        .client_context = call.client_context,
        .request_id = run.id(),
        .function_arn = arn,
        .trace_id = call.trace_id.size() < kTraceIdBytes ? call.trace_id : std::string_view(),
        .deadline_unix_ms = (run.start_wall_us + timeout_us) / 1'000,
        .deadline_monotonic_us = run.handed_over_us + timeout_us,
        .stream_bytes_max = run.relay ? options_.stream.bytes_max : 0,
    });
    ENSURE(posted.has_value(), "what was admitted fits the channel");
    if (instance.channel.worker_may_sleep()) {
        loop_.futex_wake(instance.channel.request_word());
    }
    run.observer.payload_taken();

    await_answer(run);
    if (run.relay) {
        run.relay->close();
    }
    account(run);
    write_log_end(run);
    on_recorded();
    reply(run);
    instance.channel.release_large();
    if (run.reusable) {
        manager_.release(instance, run.answered_us - run.handed_over_us);
    } else {
        manager_.discard(instance);
    }
}

void Invoker::await_answer(Run& run) {
    Instance& instance = *run.instance;
    const std::int64_t deadline_us = run.handed_over_us + run.timeout_us();
    for (;;) {
        const Result<Channel::Answer> answer = instance.channel.take_answer();
        if (answer) {
            Manager::note_answer(instance);
            run.answered_us = now_us();
            take_answer(run, *answer);
            return;
        }
        if (answer.error().code == Errc::kProtocol || instance.rings_too_much) {
            run.outcome = Outcome::kProtocolError;
            run.failure = protocol_text(run.id());
            break;
        }
        if (run.relay && pass_on(run)) {
            if (run.outcome == Outcome::kOk) {
                continue;
            }
            break;
        }
        if (instance.gone) {
            take_exit(run, *instance.gone);
            break;
        }
        const Result<void> waited = loop_.park_until(deadline_us);
        if (waited) {
            continue;
        }
        if (waited.error().code == Errc::kTimeout) {
            run.outcome = Outcome::kTimeout;
            run.failure = timeout_text(run.id(), run.timeout_us());
        } else {
            tell_cancelled(run);
        }
        break;
    }
    run.answered_us = now_us();
    run.payload = run.failure.payload;
}

void Invoker::tell_cancelled(Run& run) {
    const bool client_gone = run.observer.is_gone();
    run.outcome = client_gone ? Outcome::kClientGone : Outcome::kKilled;
    run.is_service_fault = true;
    run.failure =
        sandbox_text(run.id(), client_gone ? "the client has gone" : "the engine is stopping", 0);
}

void Invoker::take_answer(Run& run, const Channel::Answer& answer) {
    run.reusable = true;
    run.payload = answer.payload;
    const bool ends_stream =
        answer.kind == HAKO_RESPONSE_STREAM_END || answer.kind == HAKO_RESPONSE_STREAM_ERROR;
    if (ends_stream || run.instance->channel.has_stream_begun()) {
        take_stream_end(run, answer);
        return;
    }
    switch (answer.kind) {
        case HAKO_RESPONSE_RESULT:
            run.outcome = Outcome::kOk;
            return;
        case HAKO_RESPONSE_ERROR:
            run.outcome = Outcome::kFunctionError;
            return;
        default:
            run.outcome = Outcome::kResponseTooLarge;
            run.failure = response_too_large_text();
            run.payload = run.failure.payload;
            return;
    }
}

void Invoker::take_exit(Run& run, const spawner::Gone& gone) {
    if (gone.reason == spawner::kGoneSetupFailed || gone.reason == spawner::kGoneSpawnerLost) {
        run.is_service_fault = true;
        run.outcome = Outcome::kKilled;
        run.failure = sandbox_text(run.id(), gone.step, gone.sys_errno);
        return;
    }
    run.failure = exit_text(run.id(), gone);
    run.outcome =
        run.failure.error_type == "Runtime.OutOfMemory" ? Outcome::kOutOfMemory : Outcome::kCrash;
}

void Invoker::account(Run& run) {
    if (run.instance != nullptr) {
        Instance& instance = *run.instance;
        if (instance.gone && instance.gone->reason != spawner::kGoneSpawnerLost) {
            // The cgroup is gone too; the spawner read its counters last.
            const std::uint64_t total_us = instance.gone->cpu_ns / 1'000;
            run.use.cpu_us = total_us - std::min(total_us, instance.cpu_seen_us);
            run.use.memory_peak_bytes = instance.gone->memory_peak_bytes;
        } else if (const Result<meter::CgroupUse> use = instance.meter.end(); use) {
            run.use = *use;
        }
        instance.cpu_seen_us += run.use.cpu_us;
        run.record.init_us = run.cold ? static_cast<std::uint64_t>(instance.init_us) : 0;
        run.record.sandbox_id = instance.sandbox.sandbox_id;
    } else if (run.pending.start_failure) {
        run.use.cpu_us = run.pending.start_failure->gone.cpu_ns / 1'000;
        run.use.memory_peak_bytes = run.pending.start_failure->gone.memory_peak_bytes;
    }
    const meter::LedgerRecord& base = run.version->ledger_template;
    meter::LedgerRecord& record = run.record;
    record.outcome = run.outcome;
    record.cold = run.cold ? 1 : 0;
    record.start_wall_us = run.start_wall_us;
    record.request_id = run.request_id;
    record.function_version_id = base.function_version_id;
    record.memory_mib = base.memory_mib;
    record.function = base.function;
    record.duration_us = static_cast<std::uint64_t>(run.answered_us - run.handed_over_us);
    // What never reached the function is not charged: a sandbox that failed, a client that left
    // the queue.
    const bool never_ran = run.instance == nullptr && run.is_service_fault;
    record.billed_us =
        never_ran ? 0 : meter::billed_us(record.duration_us, 0, options_.billing_increment_ms);
    record.cpu_us = run.use.cpu_us;
    record.wait_us = static_cast<std::uint64_t>(run.handed_over_us - run.arrived_us);
    record.memory_peak_bytes = run.use.memory_peak_bytes;
    record.increment_ms = options_.billing_increment_ms;
    record.event_bytes = run.event_bytes;
    const std::uint64_t streamed_bytes = run.relay ? run.relay->bytes() : 0;
    record.response_bytes = static_cast<std::uint32_t>(streamed_bytes + run.payload.size());
    const Result<void> appended = ledger_.append(record);
    ENSURE(appended.has_value(), "an admitted invocation has its place in the ledger");
    metrics_.record(record);
}

void Invoker::write_log_end(Run& run) {
    Instance& instance = *run.instance;
    if (instance.has_logged || run.call.log_type == wire::LogType::kTail || !run.reusable) {
        manager_.drain_log(instance);
    }
    meter::LineBuffer line;
    if (run.outcome == Outcome::kTimeout) {
        instance.log.add_line(meter::format_timeout(
            line,
            iso_clock_.format(wall_us()),
            run.request_id,
            std::uint64_t{run.function->timeout_s} * 1'000'000
        ));
    } else if (!run.reusable) {
        instance.log.add_line(
            meter::format_exit(line, run.request_id, run.failure.sentence, run.failure.error_type)
        );
    }
    meter::LineBuffer report_line;
    const std::string_view report = format_report(run, report_line);
    instance.log.end(meter::format_end(line, run.request_id), report);
}

void Invoker::log_failed_start(Run& run) {
    meter::LineBuffer line;
    std::string& text = run.failed_start_log;
    text = meter::format_start(line, run.request_id, run.version_number());
    if (!run.failure.sentence.empty()) {
        text +=
            meter::format_exit(line, run.request_id, run.failure.sentence, run.failure.error_type);
    }
    text += meter::format_end(line, run.request_id);
    text += format_report(run, line);
    manager_.append_log(*run.version, text);
}

std::string_view Invoker::format_report(const Run& run, meter::LineBuffer& line) {
    meter::ReportStatus status = meter::ReportStatus::kOk;
    if (run.outcome == Outcome::kTimeout) {
        status = meter::ReportStatus::kTimeout;
    } else if (!run.reusable) {
        status = meter::ReportStatus::kError;
    }
    return meter::format_report(
        line,
        {
            .request_id = run.request_id,
            .duration_us = run.record.duration_us,
            .billed_us = run.record.billed_us,
            .memory_mib = run.record.memory_mib,
            .memory_peak_bytes = run.record.memory_peak_bytes,
            .cold = run.cold,
            .init_us = run.record.init_us,
            .status = status,
            .error_type = run.failure.error_type,
        }
    );
}

void Invoker::reply(Run& run) {
    InvokeReply out;
    std::string service_body;
    std::array<char, observe::kTailBytes> tail;
    out.version = run.function->version;
    out.payload = run.payload;
    out.streamed = run.is_streamed();
    if (run.is_service_fault) {
        const registry::ApiError error = registry::service_error(run.failure.sentence);
        service_body = error.to_json();
        out.status = static_cast<std::uint32_t>(error.status);
        out.error_code = "ServiceException";
        out.payload = service_body;
    } else if (run.outcome != Outcome::kOk) {
        out.function_error = true;
        out.error_code = "Unhandled";
    }
    if (run.call.log_type == wire::LogType::kTail && run.instance != nullptr) {
        out.log_tail = {tail.data(), run.instance->log.tail().copy_to(tail)};
    } else if (run.call.log_type == wire::LogType::kTail) {
        const std::string_view log = run.failed_start_log;
        out.log_tail = log.substr(log.size() - std::min(log.size(), observe::kTailBytes));
    }
    std::ranges::copy(run.id(), out.numbers.request_id);
    out.numbers.memory_mib = run.record.memory_mib;
    out.numbers.duration_us = run.record.duration_us;
    out.numbers.billed_us = run.record.billed_us;
    out.numbers.init_us = run.record.init_us;
    out.numbers.cpu_us = run.record.cpu_us;
    out.numbers.memory_peak_bytes = run.record.memory_peak_bytes;
    run.observer.reply(out);
}

}  // namespace hako::instance
