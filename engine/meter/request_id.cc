#include "engine/meter/request_id.h"

#include <cerrno>
#include <cstring>

#include <sys/random.h>

#include "engine/base/ensure.h"

namespace hako::meter {
namespace {

constexpr char kHex[] = "0123456789abcdef";

constexpr bool is_dash_place(std::size_t index) {
    return index == 8 || index == 13 || index == 18 || index == 23;
}

int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

}  // namespace

void RequestId::write_text(char* out) const noexcept {
    std::size_t at = 0;
    for (const std::uint8_t byte : bytes) {
        if (is_dash_place(at)) {
            out[at++] = '-';
        }
        out[at++] = kHex[byte >> 4U];
        out[at++] = kHex[byte & 0xfU];
    }
}

std::array<char, kRequestIdTextBytes> RequestId::text() const noexcept {
    std::array<char, kRequestIdTextBytes> out;
    write_text(out.data());
    return out;
}

std::optional<RequestId> RequestId::parse(std::string_view text) noexcept {
    if (text.size() != kRequestIdTextBytes) {
        return std::nullopt;
    }
    RequestId id;
    std::size_t nibbles_count = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (is_dash_place(i)) {
            if (text[i] != '-') {
                return std::nullopt;
            }
            continue;
        }
        const int value = hex_value(text[i]);
        if (value < 0) {
            return std::nullopt;
        }
        std::uint8_t& byte = id.bytes[nibbles_count / 2];
        byte = static_cast<std::uint8_t>((byte << 4U) | value);
        ++nibbles_count;
    }
    return id;
}

std::array<std::uint8_t, 16> RequestIdGenerator::take() noexcept {
    if (used_bytes_ == kPoolBytes) {
        std::size_t filled_bytes = 0;
        while (filled_bytes < kPoolBytes) {
            const ssize_t got =
                ::getrandom(pool_.data() + filled_bytes, kPoolBytes - filled_bytes, 0);
            // EINTR is the one error there is once the kernel's pool is up.
            ENSURE(got > 0 || errno == EINTR, "getrandom failed");
            filled_bytes += got > 0 ? static_cast<std::size_t>(got) : 0;
        }
        used_bytes_ = 0;
    }
    std::array<std::uint8_t, 16> out;
    std::memcpy(out.data(), pool_.data() + used_bytes_, out.size());
    std::memset(pool_.data() + used_bytes_, 0, out.size());
    used_bytes_ += out.size();
    return out;
}

RequestId RequestIdGenerator::next() noexcept {
    RequestId id{.bytes = take()};
    id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0fU) | 0x40U);  // version 4
    id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3fU) | 0x80U);  // RFC 4122 variant
    return id;
}

void RequestIdGenerator::write_hex32(char* out) noexcept {
    for (const std::uint8_t byte : take()) {
        *out++ = kHex[byte >> 4U];
        *out++ = kHex[byte & 0xfU];
    }
}

}  // namespace hako::meter
