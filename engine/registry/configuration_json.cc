#include "engine/registry/configuration_json.h"

#include <fmt/format.h>

namespace hako::registry {

namespace {

void write_environment(JsonWriter& json, const FunctionVersion& function) {
    json.key("Environment").open_object().key("Variables").open_object();
    for (const auto& [key, value] : function.environment) {
        json.member(key, value);
    }
    json.close_object().close_object();
}

/// Members that are the same for every function of hako.
void write_fixed(JsonWriter& json, const FunctionVersion& function, const Identity& identity) {
    json.member("PackageType", "Zip");
    json.key("Architectures").open_array().value(kArchitecture).close_array();
    json.key("EphemeralStorage")
        .open_object()
        .member("Size", std::uint64_t{function.ephemeral_mib})
        .close_object();
    json.key("SnapStart")
        .open_object()
        .member("ApplyOn", "None")
        .member("OptimizationStatus", "Off")
        .close_object();
    json.key("RuntimeVersionConfig")
        .open_object()
        .member(
            "RuntimeVersionArn",
            fmt::format("arn:aws:lambda:{}::runtime:hako-{}", identity.region, function.runtime)
        )
        .close_object();
    json.key("LoggingConfig")
        .open_object()
        .member("LogFormat", "Text")
        .member("LogGroup", "/aws/lambda/" + function.name)
        .close_object();
}

}  // namespace

void write_configuration(
    JsonWriter& json,
    const FunctionVersion& function,
    const Identity& identity,
    ConfigurationStyle style
) {
    json.open_object();
    json.member("FunctionName", function.name);
    json.member(
        "FunctionArn",
        style.qualifier.empty() ? function.arn : fmt::format("{}:{}", function.arn, style.qualifier)
    );
    json.member("Runtime", function.runtime);
    json.member("Role", function.role);
    json.member("Handler", function.handler);
    json.member("CodeSize", function.code_bytes);
    json.member("Description", function.description);
    json.member("Timeout", std::uint64_t{function.timeout_s});
    json.member("MemorySize", std::uint64_t{function.memory_mib});
    json.member("LastModified", function.last_modified);
    json.member("CodeSha256", function.code_sha256);
    json.member("Version", function.version);
    if (function.environment_given) {
        write_environment(json, function);
    }
    if (!function.dead_letter_arn.empty()) {
        json.key("DeadLetterConfig")
            .open_object()
            .member("TargetArn", function.dead_letter_arn)
            .close_object();
    }
    json.key("TracingConfig").open_object().member("Mode", function.tracing_mode).close_object();
    json.member("RevisionId", function.revision_id);
    json.member("State", "Active");
    if (style.update_status) {
        json.member("LastUpdateStatus", "Successful");
    }
    write_fixed(json, function, identity);
    json.close_object();
}

}  // namespace hako::registry
