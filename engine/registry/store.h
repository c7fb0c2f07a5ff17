#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/registry/api_error.h"
#include "engine/registry/function.h"

struct sqlite3;

namespace hako::registry {

/// The durable form of the registry: SQLite, WAL, synchronous=FULL. Every call blocks and is one
/// transaction: after a crash it has happened or not. Thread-safe (one at a time).
class Store {
public:
    /// Opens or makes the database; one of an older hako is brought up to date. Errors: not
    /// writable, not a database, a newer schema.
    [[nodiscard]] static std::expected<std::unique_ptr<Store>, Failure> open(const std::string& path
    );
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    struct StoredAlias {
        std::string function_name;
        Alias alias;
    };
    struct StoredPolicy {
        std::string function_name;
        std::string qualifier;
        Policy policy;
    };
    struct Contents {
        /// By function, $LATEST first; without `arn`, `kind` and `code` (the caller knows those).
        /// Versions of one function share its `common`.
        std::vector<FunctionVersion> versions;
        std::vector<std::pair<std::string, std::uint64_t>> last_numbers;
        std::vector<StoredAlias> aliases;
        std::vector<StoredPolicy> policies;
    };
    [[nodiscard]] std::expected<Contents, Failure> load();

    /// One change of a function's versions; all pointers may be null, and outlive the call.
    struct Write {
        const FunctionVersion* latest = nullptr;       // the new state of $LATEST
        const FunctionVersion* published = nullptr;    // a new version, by its number
        const std::string* latest_revision = nullptr;  // without `latest`: only its revision
    };
    struct Ids {
        std::uint64_t latest = 0;
        std::uint64_t published = 0;
    };
    /// Enters the function if it is new. Returns the ids that were given.
    [[nodiscard]] std::expected<Ids, Failure> write(const Write& change);
    /// The same for $LATEST alone.
    [[nodiscard]] std::expected<std::uint64_t, Failure> put(const FunctionVersion& latest);
    [[nodiscard]] std::expected<void, Failure> remove(const std::string& name);
    /// With its policy.
    [[nodiscard]] std::expected<void, Failure> remove_version(const FunctionVersion& version);

    [[nodiscard]] std::expected<void, Failure> set_reserved(
        const std::string& name, std::optional<std::uint32_t> count
    );
    [[nodiscard]] std::expected<void, Failure> set_tags(
        const std::string& name, const StringPairs& tags
    );
    /// `count` 0 clears.
    [[nodiscard]] std::expected<void, Failure> set_provisioned(
        std::uint64_t id, std::uint32_t count, const std::string& modified
    );
    [[nodiscard]] std::expected<void, Failure> put_alias(
        const std::string& function_name, const Alias& alias
    );
    /// With its policy.
    [[nodiscard]] std::expected<void, Failure> remove_alias(
        const std::string& function_name, const std::string& alias
    );

    /// A policy and the new revision of what it belongs to: an alias, or else the version `id`.
    struct PolicyChange {
        std::string function_name;
        std::string qualifier;
        Policy policy;  // empty: takes it out
        std::string alias;
        std::uint64_t version_id = 0;
        std::string revision_id;
    };
    [[nodiscard]] std::expected<void, Failure> put_policy(const PolicyChange& change);

private:
    friend class SiteStore;
    Store() = default;
    sqlite3* db_ = nullptr;
    std::mutex mutex_;
};

}  // namespace hako::registry
