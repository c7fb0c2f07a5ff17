#pragma once

#include <string_view>

#include "engine/registry/function_name.h"
#include "engine/registry/function_version.h"
#include "engine/registry/json_writer.h"

namespace hako::registry {

/// The one architecture this build runs.
inline constexpr std::string_view kArchitecture =
#if defined(__aarch64__)
    "arm64";
#else
    "x86_64";
#endif

struct ConfigurationStyle {
    std::string_view qualifier;  // behind the ARN: what the request named, or the version
    bool update_status = true;   // Lambda's answer to a create has none
};

/// Writes Lambda's FunctionConfiguration.
void write_configuration(
    JsonWriter& json,
    const FunctionVersion& function,
    const Identity& identity,
    ConfigurationStyle style
);

}  // namespace hako::registry
