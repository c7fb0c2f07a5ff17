#include "engine/gateway/auth/verifier.h"

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "engine/base/result.h"
#include "engine/gateway/auth/text.h"
#include "engine/registry/secret_box.h"

namespace hako::gateway::auth {

namespace {

using registry::ApiError;

constexpr std::string_view kService = "lambda";
constexpr std::string_view kTerminator = "aws4_request";
// A canonical request longer than this is not repeated in a refusal.
constexpr std::size_t kShownBytesMax = 8192;

std::unexpected<ApiError> invalid(std::string message) {
    return std::unexpected(refused("InvalidSignatureException", std::move(message)));
}

std::unexpected<ApiError> unrecognized() {
    return std::unexpected(refused(
        "UnrecognizedClientException", "The security token included in the request is invalid."
    ));
}

/// `5 min.`, or `90 sec.` if it is no whole number of minutes.
std::string span_text(std::int64_t seconds) {
    return seconds % 60 == 0 ? fmt::format("{} min.", seconds / 60)
                             : fmt::format("{} sec.", seconds);
}

bool is_hex_digest(std::string_view text) {
    return text.size() == 64 && std::ranges::all_of(text, [](char c) {
               return hex_value(c) >= 0 && !(c >= 'A' && c <= 'F');
           });
}

void note_use(std::int64_t* used_s, std::int64_t now_s) {
    if (used_s != nullptr) {
        *used_s = now_s - now_s % 60;
    }
}

/// The client's own session token stays out of what is sent back: answers are logged more readily
/// than requests.
std::string without_token(std::string_view canonical, std::string_view token) {
    std::string text(canonical);
    if (token.empty()) {
        return text;
    }
    for (std::size_t at = 0; (at = text.find(token, at)) != std::string::npos;) {
        text.replace(at, token.size(), "<token>");
    }
    constexpr std::string_view kParameter = "X-Amz-Security-Token=";
    if (const std::size_t at = text.find(kParameter); at != std::string::npos) {
        const std::size_t begin = at + kParameter.size();
        text.replace(begin, text.find_first_of("&\n", begin) - begin, "<token>");
    }
    return text;
}

std::string mismatch_text(
    std::string_view canonical, std::string_view to_sign, std::string_view token
) {
    std::string text =
        "The request signature we calculated does not match the signature you provided. Check your "
        "AWS Secret Access Key and signing method. Consult the service documentation for details.";
    if (canonical.size() <= kShownBytesMax) {
        text += fmt::format(
            "\n\nThe Canonical String for this request should have been\n'{}'\n\nThe "
            "String-to-Sign should have been\n'{}'\n",
            without_token(canonical, token),
            to_sign
        );
    }
    return text;
}

}  // namespace

Digest derive_signing_key(Hasher& hasher, std::string_view secret, const Signature& signature) {
    std::string start = fmt::format("AWS4{}", secret);
    Digest key = hasher.hmac(
        std::span(reinterpret_cast<const std::uint8_t*>(start.data()), start.size()), signature.date
    );
    registry::wipe(start);
    key = hasher.hmac(key, signature.region);
    key = hasher.hmac(key, signature.service);
    return hasher.hmac(key, signature.terminator);
}

Verifier::Verifier(
    KeyStore& keys, SessionTokens& sessions, VerifierOptions options, HashBody hash_body
)
    : keys_(keys),
      sessions_(sessions),
      options_(std::move(options)),
      hash_body_(std::move(hash_body)) {}

bool Verifier::knows(const Signature& signature) {
    if (!signature.token.empty()) {
        return sessions_.open(signature.token) != nullptr;
    }
    return keys_.find(signature.key_id) != nullptr;
}

std::expected<http::Caller, ApiError> Verifier::verify(
    const http::Request& request, const Signature& signature, std::int64_t now_s
) {
    TRY(check_time(signature, now_s));
    TRY(check_scope(signature));
    TRY_ASSIGN(Credential credential, find(signature, now_s));
    if (const std::string_view name = unsigned_header(request, signature); !name.empty()) {
        return invalid(
            fmt::format("There were headers present in the request which were not signed: {}", name)
        );
    }
    // A body that comes with its hash is hashed only if the signature over that hash is right:
    // strangers do not get megabytes hashed for nothing.
    const std::string_view claimed = header_of(request, "x-amz-content-sha256");
    if (is_hex_digest(claimed)) {
        TRY(check_signature(request, signature, claimed, credential));
        note_use(credential.used_s, now_s);
        http::Caller caller = std::move(credential.caller);
        const HexDigest actual = to_hex(hash_body_(request.body));
        if (!same_secret(view_of(actual), claimed)) {
            return invalid(
                "The value of x-amz-content-sha256 is not the SHA-256 of the request's body."
            );
        }
        return caller;
    }
    if (!claimed.empty()) {  // UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD ...
        return invalid(
            "The value of x-amz-content-sha256 must be the SHA-256 of the request's body: unsigned "
            "and chunk-signed payloads are not supported."
        );
    }
    const HexDigest actual = to_hex(hash_body_(request.body));
    TRY_ASSIGN(credential, find(signature, now_s));  // it may have gone while the body was hashed
    TRY(check_signature(request, signature, view_of(actual), credential));
    note_use(credential.used_s, now_s);
    return std::move(credential.caller);
}

Verifier::Status Verifier::check_time(const Signature& signature, std::int64_t now_s) const {
    const std::int64_t life_s = signature.lifetime_s > 0 ? signature.lifetime_s : options_.skew_s;
    if (signature.time_s < now_s - life_s) {
        return invalid(fmt::format(
            "Signature expired: {} is now earlier than {} ({} - {})",
            view_of(signature.time()),
            view_of(to_basic_time(now_s - life_s)),
            view_of(to_basic_time(now_s)),
            span_text(life_s)
        ));
    }
    if (signature.time_s > now_s + options_.skew_s) {
        return invalid(fmt::format(
            "Signature not yet current: {} is still later than {} ({} + {})",
            view_of(signature.time()),
            view_of(to_basic_time(now_s + options_.skew_s)),
            view_of(to_basic_time(now_s)),
            span_text(options_.skew_s)
        ));
    }
    return {};
}

Verifier::Status Verifier::check_scope(const Signature& signature) const {
    std::string text;
    if (signature.region != options_.region) {
        text += fmt::format(
            "Credential should be scoped to a valid region, not '{}'. ", signature.region
        );
    }
    if (signature.service != kService) {
        text += fmt::format("Credential should be scoped to correct service: '{}'. ", kService);
    }
    if (signature.terminator != kTerminator) {
        text += fmt::format(
            "Credential should be scoped with a valid terminator: '{}', not '{}'. ",
            kTerminator,
            signature.terminator
        );
    }
    const BasicTime time = signature.time();
    const std::string_view day = view_of(time).substr(0, 8);
    if (signature.date != day) {
        text += fmt::format(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            "HTTP: '{}' != '{}', from '{}'. ",
            signature.date,
            day,
            view_of(time)
        );
    }
    if (!text.empty()) {
        return invalid(std::move(text));
    }
    return {};
}

std::expected<Verifier::Credential, ApiError> Verifier::find(
    const Signature& signature, std::int64_t now_s
) {
    Credential found;
    found.caller.kind = http::Caller::Kind::kKnown;
    if (!signature.token.empty()) {
        Session* session = sessions_.open(signature.token);
        if (session == nullptr || session->key_id != signature.key_id) {
            return unrecognized();
        }
        if (session->expires_s <= now_s) {
            return std::unexpected(refused(
                "ExpiredTokenException", "The security token included in the request is expired"
            ));
        }
        found.secret = session->secret;
        found.signing = &session->signing;
        found.caller.account = session->account;
        found.caller.arn = session->arn;
        found.caller.grant = session->grant;
    } else {
        KeyStore::Entry* entry = keys_.find(signature.key_id);
        const bool is_usable = entry != nullptr && entry->key.is_enabled &&
                               (entry->key.expires_s == 0 || entry->key.expires_s > now_s);
        if (!is_usable) {
            return unrecognized();
        }
        found.used_s = &entry->key.used_s;
        found.secret = entry->key.secret;
        found.signing = &entry->signing;
        found.caller.account = entry->key.account;
        found.caller.arn = entry->key.arn;
        found.caller.grant = entry->key.grant;
    }
    found.caller.access_key_id = signature.key_id;
    return found;
}

void Verifier::make_signing_key(const Signature& signature, Credential& credential) {
    if (credential.signing->date == signature.date) {
        return;
    }
    credential.signing->key = derive_signing_key(hasher_, credential.secret, signature);
    credential.signing->date = signature.date;
}

Verifier::Status Verifier::check_signature(
    const http::Request& request,
    const Signature& signature,
    std::string_view payload_hash,
    Credential& credential
) {
    make_signing_key(signature, credential);
    const std::string_view canonical = canonicalizer_.write(request, signature, payload_hash);
    const HexDigest hash = to_hex(hasher_.sha256(canonical));
    const std::string to_sign = string_to_sign(signature, view_of(hash));
    const HexDigest ours = to_hex(hasher_.hmac(credential.signing->key, to_sign));
    if (!same_secret(view_of(ours), signature.signature)) {
        return invalid(mismatch_text(canonical, to_sign, signature.token));
    }
    return {};
}

}  // namespace hako::gateway::auth
