#include "engine/registry/cors_rules.h"

#include <string_view>

#include "engine/registry/json_writer.h"
#include "engine/registry/request.h"

namespace hako::registry {

namespace {

std::vector<std::string> read_texts(const Value& list) {
    std::vector<std::string> texts;
    if (list) {
        for (const Value& item : list.items()) {
            texts.emplace_back(item.text());
        }
    }
    return texts;
}

void write_texts(JsonWriter& json, std::string_view name, const std::vector<std::string>& texts) {
    if (texts.empty()) {
        return;
    }
    json.key(name).open_array();
    for (const std::string& text : texts) {
        json.value(text);
    }
    json.close_array();
}

}  // namespace

std::optional<CorsRules> read_cors(const Value& value) {
    if (!value) {
        return std::nullopt;
    }
    CorsRules rules{
        .allow_headers = read_texts(value["AllowHeaders"]),
        .allow_methods = read_texts(value["AllowMethods"]),
        .allow_origins = read_texts(value["AllowOrigins"]),
        .expose_headers = read_texts(value["ExposeHeaders"]),
    };
    if (const Value credentials = value["AllowCredentials"]) {
        rules.allow_credentials = credentials.boolean();
    }
    if (const Value age = value["MaxAge"]) {
        rules.max_age_s = static_cast<std::uint32_t>(age.integer());
    }
    return rules;
}

void write_cors(JsonWriter& json, const CorsRules& rules) {
    json.key("Cors").open_object();
    if (rules.allow_credentials) {
        json.key("AllowCredentials").boolean(*rules.allow_credentials);
    }
    write_texts(json, "AllowHeaders", rules.allow_headers);
    write_texts(json, "AllowMethods", rules.allow_methods);
    write_texts(json, "AllowOrigins", rules.allow_origins);
    write_texts(json, "ExposeHeaders", rules.expose_headers);
    if (rules.max_age_s) {
        json.member("MaxAge", std::uint64_t{*rules.max_age_s});
    }
    json.close_object();
}

}  // namespace hako::registry
