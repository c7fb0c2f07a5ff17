#include <string>

#include "engine/base/clock.h"
#include "engine/instance/invoker.h"
#include "engine/instance/invoker_run.h"

// The invoker's part for answers that are streamed.
namespace hako::instance {

using meter::Outcome;

/// False: there was nothing to pass on. True: there was, or the outcome says why not.
bool Invoker::pass_on(Run& run) {
    const Result<bool> passed = run.relay->pass_on(run.stream_target());
    if (!passed) {
        take_stream_fault(run, passed.error().code);
        return true;
    }
    return *passed;
}

void Invoker::take_stream_end(Run& run, const Channel::Answer& answer) {
    // The error first: what comes now may park, and the worker may go on writing.
    run.failure.payload = std::string(answer.payload);
    run.payload = {};
    if (const Result<void> passed = run.relay->pass_on_rest(run.stream_target()); !passed) {
        run.reusable = false;
        take_stream_fault(run, passed.error().code);
        run.payload = run.failure.payload;
        return;
    }
    run.answered_us = now_us();
    switch (answer.kind) {
        case HAKO_RESPONSE_STREAM_END:
            return;
        case HAKO_RESPONSE_STREAM_ERROR:
            run.outcome = Outcome::kFunctionError;
            break;
        case HAKO_RESPONSE_TOO_LARGE:
            run.outcome = Outcome::kResponseTooLarge;
            run.failure = stream_too_large_text(options_.stream.bytes_max);
            break;
        default:  // a whole answer behind the parts of another
            run.reusable = false;
            run.outcome = Outcome::kProtocolError;
            run.failure = protocol_text(run.id());
    }
    run.payload = run.failure.payload;
}

/// Why a stream broke off that the worker has not ended itself.
void Invoker::take_stream_fault(Run& run, Errc fault) {
    switch (fault) {
        case Errc::kProtocol:
            run.outcome = Outcome::kProtocolError;
            run.failure = protocol_text(run.id());
            return;
        case Errc::kLimit:
            run.outcome = Outcome::kResponseTooLarge;
            run.failure = stream_too_large_text(options_.stream.bytes_max);
            return;
        case Errc::kTimeout:
            run.outcome = Outcome::kTimeout;
            run.failure = timeout_text(run.id(), run.timeout_us());
            return;
        case Errc::kCancelled:
            tell_cancelled(run);
            return;
        default:
            run.outcome = Outcome::kClientGone;
            run.is_service_fault = true;
            run.failure = sandbox_text(run.id(), "the client has gone", 0);
    }
}

}  // namespace hako::instance
