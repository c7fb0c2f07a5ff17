#include "engine/gateway/auth/hasher.h"

#include <cstddef>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "engine/base/ensure.h"

namespace hako::gateway::auth {

namespace {

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

Hasher::Hasher()
    : md_(EVP_MD_fetch(nullptr, "SHA256", nullptr)),
      md_context_(EVP_MD_CTX_new()),
      mac_(EVP_MAC_fetch(nullptr, "HMAC", nullptr)),
      mac_context_(EVP_MAC_CTX_new(mac_)) {
    ENSURE(md_ != nullptr && md_context_ != nullptr, "OpenSSL has SHA-256");
    ENSURE(mac_ != nullptr && mac_context_ != nullptr, "OpenSSL has HMAC");
    char name[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_construct_end()
    };
    ENSURE(EVP_MAC_CTX_set_params(mac_context_, parameters) == 1, "HMAC takes SHA-256");
}

Hasher::~Hasher() {
    EVP_MAC_CTX_free(mac_context_);
    EVP_MAC_free(mac_);
    EVP_MD_CTX_free(md_context_);
    EVP_MD_free(md_);
}

Digest Hasher::sha256(std::string_view text) {
    Digest digest;
    unsigned int digest_bytes = 0;
    const bool ok = EVP_DigestInit_ex2(md_context_, md_, nullptr) == 1 &&
                    EVP_DigestUpdate(md_context_, text.data(), text.size()) == 1 &&
                    EVP_DigestFinal_ex(md_context_, digest.data(), &digest_bytes) == 1;
    ENSURE(ok && digest_bytes == digest.size(), "SHA-256 cannot fail on memory");
    return digest;
}

Digest Hasher::hmac(std::span<const std::uint8_t> key, std::string_view text) {
    Digest digest;
    std::size_t digest_bytes = 0;
    const bool ok = EVP_MAC_init(mac_context_, key.data(), key.size(), nullptr) == 1 &&
                    EVP_MAC_update(mac_context_, bytes_of(text), text.size()) == 1 &&
                    EVP_MAC_final(mac_context_, digest.data(), &digest_bytes, digest.size()) == 1;
    ENSURE(ok && digest_bytes == digest.size(), "HMAC cannot fail on memory");
    return digest;
}

HexDigest to_hex(const Digest& digest) noexcept {
    HexDigest hex;
    for (std::size_t at = 0; at < digest.size(); ++at) {
        hex[2 * at] = "0123456789abcdef"[digest[at] >> 4U];
        hex[2 * at + 1] = "0123456789abcdef"[digest[at] & 15U];
    }
    return hex;
}

bool same_secret(std::string_view a, std::string_view b) noexcept {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace hako::gateway::auth
