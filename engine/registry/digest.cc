#include "engine/registry/digest.h"

#include <ctime>

#include <sys/random.h>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "engine/base/ensure.h"

namespace hako::registry {

namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNotBase64 = 0xff;

constexpr std::array<std::uint8_t, 256> kReverse = [] {
    std::array<std::uint8_t, 256> table{};
    table.fill(kNotBase64);
    for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
        table[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
    }
    return table;
}();

/// How many bytes well-formed base64 of this length and padding stands for.
std::optional<std::size_t> base64_length(std::string_view text) {
    if (text.size() % 4 != 0) {
        return std::nullopt;
    }
    std::size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') {
        ++padding;
    }
    return text.size() / 4 * 3 - padding;
}

/// Writes the `bytes` that `text` stands for, four digits at a time: bodies may have megabytes.
bool decode_base64(std::string_view text, std::uint8_t* out, std::size_t bytes) {
    for (; bytes > 0; text.remove_prefix(4)) {
        const std::size_t taken = bytes < 3 ? bytes : 3;
        std::uint32_t window = 0;
        std::uint8_t fault = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            const std::uint8_t six =
                i <= taken ? kReverse[static_cast<unsigned char>(text[i])] : std::uint8_t{0};
            fault |= six & 0xc0U;  // kNotBase64 has bits that no digit has
            window = (window << 6U) | (six & 0x3fU);
        }
        if (fault != 0) {
            return false;
        }
        for (std::size_t i = 0; i < taken; ++i) {
            *out++ = static_cast<std::uint8_t>(window >> (16U - 8U * i));
        }
        bytes -= taken;
    }
    return true;
}

std::optional<std::uint8_t> hex_digit(char character) {
    if (character >= '0' && character <= '9') {
        return static_cast<std::uint8_t>(character - '0');
    }
    if (character >= 'a' && character <= 'f') {
        return static_cast<std::uint8_t>(character - 'a' + 10);
    }
    return std::nullopt;
}

}  // namespace

Sha256 sha256(std::span<const std::byte> bytes) {
    Sha256 digest;
    unsigned int digest_bytes = 0;
    const int ok =
        EVP_Digest(bytes.data(), bytes.size(), digest.data(), &digest_bytes, EVP_sha256(), nullptr);
    ENSURE(ok == 1 && digest_bytes == digest.size(), "SHA-256 cannot fail on memory");
    return digest;
}

std::string to_hex(const Sha256& digest) {
    std::string hex;
    hex.reserve(2 * digest.size());
    for (const std::uint8_t byte : digest) {
        hex += "0123456789abcdef"[byte >> 4U];
        hex += "0123456789abcdef"[byte & 15U];
    }
    return hex;
}

std::optional<Sha256> from_hex(std::string_view hex) {
    Sha256 digest;
    if (hex.size() != 2 * digest.size()) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < digest.size(); ++i) {
        const auto high = hex_digit(hex[2 * i]);
        const auto low = hex_digit(hex[2 * i + 1]);
        if (!high || !low) {
            return std::nullopt;
        }
        digest[i] = static_cast<std::uint8_t>((*high << 4U) | *low);
    }
    return digest;
}

std::string to_base64(std::span<const std::uint8_t> bytes) {
    std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // EVP_EncodeBlock writes a NUL behind
    const int text_bytes = EVP_EncodeBlock(
        reinterpret_cast<unsigned char*>(text.data()), bytes.data(), static_cast<int>(bytes.size())
    );
    text.resize(static_cast<std::size_t>(text_bytes));
    return text;
}

std::optional<std::vector<std::byte>> from_base64(std::string_view text) {
    const auto length = base64_length(text);
    std::vector<std::byte> bytes(length.value_or(0));
    if (!length || !decode_base64(text, reinterpret_cast<std::uint8_t*>(bytes.data()), *length)) {
        return std::nullopt;
    }
    return bytes;
}

std::optional<std::string> text_from_base64(std::string_view text) {
    const auto length = base64_length(text);
    std::string bytes(length.value_or(0), '\0');
    if (!length || !decode_base64(text, reinterpret_cast<std::uint8_t*>(bytes.data()), *length)) {
        return std::nullopt;
    }
    return bytes;
}

std::string make_uuid() {
    std::array<std::uint8_t, 16> raw;
    const ssize_t got = getrandom(raw.data(), raw.size(), 0);
    ENSURE(got == static_cast<ssize_t>(raw.size()), "getrandom gives 16 bytes without failing");
    raw[6] = static_cast<std::uint8_t>((raw[6] & 0x0fU) | 0x40U);
    raw[8] = static_cast<std::uint8_t>((raw[8] & 0x3fU) | 0x80U);
    std::string uuid;
    uuid.reserve(36);
    for (std::size_t i = 0; i < raw.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            uuid += '-';
        }
        uuid += fmt::format("{:02x}", raw[i]);
    }
    return uuid;
}

std::string lambda_time(std::int64_t unix_us) {
    const std::time_t seconds = unix_us / 1000000;
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    return fmt::format(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}+0000",
        parts.tm_year + 1900,
        parts.tm_mon + 1,
        parts.tm_mday,
        parts.tm_hour,
        parts.tm_min,
        parts.tm_sec,
        unix_us / 1000 % 1000
    );
}

std::string iso_time(std::int64_t unix_us) {
    constexpr std::string_view kZone = "+0000";
    std::string text = lambda_time(unix_us);
    text.replace(text.size() - kZone.size(), kZone.size(), "Z");
    return text;
}

std::string random_name(std::size_t length) {
    constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
    constexpr std::uint8_t kFairMax = 256 / kLetters.size() * kLetters.size();
    std::string name;
    while (name.size() < length) {
        std::uint8_t byte = 0;
        const ssize_t got = getrandom(&byte, 1, 0);
        ENSURE(got == 1, "getrandom gives a byte without failing");
        if (byte < kFairMax) {  // what is above would make some letters more likely
            name += kLetters[byte % kLetters.size()];
        }
    }
    return name;
}

}  // namespace hako::registry
