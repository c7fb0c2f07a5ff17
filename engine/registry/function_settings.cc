#include "engine/registry/function_settings.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/base/result.h"
#include "engine/registry/configuration_json.h"
#include "engine/registry/runtimes.h"

namespace hako::registry {

namespace {

constexpr std::size_t kEnvironmentBytesMax = 4096;

// FACTS section 6: always set by the engine.
constexpr std::array<std::string_view, 18> kReservedVariables = {
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
};

bool is_reserved_variable(std::string_view key) {
    return std::ranges::find(kReservedVariables, key) != kReservedVariables.end();
}

Status check_environment(const StringPairs& environment) {
    std::vector<std::string_view> reserved;
    for (const auto& [key, value] : environment) {
        if (is_reserved_variable(key)) {
            reserved.emplace_back(key);
        }
        if (value.find('\0') != std::string::npos) {
            return std::unexpected(invalid_parameter(
                fmt::format("The value of the environment variable '{}' has a NUL in it.", key)
            ));
        }
    }
    if (!reserved.empty()) {
        return std::unexpected(invalid_parameter(fmt::format(
            "Lambda was unable to configure your environment variables because the environment "
            "variables you have provided contains reserved keys that are currently not supported "
            "for modification. Reserved keys used in this request: {}",
            fmt::join(reserved, ", ")
        )));
    }
    const std::string measured = write_string_map(environment);
    if (measured.size() > kEnvironmentBytesMax) {
        return std::unexpected(invalid_parameter(fmt::format(
            "Lambda was unable to configure your environment variables because the environment "
            "variables you have provided exceeded the 4KB limit. String measured: {}",
            measured
        )));
    }
    return {};
}

}  // namespace

Status check_features(const Request& request, std::string_view name) {
    const auto refuse = [](std::string_view member, std::string_view only) -> Status {
        return std::unexpected(invalid_parameter(
            fmt::format("Member '{}' is not supported by hako but for '{}'.", member, only)
        ));
    };
    const model::Operation& operation = request.operation();
    if (operation.find_member("Architectures") != nullptr) {
        const std::vector<Value> architectures = request["Architectures"].items();
        if (!architectures.empty() && architectures.front().text() != kArchitecture) {
            return refuse("Architectures", kArchitecture);
        }
    }
    if (operation.find_member("LoggingConfig") != nullptr) {
        const std::string log_group = fmt::format("/aws/lambda/{}", name);
        if (request["LoggingConfig"]["LogGroup"].text_or(log_group) != log_group) {
            return refuse("LoggingConfig.LogGroup", log_group);
        }
    }
    return {};
}

namespace {

void replace(std::string& field, const Value& value) {
    if (value) {
        field = value.text();
    }
}

void replace(std::uint32_t& field, const Value& value) {
    if (value) {
        field = static_cast<std::uint32_t>(value.integer());
    }
}

}  // namespace

Status configure(const Request& request, FunctionVersion& next) {
    TRY(check_features(request, next.name));
    if (const Value environment = request["Environment"]) {  // `{}` means no variables
        StringPairs variables = environment["Variables"].pairs();
        TRY(check_environment(variables));
        next.environment = std::move(variables);
        next.environment_given = true;
    }
    replace(next.runtime, request["Runtime"]);
    replace(next.handler, request["Handler"]);
    const auto kind = runtime_kind(next.runtime);
    if (!kind) {
        return std::unexpected(unknown_runtime(next.runtime));
    }
    next.kind = *kind;
    if (auto fault = check_handler(next.runtime, next.kind, next.handler)) {
        return std::unexpected(std::move(*fault));
    }
    replace(next.role, request["Role"]);
    replace(next.description, request["Description"]);
    replace(next.tracing_mode, request["TracingConfig"]["Mode"]);
    replace(next.dead_letter_arn, request["DeadLetterConfig"]["TargetArn"]);
    replace(next.memory_mib, request["MemorySize"]);
    replace(next.timeout_s, request["Timeout"]);
    replace(next.ephemeral_mib, request["EphemeralStorage"]["Size"]);
    return {};
}

}  // namespace hako::registry
