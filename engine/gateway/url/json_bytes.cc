#include "engine/gateway/url/json_bytes.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>

#include <openssl/evp.h>

#include "engine/base/ensure.h"
#include "engine/gateway/url/text.h"

namespace hako::gateway::url {

namespace {

// Characters that stand in a JSON string as they are: printable ASCII but the quote and backslash.
constexpr std::array<bool, 256> kPlain = [] {
    std::array<bool, 256> table{};
    for (std::size_t byte = 0x20; byte < 0x80; ++byte) {
        table[byte] = byte != '"' && byte != '\\';
    }
    return table;
}();

bool is_plain(char character) {
    return kPlain[static_cast<unsigned char>(character)];
}

struct Utf8Form {
    std::size_t bytes = 0;
    unsigned char second_min = 0x80;
    unsigned char second_max = 0xbf;
};

// RFC 3629 section 4: no overlong forms, no surrogates, nothing above U+10FFFF.
Utf8Form utf8_form(unsigned char first) {
    if (first >= 0xc2 && first <= 0xdf) {
        return {.bytes = 2};
    }
    if (first >= 0xe0 && first <= 0xef) {
        return {
            .bytes = 3,
            .second_min = static_cast<unsigned char>(first == 0xe0 ? 0xa0 : 0x80),
            .second_max = static_cast<unsigned char>(first == 0xed ? 0x9f : 0xbf),
        };
    }
    if (first >= 0xf0 && first <= 0xf4) {
        return {
            .bytes = 4,
            .second_min = static_cast<unsigned char>(first == 0xf0 ? 0x90 : 0x80),
            .second_max = static_cast<unsigned char>(first == 0xf4 ? 0x8f : 0xbf),
        };
    }
    return {};
}

}  // namespace

std::size_t utf8_sequence_bytes(std::string_view text) noexcept {
    const auto first = static_cast<unsigned char>(text[0]);
    if (first < 0x80) {
        return 1;
    }
    const Utf8Form form = utf8_form(first);
    if (form.bytes == 0 || text.size() < form.bytes) {
        return 0;
    }
    const auto second = static_cast<unsigned char>(text[1]);
    if (second < form.second_min || second > form.second_max) {
        return 0;
    }
    for (const char character : text.substr(2, form.bytes - 2)) {
        if ((static_cast<unsigned char>(character) & 0xc0U) != 0x80U) {
            return 0;
        }
    }
    return form.bytes;
}

void JsonBytes::comma() {
    if (needs_comma_) {
        out_.append(",");
    }
    needs_comma_ = true;
}

JsonBytes& JsonBytes::open(char bracket) {
    comma();
    out_.append(&bracket, 1);
    needs_comma_ = false;
    return *this;
}

JsonBytes& JsonBytes::close(char bracket) {
    out_.append(&bracket, 1);
    needs_comma_ = true;
    return *this;
}

void JsonBytes::escape(std::string_view text) {
    while (!text.empty()) {
        const auto end = std::ranges::find_if_not(text, is_plain);
        const auto run = static_cast<std::size_t>(end - text.begin());
        out_.append(text.substr(0, run));
        text.remove_prefix(run);
        if (text.empty()) {
            return;
        }
        const auto byte = static_cast<unsigned char>(text[0]);
        std::size_t taken = 1;
        if (byte >= 0x80) {
            const std::size_t sequence = utf8_sequence_bytes(text);
            out_.append(
                sequence == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, sequence)
            );
            taken = std::max<std::size_t>(sequence, 1);
        } else if (byte == '"' || byte == '\\') {
            const char escaped[2] = {'\\', text[0]};
            out_.append(escaped, 2);
        } else {
            constexpr std::string_view kHex = "0123456789abcdef";
            const char escaped[6] = {'\\', 'u', '0', '0', kHex[byte >> 4U], kHex[byte & 15U]};
            out_.append(escaped, 6);
        }
        text.remove_prefix(taken);
    }
}

JsonBytes& JsonBytes::key(std::string_view name) {
    comma();
    out_.append("\"");
    out_.append(name);
    out_.append("\":");
    needs_comma_ = false;
    return *this;
}

JsonBytes& JsonBytes::text_key(std::string_view name) {
    return open_string().part(name).close_key();
}

JsonBytes& JsonBytes::value(std::string_view text) {
    return open_string().part(text).close_string();
}

JsonBytes& JsonBytes::number(std::int64_t number) {
    comma();
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
    out_.append(digits, static_cast<std::size_t>(end - digits));
    return *this;
}

JsonBytes& JsonBytes::boolean(bool value) {
    comma();
    out_.append(value ? "true" : "false");
    return *this;
}

JsonBytes& JsonBytes::null() {
    comma();
    out_.append("null");
    return *this;
}

JsonBytes& JsonBytes::base64(std::string_view bytes) {
    // EVP_EncodeBlock counts in int and writes a NUL behind; in pieces it needs no memory of its
    // own.
    constexpr std::size_t kPieceBytes = 1536;
    static_assert(kPieceBytes < INT_MAX);
    std::array<unsigned char, kPieceBytes / 3 * 4 + 1> text{};
    open_string();
    while (!bytes.empty()) {
        const std::string_view piece = bytes.substr(0, kPieceBytes);
        const int text_bytes = EVP_EncodeBlock(
            text.data(),
            reinterpret_cast<const unsigned char*>(piece.data()),
            static_cast<int>(piece.size())
        );
        ENSURE(text_bytes > 0, "base64 of something is something");
        out_.append(text.data(), static_cast<std::size_t>(text_bytes));
        bytes.remove_prefix(piece.size());
    }
    return close_string();
}

JsonBytes& JsonBytes::open_string() {
    comma();
    out_.append("\"");
    return *this;
}

JsonBytes& JsonBytes::part(std::string_view text) {
    escape(text);
    return *this;
}

JsonBytes& JsonBytes::lower_part(std::string_view text) {
    constexpr std::size_t kPieceBytes = 64;
    char piece[kPieceBytes];
    while (!text.empty()) {
        // Letters outside ASCII must not be cut: what is not ASCII is no letter here.
        std::size_t bytes = 0;
        while (bytes < std::min(kPieceBytes, text.size()) && is_plain(text[bytes])) {
            piece[bytes] = lower_letter(text[bytes]);
            ++bytes;
        }
        out_.append(piece, bytes);
        if (bytes == 0) {
            bytes = std::max<std::size_t>(utf8_sequence_bytes(text), 1);
            escape(text.substr(0, bytes));
        }
        text.remove_prefix(bytes);
    }
    return *this;
}

JsonBytes& JsonBytes::close_string() {
    out_.append("\"");
    return *this;
}

JsonBytes& JsonBytes::close_key() {
    out_.append("\":");
    needs_comma_ = false;
    return *this;
}

}  // namespace hako::gateway::url
