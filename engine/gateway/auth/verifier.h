#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "engine/gateway/auth/canonical.h"
#include "engine/gateway/auth/hasher.h"
#include "engine/gateway/auth/key_store.h"
#include "engine/gateway/auth/session.h"
#include "engine/gateway/auth/signature.h"
#include "engine/gateway/http/handler.h"

namespace hako::gateway::auth {

/// The key for a day's signatures: four HMACs, from the secret to the terminator.
[[nodiscard]] Digest derive_signing_key(
    Hasher& hasher, std::string_view secret, const Signature& signature
);

struct VerifierOptions {
    std::string region = "us-east-1";
    std::int64_t skew_s = 300;  ///< how far the client's clock may be from ours, each way
};

/// Checks AWS Signature Version 4 of requests to the service `lambda`. Lives on the loop.
class Verifier {
public:
    /// The SHA-256 of a body. May park; the caller hands large ones to an offload thread.
    using HashBody = std::function<Digest(std::string_view body)>;

    Verifier(KeyStore& keys, SessionTokens& sessions, VerifierOptions options, HashBody hash_body);

    /// Whether the key is one of ours, so that a refusal means something.
    [[nodiscard]] bool knows(const Signature& signature);

    /// Who signed. Order and texts of the refusals are AWS's: time, scope, key, token, payload,
    /// signature. May park in `hash_body`, and nowhere else.
    [[nodiscard]] std::expected<http::Caller, registry::ApiError> verify(
        const http::Request& request, const Signature& signature, std::int64_t now_s
    );

private:
    /// Views of the credential's parts, fetched anew after each park.
    struct Credential {
        std::string_view secret;
        SigningKey* signing = nullptr;
        std::int64_t* used_s = nullptr;  ///< of an access key: when it was used last
        http::Caller caller;
    };
    using Status = std::expected<void, registry::ApiError>;

    [[nodiscard]] Status check_time(const Signature& signature, std::int64_t now_s) const;
    [[nodiscard]] Status check_scope(const Signature& signature) const;
    [[nodiscard]] std::expected<Credential, registry::ApiError> find(
        const Signature& signature, std::int64_t now_s
    );
    [[nodiscard]] Status check_signature(
        const http::Request& request,
        const Signature& signature,
        std::string_view payload_hash,
        Credential& credential
    );
    void make_signing_key(const Signature& signature, Credential& credential);

    KeyStore& keys_;
    SessionTokens& sessions_;
    VerifierOptions options_;
    HashBody hash_body_;
    Hasher hasher_;
    Canonicalizer canonicalizer_;
};

}  // namespace hako::gateway::auth
