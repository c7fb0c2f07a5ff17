#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/registry/configuration_json.h"
#include "engine/registry/control_call.h"
#include "engine/registry/digest.h"
#include "engine/registry/runtimes.h"

namespace hako::registry {

namespace {

using Status = std::expected<void, ApiError>;

constexpr std::size_t kEnvironmentBytesMax = 4096;
constexpr std::size_t kTagsCountMax = 50;
constexpr std::uint64_t kCodeBytesTotalMax = 80530636800;

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

/// What Lambda has and hako has not, although the value is one of Lambda's.
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

/// Enters the members given into `next` and checks what depends on several of them.
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
    replace(next.memory_mib, request["MemorySize"]);
    replace(next.timeout_s, request["Timeout"]);
    replace(next.ephemeral_mib, request["EphemeralStorage"]["Size"]);
    return {};
}

Status check_revision(const Request& request, const FunctionVersion& function) {
    if (request["RevisionId"].text_or(function.revision_id) != function.revision_id) {
        return std::unexpected(ApiError{
            .status = 412,
            .code = "PreconditionFailedException",
            .message = "The Revision Id provided does not match the latest Revision Id. Call the "
                       "GetFunction/GetAlias API to retrieve the latest Revision Id",
        });
    }
    return {};
}

Status check_code_source(bool has_s3, bool has_zip) {
    if (has_s3 && has_zip) {
        return std::unexpected(invalid_parameter(
            "Please do not provide other FunctionCode parameters when providing a ZipFile."
        ));
    }
    if (has_s3) {
        return std::unexpected(invalid_parameter(
            "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The "
            "specified bucket does not exist. hako: there is no S3 here, send the code as ZipFile."
        ));
    }
    if (!has_zip) {
        return std::unexpected(invalid_parameter("Please provide a source for function code."));
    }
    return {};
}

}  // namespace

/// Makes `next` durable, then visible: with the call's zip, if there is one.
ControlService::Outcome ControlService::install(Call& call, FunctionVersion next, int status) {
    const std::span<const std::byte> zip = call.zip();
    const bool has_zip = call.has_zip();
    const bool is_dry_run = call.request.operation().find_member("DryRun") != nullptr &&
                            call.request["DryRun"].boolean_or(false);
    next.last_modified = lambda_time(wall_us());
    next.revision_id = make_uuid();
    std::optional<ApiError> fault;
    // The mark on the name keeps others from changing this function meanwhile; `next` is ours.
    runner_.run([this, &next, &fault, zip, has_zip, is_dry_run] {
        if (has_zip) {
            auto lease = code_store_.add(zip);
            if (!lease) {
                fault = std::move(lease.error());
                return;
            }
            next.code = std::move(*lease);
            next.code_id = next.code->id;
            next.code_sha256 = next.code->sha256;
            next.code_bytes = zip.size();
        }
        if (is_dry_run) {
            return;
        }
        if (const auto id = store_.put(next)) {
            next.id = *id;
        } else {
            fault = service_error(id.error().text);
        }
    });
    call.code_released = has_zip;
    if (fault) {
        return std::unexpected(std::move(*fault));
    }
    const auto after = std::make_shared<const FunctionVersion>(std::move(next));
    if (!is_dry_run) {
        const FunctionRef before = registry_.put(after);
        announce(before, after);
        call.code_released = before != nullptr && has_zip;
    }
    JsonWriter json;
    write_configuration(json, *after, registry_.identity(), {.update_status = status != 201});
    return ControlAnswer{.status = status, .error_code = {}, .json = json.take()};
}

ControlService::Outcome ControlService::create_function(Call& call) {
    const Request& request = call.request;
    TRY_ASSIGN(const FunctionName name, name_of(call, NameShape::kFunctionName));
    const Value code = request["Code"];
    if (!call.has_zip() && !code) {
        // The model does not ask for it, because the package may come beside the JSON.
        return std::unexpected(validation_error(
            "1 validation error detected: Value null at 'code' failed to satisfy constraint: "
            "Member must not be null"
        ));
    }
    if (!name.qualifier.empty() && name.qualifier != "$LATEST") {
        return std::unexpected(invalid_parameter(
            "This operation is permitted on Lambda functions only. Aliases and versions do not "
            "support this operation. Please specify either a function name or an unqualified "
            "function ARN."
        ));
    }
    if (!request["Runtime"] || !request["Handler"]) {
        return std::unexpected(invalid_parameter(
            "Runtime and Handler are mandatory parameters for functions created with deployment "
            "packages."
        ));
    }
    TRY(check_code_source(code["S3Bucket"] || code["S3Key"], call.has_zip()));
    FunctionVersion next;
    next.name = std::string(name.name);
    next.arn = function_arn(registry_.identity(), name.name);
    next.role = fmt::format("arn:aws:iam::{}:role/hako", registry_.identity().account);
    TRY(configure(request, next));
    next.tags = request["Tags"] ? request["Tags"].pairs() : StringPairs();
    if (next.tags.size() > kTagsCountMax) {
        return std::unexpected(invalid_parameter("Number of tags exceeds resource tag limit."));
    }
    if (registry_.get(name.name) != nullptr) {
        return std::unexpected(conflict(fmt::format("Function already exist: {}", name.name)));
    }
    if (registry_.code_bytes_total() + call.zip().size() > kCodeBytesTotalMax) {
        return std::unexpected(ApiError{
            .status = 400,
            .code = "CodeStorageExceededException",
            .message = "Code storage limit exceeded.",
        });
    }
    TRY_ASSIGN(const BusyMark mark, mark_busy(name.name));
    return install(call, std::move(next), 201);
}

ControlService::Outcome ControlService::update_code(Call& call) {
    TRY_ASSIGN(const FunctionName name, name_of(call, NameShape::kFunctionName));
    TRY_ASSIGN(const FunctionRef before, target(name));
    TRY(check_features(call.request, before->name));
    const bool has_s3 = call.request["S3Bucket"] || call.request["S3Key"];
    TRY(check_code_source(has_s3, call.has_zip()));
    TRY_ASSIGN(const BusyMark mark, mark_busy(name.name));
    TRY(check_revision(call.request, *before));
    return install(call, *before, 200);
}

ControlService::Outcome ControlService::update_configuration(Call& call) {
    TRY_ASSIGN(const FunctionName name, name_of(call, NameShape::kFunctionName));
    TRY_ASSIGN(const FunctionRef before, target(name));
    TRY_ASSIGN(const BusyMark mark, mark_busy(name.name));
    TRY(check_revision(call.request, *before));
    FunctionVersion next = *before;
    TRY(configure(call.request, next));
    return install(call, std::move(next), 200);
}

ControlService::Outcome ControlService::delete_function(Call& call) {
    TRY_ASSIGN(const FunctionName name, name_of(call, NameShape::kNamespaced));
    TRY_ASSIGN(const FunctionRef function, target(name));
    if (!name.qualifier.empty()) {
        return std::unexpected(
            invalid_parameter("$LATEST version cannot be deleted without deleting the function.")
        );
    }
    TRY_ASSIGN(const BusyMark mark, mark_busy(name.name));
    std::expected<void, Failure> removed;
    runner_.run([this, &removed, &function] { removed = store_.remove(function->name); });
    if (!removed) {
        return std::unexpected(service_error(removed.error().text));
    }
    announce(registry_.remove(function->name), nullptr);
    call.code_released = true;
    return ControlAnswer{.status = 204, .error_code = {}, .json = {}};
}

}  // namespace hako::registry
