#pragma once

#include <cstdint>
#include <string_view>

#include "engine/base/byte_buffer.h"

namespace hako::gateway::url {

/// Writes JSON text into a byte buffer in one pass; commas come by themselves. What strangers sent
/// is escaped byte by byte: bytes that are not UTF-8 become U+FFFD, one for each. Keys given as
/// `key` must need no escaping.
class JsonBytes {
public:
    explicit JsonBytes(ByteBuffer& out) : out_(out) {}

    JsonBytes& open_object() { return open('{'); }
    JsonBytes& close_object() { return close('}'); }
    JsonBytes& open_array() { return open('['); }
    JsonBytes& close_array() { return close(']'); }
    JsonBytes& key(std::string_view name);
    JsonBytes& text_key(std::string_view name);
    JsonBytes& value(std::string_view text);
    JsonBytes& number(std::int64_t number);
    JsonBytes& boolean(bool value);
    JsonBytes& null();
    /// A string of the bytes in base64.
    JsonBytes& base64(std::string_view bytes);

    /// A string put together of parts.
    JsonBytes& open_string();
    JsonBytes& part(std::string_view text);
    JsonBytes& lower_part(std::string_view text);  ///< ASCII letters in lower case
    JsonBytes& close_string();
    /// What was a string is a member's name.
    JsonBytes& close_key();

    JsonBytes& member(std::string_view name, std::string_view text) {
        return key(name).value(text);
    }

private:
    JsonBytes& open(char bracket);
    JsonBytes& close(char bracket);
    void comma();
    void escape(std::string_view text);

    ByteBuffer& out_;
    bool needs_comma_ = false;
};

/// Bytes of the well-formed UTF-8 sequence that `text` (not empty) begins with; 0 if there is none.
[[nodiscard]] std::size_t utf8_sequence_bytes(std::string_view text) noexcept;

}  // namespace hako::gateway::url
