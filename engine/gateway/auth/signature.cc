#include "engine/gateway/auth/signature.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "engine/base/ensure.h"
#include "engine/base/result.h"
#include "engine/gateway/auth/text.h"
#include "engine/registry/digest.h"

namespace hako::gateway::auth {

namespace {

using registry::ApiError;
using Read = std::expected<Signature, ApiError>;

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::size_t kQuotedBytesMax = 200;  // of what the client sent, in texts
// Names in SignedHeaders, each once: a name said often would multiply its value in the canonical
// request.
constexpr std::ptrdiff_t kSignedHeadersMax = 100;

std::unexpected<ApiError> incomplete(std::string message) {
    return std::unexpected(refused("IncompleteSignatureException", std::move(message)));
}

std::unexpected<ApiError> invalid(std::string message) {
    return std::unexpected(refused("InvalidSignatureException", std::move(message)));
}

/// Stands for a header in a text: it may hold a secret that was put into the wrong place.
std::string hash_of(std::string_view text) {
    return registry::to_base64(registry::sha256(std::as_bytes(std::span(text.data(), text.size())))
    );
}

/// The parts of an Authorization header: its scheme, and the values of the parameters we know.
struct AuthorizationParts {
    std::string_view scheme;
    std::string_view credential;
    std::string_view signed_headers;
    std::string_view signature;
};

/// `SCHEME Credential=.., SignedHeaders=.., Signature=..`; AWS takes commas and spaces alike.
std::expected<AuthorizationParts, ApiError> split_authorization(std::string_view header) {
    constexpr std::string_view kSeparators = " \t,";
    AuthorizationParts parts;
    bool is_scheme = true;
    for (std::size_t at = 0; (at = header.find_first_not_of(kSeparators, at)) != header.npos;) {
        const std::size_t end = std::min(header.find_first_of(kSeparators, at), header.size());
        std::string_view value = header.substr(at, end - at);
        at = end;
        if (std::exchange(is_scheme, false)) {
            parts.scheme = value;
            continue;
        }
        const std::size_t equals = value.find('=');
        if (equals == std::string_view::npos) {
            return incomplete(fmt::format(
                "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with "
                "SHA-256 and encoded with Base64): '{}'.",
                hash_of(header)
            ));
        }
        const std::string_view key = value.substr(0, equals);
        value.remove_prefix(equals + 1);
        if (key == "Credential") {
            parts.credential = value;
        } else if (key == "SignedHeaders") {
            parts.signed_headers = value;
        } else if (key == "Signature") {
            parts.signature = value;
        }
    }
    return parts;
}

/// Nothing if the header form has all it needs.
std::optional<std::string> missing_in_header(
    const AuthorizationParts& parts, bool has_date, std::string_view header
) {
    std::string text;
    const auto need = [&text](bool is_there, std::string_view name) {
        if (!is_there) {
            text += fmt::format("Authorization header requires '{}' parameter. ", name);
        }
    };
    need(!parts.credential.empty(), "Credential");
    need(!parts.signature.empty(), "Signature");
    need(!parts.signed_headers.empty(), "SignedHeaders");
    if (!has_date) {
        text +=
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
    }
    if (text.empty()) {
        return std::nullopt;
    }
    return fmt::format(
        "{}(Hashed with SHA-256 and encoded with Base64) Authorization={}", text, hash_of(header)
    );
}

std::unexpected<ApiError> bad_date(std::string_view got) {
    return incomplete(fmt::format(
        "Date must be in ISO-8601 'basic format'. Got '{}'. See "
        "http://en.wikipedia.org/wiki/ISO_8601",
        got.substr(0, kQuotedBytesMax)
    ));
}

bool is_sane_list(std::string_view names) {
    if (std::ranges::count(names, ';') >= kSignedHeadersMax) {
        return false;
    }
    while (!names.empty()) {
        const std::string_view name = take_until(names, ';');
        for (std::string_view rest = names; !rest.empty();) {
            if (same_name(take_until(rest, ';'), name)) {
                return false;
            }
        }
    }
    return true;
}

/// What both forms share: the host is signed, the algorithm is ours, the credential has its parts.
Read finish(Signature signature, std::string_view credential) {
    if (!has_signed_header(signature, "host")) {
        return invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
    }
    if (!is_sane_list(signature.signed_headers)) {
        return invalid(fmt::format(
            "SignedHeaders names at most {} headers, each of them once.", kSignedHeadersMax
        ));
    }
    if (signature.algorithm != kAlgorithm) {
        return incomplete(fmt::format(
            "Unsupported AWS 'algorithm': '{}' (only AWS4-HMAC-SHA256 for now). ",
            signature.algorithm.substr(0, kQuotedBytesMax)
        ));
    }
    if (std::ranges::count(credential, '/') != 4) {
        return incomplete(fmt::format(
            "Credential must have exactly 5 slash-delimited elements, e.g. "
            "keyid/date/region/service/term, got '{}'",
            credential.substr(0, kQuotedBytesMax)
        ));
    }
    signature.key_id = take_until(credential, '/');
    signature.date = take_until(credential, '/');
    signature.region = take_until(credential, '/');
    signature.service = take_until(credential, '/');
    signature.terminator = credential;
    return signature;
}

Read read_header_form(const http::Request& request, std::string_view header) {
    TRY_ASSIGN(const AuthorizationParts parts, split_authorization(header));
    const std::string_view amz_date = header_of(request, "x-amz-date");
    const std::string_view date = amz_date.empty() ? header_of(request, "date") : amz_date;
    if (auto text = missing_in_header(parts, !date.empty(), header)) {
        return incomplete(std::move(*text));
    }
    auto time_s = from_basic_time(date);
    if (!time_s && amz_date.empty()) {
        time_s = from_http_date(date);
    }
    if (!time_s) {
        return bad_date(date);
    }
    Signature signature;
    signature.signed_headers = parts.signed_headers;
    signature.signature = parts.signature;
    signature.token = header_of(request, "x-amz-security-token");
    signature.algorithm = parts.scheme;
    signature.time_s = *time_s;
    return finish(std::move(signature), parts.credential);
}

struct QueryParameter {
    std::string_view name;
    std::string_view value;  // decoded
};

enum QueryField : std::size_t {
    kAlgorithmIn,
    kCredentialIn,
    kSignatureIn,
    kHeadersIn,
    kDateIn,
    kExpiresIn,
    kTokenIn
};

using QueryFields = std::array<QueryParameter, 7>;

QueryFields empty_fields() {
    return {{
        {"X-Amz-Algorithm", {}},
        {"X-Amz-Credential", {}},
        {"X-Amz-Signature", {}},
        {"X-Amz-SignedHeaders", {}},
        {"X-Amz-Date", {}},
        {"X-Amz-Expires", {}},
        {"X-Amz-Security-Token", {}},
    }};
}

/// Fills the fields from the query; what is decoded goes to `memory`, which has room for all of it.
/// The first of each name counts.
void read_fields(std::string_view query, QueryFields& fields, char* memory) {
    while (!query.empty()) {
        std::string_view raw = take_until(query, '&');
        const std::string_view name = take_until(raw, '=');
        const auto field = std::ranges::find(fields, name, &QueryParameter::name);
        if (field == fields.end() || field->value.data() != nullptr) {
            continue;
        }
        char* const start = memory;
        while (!raw.empty()) {
            *memory++ = take_query_byte(raw);
        }
        field->value = {start, static_cast<std::size_t>(memory - start)};
    }
}

std::optional<std::int64_t> read_seconds(std::string_view text) {
    if (text.empty() || text.size() > 18) {
        return std::nullopt;
    }
    std::int64_t seconds = 0;
    for (const char digit : text) {
        if (digit < '0' || digit > '9') {
            return std::nullopt;
        }
        seconds = seconds * 10 + (digit - '0');
    }
    return seconds;
}

Read read_query_form(const http::Request& request) {
    Signature signature;
    signature.is_presigned = true;
    signature.decoded = std::make_unique<char[]>(request.query.size() + 1);
    QueryFields fields = empty_fields();
    read_fields(request.query, fields, signature.decoded.get());
    std::string missing;
    for (std::size_t field = kAlgorithmIn; field <= kDateIn; ++field) {
        if (fields[field].value.empty()) {
            missing +=
                fmt::format("AWS query-string parameters must include '{}'. ", fields[field].name);
        }
    }
    if (!missing.empty()) {
        return incomplete(missing + "Re-examine the query-string parameters.");
    }
    const auto time_s = from_basic_time(fields[kDateIn].value);
    if (!time_s) {
        return bad_date(fields[kDateIn].value);
    }
    const std::string_view expires = fields[kExpiresIn].value;
    const auto lifetime_s =
        expires.empty() ? std::optional<std::int64_t>(0) : read_seconds(expires);
    if (!lifetime_s || *lifetime_s > kLifetimeSecondsMax) {
        return incomplete(
            fmt::format("X-Amz-Expires must be between 1 and {} seconds.", kLifetimeSecondsMax)
        );
    }
    signature.signed_headers = fields[kHeadersIn].value;
    signature.signature = fields[kSignatureIn].value;
    signature.token = fields[kTokenIn].value;
    signature.algorithm = fields[kAlgorithmIn].value;
    signature.time_s = *time_s;
    signature.lifetime_s = *lifetime_s;
    return finish(std::move(signature), fields[kCredentialIn].value);
}

bool is_presigned(std::string_view query) {
    while (!query.empty()) {
        std::string_view parameter = take_until(query, '&');
        const std::string_view name = take_until(parameter, '=');
        if (name == "X-Amz-Signature" || name == "X-Amz-Algorithm") {
            return true;
        }
    }
    return false;
}

bool has_header(const http::Request& request, std::string_view name) {
    return std::ranges::any_of(request.headers, [name](const http::Header& header) {
        return same_name(header.name, name);
    });
}

}  // namespace

ApiError refused(const char* code, std::string message) {
    return {.status = 403, .code = code, .message = std::move(message), .type = ""};
}

bool has_signed_header(const Signature& signature, std::string_view name) noexcept {
    std::string_view rest = signature.signed_headers;
    while (!rest.empty()) {
        if (same_name(take_until(rest, ';'), name)) {
            return true;
        }
    }
    return false;
}

std::expected<std::optional<Signature>, ApiError> read_signature(const http::Request& request) {
    const bool in_header = has_header(request, "authorization");
    const bool in_query = is_presigned(request.query);
    if (!in_header && !in_query) {
        return std::nullopt;
    }
    if (in_header && in_query) {
        return invalid(
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP "
            "header."
        );
    }
    TRY_ASSIGN(
        Signature signature,
        in_header ? read_header_form(request, header_of(request, "authorization"))
                  : read_query_form(request)
    );
    return signature;
}

}  // namespace hako::gateway::auth
