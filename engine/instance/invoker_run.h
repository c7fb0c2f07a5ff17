#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/instance/failure_text.h"
#include "engine/instance/invoker.h"
#include "engine/instance/stream_relay.h"
#include "engine/meter/cgroup_meter.h"
#include "engine/meter/ledger_record.h"

// For the parts of the invoker only.
namespace hako::instance {

/// Everything about one invocation; lives on its fiber's stack.
struct Invoker::Run {
    Run(const InvokeCall& call_, InvokeObserver& observer_) : call(call_), observer(observer_) {}

    const InvokeCall& call;
    InvokeObserver& observer;
    registry::FunctionRef function;
    std::string_view qualifier;  // as asked for, from the call's name or qualifier
    VersionRuntime* version = nullptr;
    Instance* instance = nullptr;
    PendingInvocation pending;
    meter::RequestId request_id;
    std::array<char, meter::kRequestIdTextBytes> id_text{};
    std::int64_t arrived_us = 0;
    std::int64_t start_wall_us = 0;
    std::int64_t handed_over_us = 0;
    std::int64_t answered_us = 0;
    std::uint32_t event_bytes = 0;
    meter::CgroupUse use;
    meter::LedgerRecord record;
    std::string_view payload;  // the answer: in the channel, or in `failure`
    FailureText failure;
    std::optional<StreamRelay> relay;  // if the caller takes a streamed answer
    std::string failed_start_log;      // what the log got of it: there is no instance to have it
    meter::Outcome outcome = meter::Outcome::kOk;
    bool is_reserved = false;  // the function has concurrency of its own
    bool cold = false;
    bool reusable = false;  // the instance may serve again
    bool is_service_fault = false;
    Run* next = nullptr;
    Run* previous = nullptr;

    [[nodiscard]] std::string_view id() const { return {id_text.data(), id_text.size()}; }
    [[nodiscard]] bool is_streamed() const { return relay && relay->has_begun(); }
    /// 0 for $LATEST.
    [[nodiscard]] std::uint32_t version_number() const {
        return static_cast<std::uint32_t>(function->number);
    }
    [[nodiscard]] std::int64_t timeout_us() const {
        return std::int64_t{function->timeout_s} * 1'000'000;
    }
    [[nodiscard]] StreamRelay::Target stream_target() const {
        return {
            .instance = *instance,
            .observer = observer,
            .head = {.content_type = {}, .version = function->version, .request_id = id()},
            .deadline_us = handed_over_us + timeout_us(),
        };
    }
};

}  // namespace hako::instance
