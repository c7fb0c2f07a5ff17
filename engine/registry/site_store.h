#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "engine/registry/api_error.h"

namespace hako::registry {

class Store;

/// Function URLs and HTTP APIs in the registry's database. Every call blocks and is one
/// transaction. Thread-safe (one at a time, with the store).
class SiteStore {
public:
    /// Makes the tables; nothing happens if they are there.
    static constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS function_urls(
  id TEXT PRIMARY KEY NOT NULL,
  function_name TEXT NOT NULL REFERENCES functions(name) ON DELETE CASCADE,
  qualifier TEXT NOT NULL,
  settings TEXT NOT NULL,
  created TEXT NOT NULL,
  modified TEXT NOT NULL,
  UNIQUE(function_name, qualifier)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS http_apis(
  name TEXT PRIMARY KEY NOT NULL,
  id TEXT UNIQUE NOT NULL,
  settings TEXT NOT NULL,
  created TEXT NOT NULL,
  modified TEXT NOT NULL
) STRICT, WITHOUT ROWID;
)";

    explicit SiteStore(Store& store) : store_(store) {}

    /// A row: what makes it found, and its settings as JSON.
    struct StoredUrl {
        std::string id;
        std::string function_name;
        std::string qualifier;
        std::string settings;
        std::string created;
        std::string modified;
    };
    struct StoredApi {
        std::string name;
        std::string id;
        std::string settings;
        std::string created;
        std::string modified;
    };

    [[nodiscard]] std::expected<std::vector<StoredUrl>, Failure> load_urls();
    [[nodiscard]] std::expected<std::vector<StoredApi>, Failure> load_apis();
    /// Enters or replaces. Errors: the function is not there.
    [[nodiscard]] std::expected<void, Failure> put_url(const StoredUrl& url);
    [[nodiscard]] std::expected<void, Failure> put_api(const StoredApi& api);
    [[nodiscard]] std::expected<void, Failure> remove_url(const std::string& id);
    [[nodiscard]] std::expected<void, Failure> remove_api(const std::string& name);

private:
    Store& store_;
};

}  // namespace hako::registry
