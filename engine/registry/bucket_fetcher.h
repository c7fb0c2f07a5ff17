#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "engine/base/unique_fd.h"
#include "engine/registry/code_fetcher.h"

namespace hako::registry {

struct BucketOptions {
    std::string directory;    // buckets are its sub-directories; empty: none
    std::string endpoint;     // of an S3-compatible server, path style; empty: none
    std::string region;       // that requests are signed for
    std::string credentials;  // file with access key and secret key; empty: unsigned requests
};

/// Objects of directories, then of an S3-compatible server (by libcurl, which signs: SigV4).
class BucketFetcher final : public CodeFetcher {
public:
    /// Call it before there are threads: libcurl wants to be initialised alone.
    explicit BucketFetcher(BucketOptions options);
    ~BucketFetcher() override;

    [[nodiscard]] std::expected<std::vector<std::byte>, ApiError> fetch(const CodeObject& object
    ) override;

private:
    using Bytes = std::vector<std::byte>;

    /// Nothing if there is no such bucket here.
    [[nodiscard]] std::optional<std::expected<Bytes, ApiError>> fetch_local(const CodeObject& object
    ) const;
    [[nodiscard]] std::expected<Bytes, ApiError> fetch_remote(const CodeObject& object) const;

    BucketOptions options_;
    // One download at a time: each holds an offload thread, and the database needs one too.
    std::mutex mutex_;
};

}  // namespace hako::registry
