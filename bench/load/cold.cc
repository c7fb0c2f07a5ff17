#include "bench/load/cold.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include <poll.h>
#include <time.h>

#include <fmt/format.h>

#include "bench/load/connection.h"
#include "bench/load/payload.h"
#include "engine/base/clock.h"

namespace hako::bench {
namespace {

constexpr std::uint32_t kBatchCount = 50;
constexpr std::string_view kNameMark = "@NAME@";

Result<std::string> read_whole_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file || bytes.empty()) {
        return fail(Errc::kNotFound, "--package: cannot be read or is empty");
    }
    return bytes;
}

void pause_ms(std::int64_t milliseconds) {
    const timespec pause{.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1'000'000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);  // a shorter pause does no harm
}

/// One connection, one request at a time.
class Caller {
public:
    Caller(Connection connection, std::int64_t stall_ms)
        : connection_(std::move(connection)), stall_ms_(stall_ms) {}

    /// The answer's views are valid until the next call.
    Result<Answer> call(wire::FrameType type, std::string_view meta, std::string_view payload) {
        correlation_ += 1;
        connection_.queue({.type = type, .correlation = correlation_}, meta, payload);
        TRY(connection_.flush());
        while (connection_.has_output()) {
            pollfd ready{.fd = connection_.fd(), .events = POLLOUT, .revents = 0};
            if (poll(&ready, 1, static_cast<int>(stall_ms_)) == 0) {
                return fail(Errc::kTimeout, "the engine does not read");
            }
            TRY(connection_.flush());
        }
        for (;;) {
            TRY(connection_.receive(Connection::Wait::kWait));
            TRY_ASSIGN(const std::optional<Answer> answer, connection_.next());
            if (answer && answer->header.correlation != correlation_) {
                return fail(Errc::kProtocol, "an answer with another correlation number");
            }
            if (answer) {
                return *answer;
            }
        }
    }

    Result<void> control(std::string_view operation, std::string_view json, std::string_view code) {
        TRY_ASSIGN(
            const Answer answer,
            call(wire::FrameType::kControl, control_meta(operation, json), code)
        );
        if (answer.header.type != wire::FrameType::kControlResult || answer.header.status >= 400) {
            fmt::print(
                stderr, "{}: status {}: {}\n", operation, answer.header.status, answer.payload
            );
            return fail(Errc::kProtocol, "the engine refused a Control request");
        }
        return {};
    }

private:
    Connection connection_;
    std::int64_t stall_ms_;
    std::uint64_t correlation_ = 0;
};

class ColdRun {
public:
    ColdRun(const ColdPlan& plan, std::string package, Caller caller)
        : plan_(plan),
          package_(std::move(package)),
          caller_(std::move(caller)),
          payload_(plan.payload_bytes) {}

    Result<ColdOutcome> run() {
        for (std::uint32_t begin = 0; begin < plan_.count; begin += kBatchCount) {
            const std::uint32_t end = std::min(plan_.count, begin + kBatchCount);
            TRY(run_batch(begin, end));
        }
        return std::move(outcome_);
    }

private:
    Result<void> run_batch(std::uint32_t begin, std::uint32_t end) {
        for (std::uint32_t index = begin; index < end; ++index) {
            TRY(caller_.control("CreateFunction", create_json(index), package_));
        }
        for (std::uint32_t index = begin; index < end; ++index) {
            pause_ms(plan_.gap_ms);
            TRY(invoke(index));
        }
        for (std::uint32_t index = begin; index < end; ++index) {
            const std::string json = fmt::format(R"({{"FunctionName":"{}"}})", name(index));
            TRY(caller_.control("DeleteFunction", json, {}));
        }
        return {};
    }

    [[nodiscard]] std::string name(std::uint32_t index) const {
        return fmt::format("{}{}", plan_.name_prefix, index);
    }

    [[nodiscard]] std::string create_json(std::uint32_t index) const {
        std::string json = plan_.create_json;
        json.replace(json.find(kNameMark), kNameMark.size(), name(index));
        return json;
    }

    Result<void> invoke(std::uint32_t index) {
        const std::string meta = invoke_meta(name(index));
        const std::string_view event = payload_.text(index);
        const std::int64_t start_ns = now_ns();
        TRY_ASSIGN(const Answer answer, caller_.call(wire::FrameType::kInvoke, meta, event));
        const std::int64_t latency_ns = now_ns() - start_ns;
        const auto result = wire::decode_invoke_result(answer.meta);
        if (answer.header.status != 200 || (answer.header.flags & wire::kFlagFunctionError) != 0 ||
            !result || !payload_.matches(index, answer.payload)) {
            outcome_.error_count += 1;
            if (outcome_.first_error.empty()) {
                outcome_.first_error = fmt::format(
                    "{}: status {}, payload {}",
                    name(index),
                    answer.header.status,
                    answer.payload.substr(0, 200)
                );
            }
            return {};
        }
        outcome_.latency.record(latency_ns);
        outcome_.duration.record(static_cast<std::int64_t>(result->meta.duration_us) * 1000);
        if (result->meta.init_us > 0) {
            outcome_.cold_count += 1;
            outcome_.init.record(static_cast<std::int64_t>(result->meta.init_us) * 1000);
        }
        return {};
    }

    const ColdPlan& plan_;
    std::string package_;
    Caller caller_;
    Payload payload_;
    ColdOutcome outcome_;
};

}  // namespace

Result<ColdOutcome> run_cold(const ColdPlan& plan) {
    if (plan.create_json.find(kNameMark) == std::string::npos) {
        return fail(Errc::kInvalid, "--create-json: must hold @NAME@");
    }
    if (plan.payload_bytes < Payload::kBytesMin ||
        plan.payload_bytes > wire::kInvokePayloadBytesMax) {
        return fail(Errc::kInvalid, "--payload-bytes: 3 to 6291456");
    }
    if (plan.count < 1 || plan.gap_ms < 0 || plan.stall_ms < 1) {
        return fail(Errc::kInvalid, "--count and --stall-ms: at least 1; --gap-ms: at least 0");
    }
    TRY_ASSIGN(std::string package, read_whole_file(plan.package_path));
    TRY_ASSIGN(Connection connection, Connection::make(plan.socket_path, plan.stall_ms));
    return ColdRun(plan, std::move(package), Caller(std::move(connection), plan.stall_ms)).run();
}

}  // namespace hako::bench
