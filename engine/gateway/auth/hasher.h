#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

// OpenSSL's types, without its headers.
extern "C" {
using EVP_MD = struct evp_md_st;
using EVP_MD_CTX = struct evp_md_ctx_st;
using EVP_MAC = struct evp_mac_st;
using EVP_MAC_CTX = struct evp_mac_ctx_st;
}

namespace hako::gateway::auth {

using Digest = std::array<std::uint8_t, 32>;
using HexDigest = std::array<char, 64>;

/// SHA-256 and HMAC-SHA-256 with the algorithms looked up once: OpenSSL 3 does it at each one-shot
/// call, which costs more than hashing a canonical request. One thread; does not park.
class Hasher {
public:
    Hasher();
    ~Hasher();
    Hasher(const Hasher&) = delete;
    Hasher& operator=(const Hasher&) = delete;

    [[nodiscard]] Digest sha256(std::string_view text);
    [[nodiscard]] Digest hmac(std::span<const std::uint8_t> key, std::string_view text);

private:
    EVP_MD* md_;
    EVP_MD_CTX* md_context_;
    EVP_MAC* mac_;
    EVP_MAC_CTX* mac_context_;
};

/// Lower-case digits.
[[nodiscard]] HexDigest to_hex(const Digest& digest) noexcept;
[[nodiscard]] inline std::string_view view_of(const HexDigest& hex) noexcept {
    return {hex.data(), hex.size()};
}

/// Compares in a time that depends on the lengths only.
[[nodiscard]] bool same_secret(std::string_view a, std::string_view b) noexcept;

}  // namespace hako::gateway::auth
