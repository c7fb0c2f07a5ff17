#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hako::registry {

/// Writes JSON text; commas come by themselves. Strings are escaped as RFC 8259 asks; bytes that
/// are not UTF-8 become U+FFFD. The caller opens and closes in pairs.
class JsonWriter {
public:
    JsonWriter& open_object() { return open('{'); }
    JsonWriter& close_object() { return close('}'); }
    JsonWriter& open_array() { return open('['); }
    JsonWriter& close_array() { return close(']'); }
    JsonWriter& key(std::string_view name);
    JsonWriter& value(std::string_view text);
    JsonWriter& value(std::uint64_t number);
    JsonWriter& boolean(bool value);
    JsonWriter& real(double number);

    JsonWriter& member(std::string_view name, std::string_view text) {
        return key(name).value(text);
    }
    JsonWriter& member(std::string_view name, std::uint64_t number) {
        return key(name).value(number);
    }

    [[nodiscard]] std::string take() { return std::move(text_); }

private:
    JsonWriter& open(char bracket);
    JsonWriter& close(char bracket);
    void comma();
    void quoted(std::string_view text);

    std::string text_;
};

}  // namespace hako::registry
