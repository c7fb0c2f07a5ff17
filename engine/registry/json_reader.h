#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>

#include "engine/registry/function_version.h"

namespace hako::registry {

inline constexpr std::size_t kJsonDepthMax = 32;

/// A parsed document; elements live as long as it does.
class JsonDocument {
public:
    /// Parses `text` (empty counts as `{}`), at most kJsonDepthMax deep. Errors: why it is not
    /// JSON, or that it is not an object.
    [[nodiscard]] std::expected<simdjson::dom::object, std::string> parse(std::string_view text);

private:
    simdjson::dom::parser parser_;
};

/// An object whose values are all strings, in the order given. Errors: names `path` and the key
/// that is not a string or comes twice.
[[nodiscard]] std::expected<StringPairs, std::string> read_string_map(
    simdjson::dom::object object, std::string_view path
);

/// The JSON text of such a map.
[[nodiscard]] std::string write_string_map(const StringPairs& pairs);

}  // namespace hako::registry
