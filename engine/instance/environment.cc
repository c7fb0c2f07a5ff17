#include "engine/instance/environment.h"

#include <array>
#include <utility>

namespace hako::instance {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

void add(std::string& block, std::string_view name, std::string_view value) {
    block.append(name).push_back('=');
    block.append(value).push_back('\0');
}

// What a user's variable may replace.
constexpr std::array<Pair, 6> kDefaults = {{
    {"LANG", "en_US.UTF-8"},
    {"PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"},
    {"LD_LIBRARY_PATH",
     "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"},
    {"TZ", ":UTC"},
    {"PWD", "/var/task"},
    {"SHLVL", "0"},
}};

}  // namespace

std::string environment_base(
    const registry::FunctionVersion& function, const EnvironmentPlace& place
) {
    std::string block;
    for (const auto& [name, value] : kDefaults) {
        add(block, name, value);
    }
    for (const auto& [name, value] : function.environment) {
        add(block, name, value);
    }
    add(block, "_HANDLER", function.handler);
    add(block, "AWS_REGION", place.region);
    add(block, "AWS_DEFAULT_REGION", place.region);
    add(block, "AWS_EXECUTION_ENV", "AWS_Lambda_" + function.runtime);
    add(block, "AWS_LAMBDA_FUNCTION_NAME", function.name);
    add(block, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", std::to_string(function.memory_mib));
    add(block, "AWS_LAMBDA_FUNCTION_VERSION", function.version);
    add(block, "AWS_LAMBDA_LOG_GROUP_NAME", place.log_group);
    add(block, "LAMBDA_TASK_ROOT", "/var/task");
    add(block, "LAMBDA_RUNTIME_DIR", "/var/runtime");
    return block;
}

std::string instance_environment(
    std::string_view base, std::string_view log_stream, bool provisioned
) {
    std::string block(base);
    add(block, "AWS_LAMBDA_LOG_STREAM_NAME", log_stream);
    add(block,
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        provisioned ? "provisioned-concurrency" : "on-demand");
    return block;
}

}  // namespace hako::instance
