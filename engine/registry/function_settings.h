#pragma once

#include <string_view>

#include "engine/registry/control_parts.h"

// What a request says about a function's configuration.
namespace hako::registry {

/// Refuses what Lambda has and hako has not, although the value is one of Lambda's.
[[nodiscard]] Status check_features(const Request& request, std::string_view name);

/// Enters the members given into `next` and checks what depends on several of them.
[[nodiscard]] Status configure(const Request& request, FunctionVersion& next);

}  // namespace hako::registry
