#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/registry/api_error.h"
#include "engine/wire/spawner_protocol.h"

namespace hako::registry {

/// What a runtime identifier runs on; nothing if hako does not have it.
[[nodiscard]] std::optional<spawner::RuntimeKind> runtime_kind(std::string_view runtime);

/// Lambda's refusal of an unknown runtime, with the ones hako has.
[[nodiscard]] ApiError unknown_runtime(std::string_view runtime);

/// Whether `handler` can be one of `runtime`: `module.function` for Python, a path inside the
/// package for the others. That the file exists is found out when an instance starts, as in Lambda.
[[nodiscard]] std::optional<ApiError> check_handler(
    std::string_view runtime, spawner::RuntimeKind kind, std::string_view handler
);

}  // namespace hako::registry
