#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hako::registry {

class JsonWriter;
class Value;

/// Cross-origin rules of a function URL or an HTTP API: the API model's Cors.
struct CorsRules {
    std::optional<bool> allow_credentials;
    std::vector<std::string> allow_headers;
    std::vector<std::string> allow_methods;
    std::vector<std::string> allow_origins;
    std::vector<std::string> expose_headers;
    std::optional<std::uint32_t> max_age_s;
};

/// From a request's member of that type; nothing if it was not given.
[[nodiscard]] std::optional<CorsRules> read_cors(const Value& value);
/// The member `Cors`, as it was given.
void write_cors(JsonWriter& json, const CorsRules& rules);

}  // namespace hako::registry
