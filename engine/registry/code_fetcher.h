#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <vector>

#include "engine/registry/api_error.h"

namespace hako::registry {

struct CodeObject {
    std::string bucket;
    std::string key;
    std::string version;  // S3ObjectVersion; empty: the newest
};

/// Where code packages come from that are named by bucket and key.
class CodeFetcher {
public:
    CodeFetcher() = default;
    CodeFetcher(const CodeFetcher&) = delete;
    CodeFetcher& operator=(const CodeFetcher&) = delete;
    virtual ~CodeFetcher() = default;

    /// The object's bytes, at most kZipBytesMax. Blocks; any thread. Errors as Lambda words those
    /// of S3: `Error occurred while GetObject. S3 Error Code: NoSuchKey. ...`.
    [[nodiscard]] virtual std::expected<std::vector<std::byte>, ApiError> fetch(
        const CodeObject& object
    ) = 0;
};

/// Lambda's words for what S3 answered.
[[nodiscard]] ApiError s3_error(std::string_view code, std::string_view message);

}  // namespace hako::registry
