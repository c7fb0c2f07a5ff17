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
#include "engine/registry/validation.h"

namespace hako::registry {

namespace {

using Status = std::expected<void, ApiError>;

constexpr std::int64_t kTimeoutSecondsMax = 900;
constexpr std::int64_t kMemoryMibMax = 10240;
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

void validate_environment(const ControlRequest& request, Validation& validation) {
    for (const auto& [key, value] : *request.environment) {
        if (!is_reserved_variable(key) && !is_environment_key(key)) {
            validation.environment_keys();
            return;
        }
    }
}

/// The constraints of the API model, all at once as Lambda reports them.
Status check_constraints(const ControlRequest& request) {
    Validation validation;
    validation.range(request.memory_size, "memorySize", 128, kMemoryMibMax);
    validation.range(request.timeout, "timeout", 1, kTimeoutSecondsMax);
    validation.range(request.ephemeral_size, "ephemeralStorage.size", 512, 10240);
    validation.length_max(request.description, "description", 256);
    validation.length_max(request.handler, "handler", 128);
    if (request.handler) {
        validation.pattern(
            *request.handler, is_handler(*request.handler), "handler", kHandlerPattern
        );
    }
    if (request.role) {
        validation.pattern(*request.role, is_role_arn(*request.role), "role", kRolePattern);
    }
    validation.enumeration(request.package_type, "packageType", {"Zip", "Image"});
    validation.enumeration(request.architecture, "architectures", {"x86_64", "arm64"});
    validation.enumeration(request.tracing_mode, "tracingConfig.mode", {"Active", "PassThrough"});
    validation.enumeration(request.log_format, "loggingConfig.logFormat", {"JSON", "Text"});
    validation.enumeration(request.snap_start, "snapStart.applyOn", {"PublishedVersions", "None"});
    if (request.environment) {
        validate_environment(request, validation);
    }
    if (auto fault = validation.result()) {
        return std::unexpected(std::move(*fault));
    }
    return {};
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
Status check_features(const ControlRequest& request, std::string_view name) {
    const auto refuse = [](std::string_view member, std::string_view only) -> Status {
        return std::unexpected(invalid_parameter(
            fmt::format("Member '{}' is not supported by hako but for '{}'.", member, only)
        ));
    };
    if (request.package_type.value_or("Zip") != "Zip") {
        return refuse("PackageType", "Zip");
    }
    if (request.architecture.value_or(std::string(kArchitecture)) != kArchitecture) {
        return refuse("Architectures", kArchitecture);
    }
    if (request.log_format.value_or("Text") != "Text") {
        return refuse("LoggingConfig.LogFormat", "Text");
    }
    const std::string log_group = fmt::format("/aws/lambda/{}", name);
    if (request.log_group.value_or(log_group) != log_group) {
        return refuse("LoggingConfig.LogGroup", log_group);
    }
    if (request.snap_start.value_or("None") != "None") {
        return refuse("SnapStart.ApplyOn", "None");
    }
    if (request.tags && request.tags->size() > kTagsCountMax) {
        return std::unexpected(invalid_parameter("Number of tags exceeds resource tag limit."));
    }
    return {};
}

/// Enters the members given into `next` and checks what depends on several of them.
Status configure(const ControlRequest& request, FunctionVersion& next) {
    TRY(check_features(request, next.name));
    if (request.environment) {
        TRY(check_environment(*request.environment));
        next.environment = *request.environment;
        next.environment_given = true;
    }
    next.runtime = request.runtime.value_or(next.runtime);
    next.handler = request.handler.value_or(next.handler);
    const auto kind = runtime_kind(next.runtime);
    if (!kind) {
        return std::unexpected(unknown_runtime(next.runtime));
    }
    next.kind = *kind;
    if (auto fault = check_handler(next.runtime, next.kind, next.handler)) {
        return std::unexpected(std::move(*fault));
    }
    next.role = request.role.value_or(next.role);
    next.description = request.description.value_or(next.description);
    next.tracing_mode = request.tracing_mode.value_or(next.tracing_mode);
    next.memory_mib = static_cast<std::uint32_t>(request.memory_size.value_or(next.memory_mib));
    next.timeout_s = static_cast<std::uint32_t>(request.timeout.value_or(next.timeout_s));
    next.ephemeral_mib =
        static_cast<std::uint32_t>(request.ephemeral_size.value_or(next.ephemeral_mib));
    return {};
}

Status check_revision(const ControlRequest& request, const FunctionVersion& function) {
    if (request.revision_id && *request.revision_id != function.revision_id) {
        return std::unexpected(ApiError{
            .status = 412,
            .code = "PreconditionFailedException",
            .message = "The Revision Id provided does not match the latest Revision Id. Call the "
                       "GetFunction/GetAlias API to retrieve the latest Revision Id",
        });
    }
    return {};
}

Status check_code_source(const ControlRequest& request, bool has_zip) {
    if (request.s3_given && has_zip) {
        return std::unexpected(invalid_parameter(
            "Please do not provide other FunctionCode parameters when providing a ZipFile."
        ));
    }
    if (request.s3_given) {
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
    const bool has_zip = !zip.empty() || call.request.zip.has_value();
    const bool is_dry_run = call.request.dry_run.value_or(false);
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
    const ControlRequest& request = call.request;
    TRY_ASSIGN(const FunctionName name, name_of(call, NameShape::kFunctionName));
    TRY(check_constraints(request));
    const bool has_zip = !call.blob.empty() || request.zip.has_value();
    if (!has_zip && !request.code_given) {
        Validation validation;
        validation.not_null(false, "code");
        return std::unexpected(*validation.result());
    }
    if (!name.qualifier.empty() && name.qualifier != "$LATEST") {
        return std::unexpected(invalid_parameter(
            "This operation is permitted on Lambda functions only. Aliases and versions do not "
            "support this operation. Please specify either a function name or an unqualified "
            "function ARN."
        ));
    }
    if (!request.runtime || !request.handler) {
        return std::unexpected(invalid_parameter(
            "Runtime and Handler are mandatory parameters for functions created with deployment "
            "packages."
        ));
    }
    TRY(check_code_source(request, has_zip));
    FunctionVersion next;
    next.name = std::string(name.name);
    next.arn = function_arn(registry_.identity(), name.name);
    next.role = fmt::format("arn:aws:iam::{}:role/hako", registry_.identity().account);
    TRY(configure(request, next));
    next.tags = request.tags.value_or(StringPairs{});
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
    TRY(check_constraints(call.request));
    TRY_ASSIGN(const FunctionRef before, target(name));
    TRY(check_features(call.request, before->name));
    TRY(check_code_source(call.request, !call.blob.empty() || call.request.zip.has_value()));
    TRY_ASSIGN(const BusyMark mark, mark_busy(name.name));
    TRY(check_revision(call.request, *before));
    return install(call, *before, 200);
}

ControlService::Outcome ControlService::update_configuration(Call& call) {
    TRY_ASSIGN(const FunctionName name, name_of(call, NameShape::kFunctionName));
    TRY(check_constraints(call.request));
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
