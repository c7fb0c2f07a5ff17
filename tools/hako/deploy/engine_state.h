#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/hako/engine.h"
#include "tools/hako/json.h"

// What the engine has now, as far as a deployment compares it.
namespace hako::cli::deploy {

/// The tag by which functions are known to belong to a stack.
inline constexpr const char* kStackTag = "hako:stack";

/// The operation's answer; nothing if the engine says 404. An engine that does not have the
/// operation has nothing of its kind either: a failure only if the template `wants` some.
[[nodiscard]] std::optional<JsonDocument> ask(
    Client& client, std::string_view operation, const std::string& request, bool wants = true
);

/// `{"FunctionName": NAME, ...}`: further members as pairs of text.
[[nodiscard]] std::string named(
    std::string_view function,
    std::initializer_list<std::pair<std::string_view, std::string_view>> more = {}
);

/// All items of a paged listing, each as JSON text.
[[nodiscard]] std::vector<std::string> list_all(
    Client& client, std::string_view operation, const std::string& function, std::string_view items
);

[[nodiscard]] std::map<std::string, std::string> tags_of(
    Client& client, const std::string& function_arn
);

/// Numbers of the published versions, ascending.
[[nodiscard]] std::vector<std::int64_t> versions_of(Client& client, const std::string& function);

}  // namespace hako::cli::deploy
