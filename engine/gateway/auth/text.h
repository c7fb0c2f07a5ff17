#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/gateway/http/message.h"

namespace hako::gateway::auth {

/// Letters, digits and `-._~`: what a canonical request leaves as it is (RFC 3986, unreserved).
[[nodiscard]] constexpr bool is_unreserved(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/// The value of a hexadecimal digit, -1 if it is none.
[[nodiscard]] constexpr int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// Appends `%XX` of one byte.
inline void append_percent(std::string& into, char c) {
    const auto byte = static_cast<std::uint8_t>(c);
    into += '%';
    into += "0123456789ABCDEF"[byte >> 4U];
    into += "0123456789ABCDEF"[byte & 15U];
}

/// Takes the first byte of a query's key or value, decoded: `%41` and `+` (a space) as forms mean
/// them; a `%` that starts no escape stands for itself. `text` is not empty.
[[nodiscard]] constexpr char take_query_byte(std::string_view& text) noexcept {
    char byte = text.front();
    std::size_t taken = 1;
    if (byte == '+') {
        byte = ' ';
    } else if (byte == '%' && text.size() >= 3) {
        const int high = hex_value(text[1]);
        const int low = hex_value(text[2]);
        if (high >= 0 && low >= 0) {
            byte = static_cast<char>(high * 16 + low);
            taken = 3;
        }
    }
    text.remove_prefix(taken);
    return byte;
}

/// Cuts the front of `rest` up to `separator` (or all of it), and the separator.
[[nodiscard]] constexpr std::string_view take_until(
    std::string_view& rest, char separator
) noexcept {
    const std::size_t at = rest.find(separator);
    const std::string_view part = rest.substr(0, at);
    rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
    return part;
}

/// Compares ASCII letters without their case.
[[nodiscard]] constexpr bool same_name(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) {
        return false;
    }
    for (std::size_t at = 0; at < a.size(); ++at) {
        const char x = a[at] >= 'A' && a[at] <= 'Z' ? static_cast<char>(a[at] | 0x20) : a[at];
        const char y = b[at] >= 'A' && b[at] <= 'Z' ? static_cast<char>(b[at] | 0x20) : b[at];
        if (x != y) {
            return false;
        }
    }
    return true;
}

/// The first header of that name; empty if there is none.
[[nodiscard]] constexpr std::string_view header_of(
    const http::Request& request, std::string_view name
) noexcept {
    for (const http::Header& header : request.headers) {
        if (same_name(header.name, name)) {
            return header.value;
        }
    }
    return {};
}

}  // namespace hako::gateway::auth
