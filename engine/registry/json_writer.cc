#include "engine/registry/json_writer.h"

#include <charconv>

#include <simdjson.h>

namespace hako::registry {

namespace {

constexpr char kHex[] = "0123456789abcdef";

void escape_control(std::string& out, unsigned char byte) {
    out += "\\u00";
    out += kHex[byte >> 4U];
    out += kHex[byte & 15U];
}

void escape(std::string& out, char character, bool is_utf8) {
    const auto byte = static_cast<unsigned char>(character);
    switch (character) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        default:
            break;
    }
    if (byte < 0x20) {
        escape_control(out, byte);
    } else if (byte >= 0x80 && !is_utf8) {
        out += "\xef\xbf\xbd";
    } else {
        out += character;
    }
}

}  // namespace

void JsonWriter::comma() {
    // A string ends with a quote, so the last character tells where we are.
    if (!text_.empty() && text_.back() != '{' && text_.back() != '[' && text_.back() != ':') {
        text_ += ',';
    }
}

JsonWriter& JsonWriter::open(char bracket) {
    comma();
    text_ += bracket;
    return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
    text_ += bracket;
    return *this;
}

void JsonWriter::quoted(std::string_view text) {
    const bool is_utf8 = simdjson::validate_utf8(text.data(), text.size());
    text_ += '"';
    for (const char character : text) {
        escape(text_, character, is_utf8);
    }
    text_ += '"';
}

JsonWriter& JsonWriter::key(std::string_view name) {
    comma();
    quoted(name);
    text_ += ':';
    return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
    comma();
    quoted(text);
    return *this;
}

JsonWriter& JsonWriter::real(double number) {
    comma();
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
    const std::string_view text(digits, static_cast<std::size_t>(end - digits));
    text_ += text;
    // As Lambda writes a weight of one: 1.0.
    text_ += text.find_first_of(".e") == std::string_view::npos ? ".0" : "";
    return *this;
}

JsonWriter& JsonWriter::value(std::uint64_t number) {
    comma();
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
    text_.append(digits, end);
    return *this;
}

JsonWriter& JsonWriter::boolean(bool value) {
    comma();
    text_ += value ? "true" : "false";
    return *this;
}

}  // namespace hako::registry
