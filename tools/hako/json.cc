#include "tools/hako/json.h"

#include <utility>

#include <fmt/format.h>

namespace hako::cli {

void JsonWriter::separate() {
    if (needs_comma_) {
        out_ += ',';
    }
    needs_comma_ = true;
}

JsonWriter& JsonWriter::begin_object() {
    separate();
    out_ += '{';
    needs_comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::end_object() {
    out_ += '}';
    needs_comma_ = true;
    return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
    text(name);
    out_ += ':';
    needs_comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::text(std::string_view value) {
    separate();
    out_ += '"';
    for (const char byte : value) {
        switch (byte) {
            case '"':
                out_ += "\\\"";
                break;
            case '\\':
                out_ += "\\\\";
                break;
            case '\n':
                out_ += "\\n";
                break;
            case '\t':
                out_ += "\\t";
                break;
            default:
                if (static_cast<unsigned char>(byte) < 0x20) {
                    out_ += fmt::format("\\u{:04x}", static_cast<unsigned>(byte));
                } else {
                    out_ += byte;
                }
        }
    }
    out_ += '"';
    return *this;
}

JsonWriter& JsonWriter::number(std::int64_t value) {
    return raw(fmt::format("{}", value));
}
JsonWriter& JsonWriter::number(std::uint64_t value) {
    return raw(fmt::format("{}", value));
}
JsonWriter& JsonWriter::boolean(bool value) {
    return raw(value ? "true" : "false");
}

JsonWriter& JsonWriter::raw(std::string_view json) {
    separate();
    out_ += json;
    return *this;
}

std::optional<JsonDocument> JsonDocument::parse(std::string_view json) {
    JsonDocument document;
    document.parser_ = std::make_unique<simdjson::dom::parser>();
    if (document.parser_->parse(json.data(), json.size()).get(document.root_) !=
        simdjson::SUCCESS) {
        return std::nullopt;
    }
    return document;
}

std::string text_at(simdjson::dom::element object, std::string_view name) {
    std::string_view value;
    return object[name].get(value) == simdjson::SUCCESS ? std::string(value) : std::string();
}

std::int64_t number_at(simdjson::dom::element object, std::string_view name) {
    std::int64_t value = 0;
    return object[name].get(value) == simdjson::SUCCESS ? value : 0;
}

}  // namespace hako::cli
