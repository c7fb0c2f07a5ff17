#pragma once

#include <string>
#include <string_view>

#include "engine/registry/function_version.h"

namespace hako::instance {

struct EnvironmentPlace {
    std::string_view region;
    std::string_view log_group;
};

/// The INIT block ("NAME=VALUE\0" after one another, a later one wins) that all instances of a
/// version share: Lambda's defaults, the user's variables, then what the user cannot override.
/// Source: AWS "Using environment variables", FACTS section 6.
[[nodiscard]] std::string environment_base(
    const registry::FunctionVersion& function, const EnvironmentPlace& place
);

/// The whole block of one instance.
[[nodiscard]] std::string instance_environment(
    std::string_view base, std::string_view log_stream, bool provisioned
);

}  // namespace hako::instance
