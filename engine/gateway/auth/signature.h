#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string_view>

#include "engine/gateway/auth/time_text.h"
#include "engine/gateway/http/message.h"
#include "engine/registry/api_error.h"

namespace hako::gateway::auth {

/// What a request says about its own signature (AWS Signature Version 4), checked for form only.
/// Views are into the request or into `decoded`.
struct Signature {
    bool is_presigned = false;  ///< it stands in the query instead of the header
    std::string_view key_id;    ///< of the credential, as are the next four
    std::string_view date;      ///< yyyymmdd
    std::string_view region;
    std::string_view service;
    std::string_view terminator;      ///< aws4_request
    std::string_view signed_headers;  ///< `host;x-amz-date`, as sent
    std::string_view signature;       ///< hexadecimal digits
    std::string_view token;           ///< session token; empty without one
    std::string_view algorithm;
    std::int64_t time_s = 0;          ///< when it was signed
    std::int64_t lifetime_s = 0;      ///< X-Amz-Expires; presigned only
    std::unique_ptr<char[]> decoded;  ///< memory of a presigned query's values

    [[nodiscard]] BasicTime time() const noexcept { return to_basic_time(time_s); }
};

/// Signatures of a longer life than a week are refused, as AWS does.
inline constexpr std::int64_t kLifetimeSecondsMax = 604'800;

/// The signature of `request`; none if it has neither an Authorization header nor a query's
/// X-Amz-Signature or X-Amz-Algorithm. Errors: IncompleteSignatureException and
/// InvalidSignatureException in AWS's words; they never repeat the header.
[[nodiscard]] std::expected<std::optional<Signature>, registry::ApiError> read_signature(
    const http::Request& request
);

/// Whether the signature covers the header of that name (lower-case).
[[nodiscard]] bool has_signed_header(const Signature& signature, std::string_view name) noexcept;

/// 403 without a `Type`, as the checks in front of Lambda answer.
[[nodiscard]] registry::ApiError refused(const char* code, std::string message);

}  // namespace hako::gateway::auth
