#include "engine/registry/store.h"

#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <sqlite3.h>

#include "engine/base/ensure.h"
#include "engine/base/result.h"
#include "engine/registry/json_reader.h"
#include "engine/registry/site_store.h"
#include "engine/registry/sqlite.h"

namespace hako::registry {

namespace {

constexpr const char* kInsert = R"(
INSERT INTO versions(function_name, version, runtime, handler, role, description, memory_mib,
  timeout_s, ephemeral_mib, environment, tracing_mode, dead_letter_arn, code_id, code_sha256,
  code_bytes, last_modified, revision_id, provisioned_count, provisioned_modified)
VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
)";

std::expected<std::uint64_t, Failure> insert_version(sqlite3* db, const FunctionVersion& function) {
    std::optional<std::string> environment;
    if (function.environment_given) {
        environment = write_string_map(function.environment);
    }
    Statement insert(db, kInsert);
    insert.bind(function.name)
        .bind(function.version)
        .bind(function.runtime)
        .bind(function.handler)
        .bind(function.role)
        .bind(function.description)
        .bind(function.memory_mib)
        .bind(function.timeout_s)
        .bind(function.ephemeral_mib)
        .bind(environment)
        .bind(function.tracing_mode)
        .bind(function.dead_letter_arn)
        .bind(function.code_id)
        .bind(function.code_sha256)
        .bind(function.code_bytes)
        .bind(function.last_modified)
        .bind(function.revision_id)
        .bind(function.provisioned_own)
        .bind(function.provisioned_modified);
    TRY(insert.step());
    return static_cast<std::uint64_t>(sqlite3_last_insert_rowid(db));
}

std::expected<std::uint64_t, Failure> replace_latest(sqlite3* db, const FunctionVersion& latest) {
    const std::string tags = write_string_map(latest.common->tags);
    Statement enter(
        db,
        "INSERT INTO functions(name, reserved_concurrency, tags) VALUES(?, ?, ?) "
        "ON CONFLICT(name) DO NOTHING"
    );
    enter.bind(latest.name).bind(latest.common->reserved_concurrency).bind(tags);
    TRY(enter.step());
    Statement replace(db, "DELETE FROM versions WHERE function_name = ? AND version = ?");
    replace.bind(latest.name).bind(latest.version);
    TRY(replace.step());
    return insert_version(db, latest);
}

std::expected<std::uint64_t, Failure> insert_published(
    sqlite3* db, const FunctionVersion& published
) {
    Statement count(db, "UPDATE functions SET last_number = ? WHERE name = ?");
    count.bind(published.number).bind(published.name);
    TRY(count.step());
    ENSURE(sqlite3_changes(db) == 1, "registry and database hold the same functions");
    return insert_version(db, published);
}

/// The JSON of a policy, as the database keeps it: its statements by their ids.
std::string policy_json(const Policy& policy) {
    StringPairs pairs;
    for (const PolicyStatement& statement : policy) {
        pairs.emplace_back(statement.sid, statement.json);
    }
    return write_string_map(pairs);
}

}  // namespace

Store::~Store() {
    sqlite3_close(db_);
}

std::expected<std::unique_ptr<Store>, Failure> Store::open(const std::string& path) {
    std::unique_ptr<Store> store(new Store);
    // The mutex of this class serialises: SQLite's own would be taken for nothing.
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    if (sqlite3_open_v2(path.c_str(), &store->db_, flags, nullptr) != SQLITE_OK) {
        return std::unexpected(database_failure(store->db_, fmt::format("open '{}'", path)));
    }
    sqlite3_busy_timeout(store->db_, 5000);
    TRY(execute(
        store->db_,
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
        "PRAGMA trusted_schema = OFF"
    ));
    TRY(prepare_schema(store->db_, path));
    TRY(execute(store->db_, SiteStore::kSchema));
    return store;
}

std::expected<Store::Ids, Failure> Store::write(const Write& change) {
    const std::scoped_lock lock(mutex_);
    Ids ids;
    Transaction transaction(db_);
    TRY(transaction.begin());
    if (change.latest != nullptr) {
        TRY_ASSIGN(ids.latest, replace_latest(db_, *change.latest));
    }
    if (change.published != nullptr) {
        TRY_ASSIGN(ids.published, insert_published(db_, *change.published));
    }
    if (change.latest_revision != nullptr) {
        Statement revise(
            db_,
            "UPDATE versions SET revision_id = ? WHERE function_name = ? AND version = '$LATEST'"
        );
        revise.bind(*change.latest_revision).bind(change.published->name);
        TRY(revise.step());
    }
    TRY(transaction.commit());
    return ids;
}

std::expected<std::uint64_t, Failure> Store::put(const FunctionVersion& latest) {
    TRY_ASSIGN(const Ids ids, write({.latest = &latest}));
    return ids.latest;
}

std::expected<void, Failure> Store::remove(const std::string& name) {
    const std::scoped_lock lock(mutex_);
    Statement remove(db_, "DELETE FROM functions WHERE name = ?");
    remove.bind(name);
    TRY(remove.step());
    return {};
}

std::expected<void, Failure> Store::remove_version(const FunctionVersion& version) {
    const std::scoped_lock lock(mutex_);
    Transaction transaction(db_);
    TRY(transaction.begin());
    {
        Statement remove(db_, "DELETE FROM versions WHERE id = ?");
        remove.bind(version.id);
        TRY(remove.step());
        ENSURE(sqlite3_changes(db_) == 1, "registry and database hold the same versions");
        Statement policy(db_, "DELETE FROM policies WHERE function_name = ? AND qualifier = ?");
        policy.bind(version.name).bind(version.version);
        TRY(policy.step());
    }
    return transaction.commit();
}

std::expected<void, Failure> Store::set_reserved(
    const std::string& name, std::optional<std::uint32_t> count
) {
    const std::scoped_lock lock(mutex_);
    Statement update(db_, "UPDATE functions SET reserved_concurrency = ? WHERE name = ?");
    update.bind(count).bind(name);
    TRY(update.step());
    ENSURE(sqlite3_changes(db_) == 1, "registry and database hold the same functions");
    return {};
}

std::expected<void, Failure> Store::set_tags(const std::string& name, const StringPairs& tags) {
    const std::scoped_lock lock(mutex_);
    const std::string text = write_string_map(tags);
    Statement update(db_, "UPDATE functions SET tags = ? WHERE name = ?");
    update.bind(text).bind(name);
    TRY(update.step());
    ENSURE(sqlite3_changes(db_) == 1, "registry and database hold the same functions");
    return {};
}

std::expected<void, Failure> Store::set_provisioned(
    std::uint64_t id, std::uint32_t count, const std::string& modified
) {
    const std::scoped_lock lock(mutex_);
    Statement update(
        db_, "UPDATE versions SET provisioned_count = ?, provisioned_modified = ? WHERE id = ?"
    );
    update.bind(count).bind(modified).bind(id);
    TRY(update.step());
    ENSURE(sqlite3_changes(db_) == 1, "registry and database hold the same versions");
    return {};
}

std::expected<void, Failure> Store::put_alias(
    const std::string& function_name, const Alias& alias
) {
    const std::scoped_lock lock(mutex_);
    std::optional<std::uint64_t> routing_number;
    std::optional<double> routing_weight;
    if (alias.routing) {
        routing_number = alias.routing->number;
        routing_weight = alias.routing->weight;
    }
    Statement put(db_, "INSERT OR REPLACE INTO aliases VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)");
    put.bind(function_name)
        .bind(alias.name)
        .bind(alias.number)
        .bind(routing_number)
        .bind(routing_weight)
        .bind(alias.description)
        .bind(alias.revision_id)
        .bind(alias.provisioned_count)
        .bind(alias.provisioned_modified);
    TRY(put.step());
    return {};
}

std::expected<void, Failure> Store::remove_alias(
    const std::string& function_name, const std::string& alias
) {
    const std::scoped_lock lock(mutex_);
    Transaction transaction(db_);
    TRY(transaction.begin());
    {
        Statement remove(db_, "DELETE FROM aliases WHERE function_name = ? AND name = ?");
        remove.bind(function_name).bind(alias);
        TRY(remove.step());
        Statement policy(db_, "DELETE FROM policies WHERE function_name = ? AND qualifier = ?");
        policy.bind(function_name).bind(alias);
        TRY(policy.step());
    }
    return transaction.commit();
}

std::expected<void, Failure> Store::put_policy(const PolicyChange& change) {
    const std::scoped_lock lock(mutex_);
    const std::string statements = policy_json(change.policy);
    Transaction transaction(db_);
    TRY(transaction.begin());
    {
        const bool removes = change.policy.empty();
        Statement put(
            db_,
            removes ? "DELETE FROM policies WHERE function_name = ? AND qualifier = ?"
                    : "INSERT OR REPLACE INTO policies VALUES(?, ?, ?)"
        );
        put.bind(change.function_name).bind(change.qualifier);
        if (!removes) {
            put.bind(statements);
        }
        TRY(put.step());
        const bool is_alias = !change.alias.empty();
        Statement revise(
            db_,
            is_alias ? "UPDATE aliases SET revision_id = ? WHERE function_name = ? AND name = ?"
                     : "UPDATE versions SET revision_id = ? WHERE function_name = ? AND id = ?"
        );
        revise.bind(change.revision_id).bind(change.function_name);
        (void)(is_alias ? revise.bind(change.alias) : revise.bind(change.version_id));
        TRY(revise.step());
        ENSURE(sqlite3_changes(db_) == 1, "a policy belongs to what is there");
    }
    return transaction.commit();
}

}  // namespace hako::registry
