#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/gateway/auth/signature.h"
#include "engine/gateway/http/message.h"

namespace hako::gateway::auth {

/// Writes canonical requests as AWS describes them for every service but S3: the path's segments
/// encoded once more, `.`, `..` and empty segments resolved, the query decoded, encoded anew and
/// sorted, header values trimmed and joined. Keeps its memory from call to call.
class Canonicalizer {
public:
    /// The canonical request of `request` signed as `signature` says, with this hash of the payload
    /// (64 hexadecimal digits). The view holds until the next call.
    [[nodiscard]] std::string_view write(
        const http::Request& request, const Signature& signature, std::string_view payload_hash
    );

private:
    struct Parameter {
        std::uint32_t begin = 0;  // in query_
        std::uint32_t key_end = 0;
        std::uint32_t end = 0;
    };

    void add_path(std::string_view path);
    void add_query(std::string_view query, bool is_presigned);
    void add_headers(const http::Request& request, std::string_view signed_headers);

    std::string text_;
    std::string query_;
    std::vector<Parameter> parameters_;
};

/// What is signed: algorithm, time, scope and the hash of the canonical request.
[[nodiscard]] std::string string_to_sign(
    const Signature& signature, std::string_view canonical_hash
);

/// Whether one of the headers Lambda acts on came unsigned: it could have been added or changed on
/// the way. Its name, or empty.
[[nodiscard]] std::string_view unsigned_header(
    const http::Request& request, const Signature& signature
) noexcept;

}  // namespace hako::gateway::auth
