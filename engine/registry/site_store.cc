#include "engine/registry/site_store.h"

#include <mutex>

#include "engine/base/result.h"
#include "engine/registry/sqlite.h"
#include "engine/registry/store.h"

namespace hako::registry {

std::expected<std::vector<SiteStore::StoredUrl>, Failure> SiteStore::load_urls() {
    const std::scoped_lock lock(store_.mutex_);
    std::vector<StoredUrl> urls;
    Statement select(
        store_.db_,
        "SELECT id, function_name, qualifier, settings, created, modified FROM function_urls"
    );
    for (;;) {
        TRY_ASSIGN(const bool has_row, select.step());
        if (!has_row) {
            return urls;
        }
        urls.push_back({
            .id = select.text(0),
            .function_name = select.text(1),
            .qualifier = select.text(2),
            .settings = select.text(3),
            .created = select.text(4),
            .modified = select.text(5),
        });
    }
}

std::expected<std::vector<SiteStore::StoredApi>, Failure> SiteStore::load_apis() {
    const std::scoped_lock lock(store_.mutex_);
    std::vector<StoredApi> apis;
    Statement select(store_.db_, "SELECT name, id, settings, created, modified FROM http_apis");
    for (;;) {
        TRY_ASSIGN(const bool has_row, select.step());
        if (!has_row) {
            return apis;
        }
        apis.push_back({
            .name = select.text(0),
            .id = select.text(1),
            .settings = select.text(2),
            .created = select.text(3),
            .modified = select.text(4),
        });
    }
}

std::expected<void, Failure> SiteStore::put_url(const StoredUrl& url) {
    const std::scoped_lock lock(store_.mutex_);
    Statement put(
        store_.db_,
        "INSERT OR REPLACE INTO function_urls(id, function_name, qualifier, settings, created, "
        "modified) VALUES(?, ?, ?, ?, ?, ?)"
    );
    put.bind(url.id)
        .bind(url.function_name)
        .bind(url.qualifier)
        .bind(url.settings)
        .bind(url.created)
        .bind(url.modified);
    TRY(put.step());
    return {};
}

std::expected<void, Failure> SiteStore::put_api(const StoredApi& api) {
    const std::scoped_lock lock(store_.mutex_);
    Statement put(
        store_.db_,
        "INSERT OR REPLACE INTO http_apis(name, id, settings, created, modified) "
        "VALUES(?, ?, ?, ?, ?)"
    );
    put.bind(api.name).bind(api.id).bind(api.settings).bind(api.created).bind(api.modified);
    TRY(put.step());
    return {};
}

std::expected<void, Failure> SiteStore::remove_url(const std::string& id) {
    const std::scoped_lock lock(store_.mutex_);
    Statement remove(store_.db_, "DELETE FROM function_urls WHERE id = ?");
    remove.bind(id);
    TRY(remove.step());
    return {};
}

std::expected<void, Failure> SiteStore::remove_api(const std::string& name) {
    const std::scoped_lock lock(store_.mutex_);
    Statement remove(store_.db_, "DELETE FROM http_apis WHERE name = ?");
    remove.bind(name);
    TRY(remove.step());
    return {};
}

}  // namespace hako::registry
