#include "engine/registry/runtimes.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace hako::registry {

namespace {

using spawner::RuntimeKind;

struct Runtime {
    std::string_view name;
    RuntimeKind kind;
};

// The Python ones all run on the system's python3.
constexpr std::array kRuntimes = {
    Runtime{"native", RuntimeKind::kNative},
    Runtime{"executable", RuntimeKind::kExecutable},
    Runtime{"python3.8", RuntimeKind::kPython},
    Runtime{"python3.9", RuntimeKind::kPython},
    Runtime{"python3.10", RuntimeKind::kPython},
    Runtime{"python3.11", RuntimeKind::kPython},
    Runtime{"python3.12", RuntimeKind::kPython},
    Runtime{"python3.13", RuntimeKind::kPython},
    Runtime{"python3.14", RuntimeKind::kPython},
};

bool is_path_inside(std::string_view path) {
    if (path.empty() || path.front() == '/' || path.back() == '/' ||
        path.find('\\') != std::string_view::npos) {
        return false;
    }
    for (std::size_t at = 0; at <= path.size();) {
        const std::size_t slash = std::min(path.find('/', at), path.size());
        const std::string_view component = path.substr(at, slash - at);
        if (component.empty() || component == "..") {
            return false;
        }
        at = slash + 1;
    }
    return true;
}

bool is_module_function(std::string_view handler) {
    const std::size_t dot = handler.rfind('.');
    return dot != std::string_view::npos && dot > 0 && dot + 1 < handler.size() &&
           is_path_inside(handler.substr(0, dot)) &&
           handler.find('/', dot) == std::string_view::npos;
}

}  // namespace

std::optional<RuntimeKind> runtime_kind(std::string_view runtime) {
    for (const Runtime& known : kRuntimes) {
        if (known.name == runtime) {
            return known.kind;
        }
    }
    return std::nullopt;
}

ApiError unknown_runtime(std::string_view runtime) {
    std::vector<std::string_view> names;
    for (const Runtime& known : kRuntimes) {
        names.push_back(known.name);
    }
    return invalid_parameter(fmt::format(
        "Value {} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
        "[{}] or be a valid ARN",
        runtime,
        fmt::join(names, ", ")
    ));
}

std::optional<ApiError> check_handler(
    std::string_view runtime, RuntimeKind kind, std::string_view handler
) {
    const bool is_python = kind == RuntimeKind::kPython;
    if (is_python ? is_module_function(handler) : is_path_inside(handler)) {
        return std::nullopt;
    }
    return invalid_parameter(fmt::format(
        "The handler '{}' of a {} function must be {}.",
        handler,
        runtime,
        is_python ? "of the form module.function" : "the path of a file inside the package"
    ));
}

}  // namespace hako::registry
