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
#include "engine/registry/function_version.h"

struct sqlite3;

namespace hako::registry {

/// The durable form of the registry: SQLite, WAL, synchronous=FULL. Every call blocks and is one
/// transaction: after a crash it has happened or not. Thread-safe (one at a time).
class Store {
public:
    /// Opens or makes the database. Errors: not writable, not a database, a newer schema.
    [[nodiscard]] static std::expected<std::unique_ptr<Store>, Failure> open(const std::string& path
    );
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    /// Every function's $LATEST, without `arn`, `kind` and `code` (the caller knows those).
    [[nodiscard]] std::expected<std::vector<FunctionVersion>, Failure> load();
    /// Writes `function` as the new state of its name and version; returns the id it got.
    [[nodiscard]] std::expected<std::uint64_t, Failure> put(const FunctionVersion& function);
    [[nodiscard]] std::expected<void, Failure> remove(const std::string& name);
    [[nodiscard]] std::expected<void, Failure> set_reserved(
        const std::string& name, std::optional<std::uint32_t> count
    );
    /// `count` 0 clears.
    [[nodiscard]] std::expected<void, Failure> set_provisioned(
        std::uint64_t id, std::uint32_t count, const std::string& modified
    );

private:
    friend class SiteStore;
    Store() = default;
    sqlite3* db_ = nullptr;
    std::mutex mutex_;
};

}  // namespace hako::registry
