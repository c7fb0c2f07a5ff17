#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <simdjson.h>

namespace hako::cli {

/// Builds one JSON text; commas are its business.
class JsonWriter {
public:
    JsonWriter& begin_object();
    JsonWriter& end_object();
    JsonWriter& key(std::string_view name);
    JsonWriter& text(std::string_view value);
    JsonWriter& number(std::int64_t value);
    JsonWriter& number(std::uint64_t value);
    JsonWriter& boolean(bool value);
    /// `json` is a whole JSON value already.
    JsonWriter& raw(std::string_view json);
    [[nodiscard]] const std::string& str() const noexcept { return out_; }

private:
    void separate();
    std::string out_;
    bool needs_comma_ = false;
};

/// One parsed JSON text. Members that are missing or of another type read as empty.
class JsonDocument {
public:
    /// Nothing if `json` is not JSON.
    [[nodiscard]] static std::optional<JsonDocument> parse(std::string_view json);
    [[nodiscard]] simdjson::dom::element root() const noexcept { return root_; }

private:
    std::unique_ptr<simdjson::dom::parser> parser_;  // the root points into it
    simdjson::dom::element root_;
};

/// The string member `name`, or "".
[[nodiscard]] std::string text_at(simdjson::dom::element object, std::string_view name);
/// The integer member `name`, or 0.
[[nodiscard]] std::int64_t number_at(simdjson::dom::element object, std::string_view name);

}  // namespace hako::cli
