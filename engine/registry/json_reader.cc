#include "engine/registry/json_reader.h"

#include <unordered_set>

#include <fmt/format.h>

#include "engine/registry/json_writer.h"

namespace hako::registry {

std::expected<simdjson::dom::object, std::string> JsonDocument::parse(std::string_view text) {
    if (text.empty()) {
        text = "{}";
    }
    if (const auto error = parser_.allocate(text.size(), kJsonDepthMax)) {
        return std::unexpected(simdjson::error_message(error));
    }
    simdjson::dom::element root;
    if (const auto error = parser_.parse(text.data(), text.size()).get(root)) {
        return std::unexpected(simdjson::error_message(error));
    }
    simdjson::dom::object object;
    if (root.get(object) != simdjson::SUCCESS) {
        return std::unexpected("the request must be an object");
    }
    return object;
}

std::expected<StringPairs, std::string> read_string_map(
    simdjson::dom::object object, std::string_view path
) {
    StringPairs pairs;
    std::unordered_set<std::string_view> seen;
    for (const auto& [key, value] : object) {
        std::string_view text;
        if (value.get(text) != simdjson::SUCCESS) {
            return std::unexpected(fmt::format("'{}.{}' must be a string", path, key));
        }
        if (!seen.insert(key).second) {
            return std::unexpected(fmt::format("'{}.{}' is there twice", path, key));
        }
        pairs.emplace_back(key, text);
    }
    return pairs;
}

std::string write_string_map(const StringPairs& pairs) {
    JsonWriter json;
    json.open_object();
    for (const auto& [key, value] : pairs) {
        json.member(key, value);
    }
    json.close_object();
    return json.take();
}

}  // namespace hako::registry
