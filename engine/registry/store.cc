#include "engine/registry/store.h"

#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <sqlite3.h>

#include "engine/base/ensure.h"
#include "engine/base/result.h"
#include "engine/registry/json_reader.h"
#include "engine/registry/site_store.h"

namespace hako::registry {

namespace {

constexpr int kSchemaVersion = 1;

// One row of `versions` is one immutable state. AUTOINCREMENT keeps the highest id ever given in
// sqlite_sequence, so ids are not reused even after the row is gone.
constexpr const char* kSchema = R"(
CREATE TABLE functions(
  name TEXT PRIMARY KEY NOT NULL,
  reserved_concurrency INTEGER,
  tags TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE versions(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  function_name TEXT NOT NULL REFERENCES functions(name) ON DELETE CASCADE,
  version TEXT NOT NULL,
  runtime TEXT NOT NULL,
  handler TEXT NOT NULL,
  role TEXT NOT NULL,
  description TEXT NOT NULL,
  memory_mib INTEGER NOT NULL,
  timeout_s INTEGER NOT NULL,
  ephemeral_mib INTEGER NOT NULL,
  environment TEXT,
  tracing_mode TEXT NOT NULL,
  code_id TEXT NOT NULL,
  code_sha256 TEXT NOT NULL,
  code_bytes INTEGER NOT NULL,
  last_modified TEXT NOT NULL,
  revision_id TEXT NOT NULL,
  provisioned_count INTEGER NOT NULL,
  provisioned_modified TEXT NOT NULL,
  UNIQUE(function_name, version)
) STRICT;
PRAGMA user_version = 1;
)";

constexpr const char* kSelect = R"(
SELECT id, function_name, version, runtime, handler, role, description, memory_mib, timeout_s,
  ephemeral_mib, environment, tracing_mode, code_id, code_sha256, code_bytes, last_modified,
  revision_id, provisioned_count, provisioned_modified, reserved_concurrency, tags
FROM versions JOIN functions ON functions.name = versions.function_name
)";

constexpr const char* kInsert = R"(
INSERT INTO versions(function_name, version, runtime, handler, role, description, memory_mib,
  timeout_s, ephemeral_mib, environment, tracing_mode, code_id, code_sha256, code_bytes,
  last_modified, revision_id, provisioned_count, provisioned_modified)
VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
)";

constexpr const char* kUpsertFunction = R"(
INSERT INTO functions(name, reserved_concurrency, tags) VALUES(?, ?, ?)
ON CONFLICT(name) DO UPDATE SET
  reserved_concurrency = excluded.reserved_concurrency, tags = excluded.tags
)";

Failure database_failure(sqlite3* db, std::string_view step) {
    return {fmt::format("registry database: {}: {}", step, sqlite3_errmsg(db))};
}

/// A prepared statement. Binds and reads in order; the strings bound must outlive it.
class Statement {
public:
    Statement(sqlite3* db, const char* sql) : db_(db) {
        status_ = sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr);
    }
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;
    ~Statement() { sqlite3_finalize(statement_); }

    Statement& bind(const std::string& text) {
        keep(sqlite3_bind_text(
            statement_, ++bound_, text.data(), static_cast<int>(text.size()), SQLITE_STATIC
        ));
        return *this;
    }
    template <typename Integer>
        requires std::is_integral_v<Integer>
    Statement& bind(Integer number) {
        keep(sqlite3_bind_int64(statement_, ++bound_, static_cast<sqlite3_int64>(number)));
        return *this;
    }
    template <typename T>
    Statement& bind(const std::optional<T>& value) {
        if (value) {
            return bind(*value);
        }
        keep(sqlite3_bind_null(statement_, ++bound_));
        return *this;
    }

    /// True: a row is there. False: done. Errors: the database's words.
    std::expected<bool, Failure> step() {
        if (status_ == SQLITE_OK) {
            status_ = sqlite3_step(statement_);
        }
        if (status_ == SQLITE_ROW || status_ == SQLITE_DONE) {
            return std::exchange(status_, SQLITE_OK) == SQLITE_ROW;
        }
        return std::unexpected(database_failure(db_, "run a statement"));
    }

    [[nodiscard]] bool is_null(int column) const {
        return sqlite3_column_type(statement_, column) == SQLITE_NULL;
    }
    [[nodiscard]] std::string text(int column) const {
        const auto* bytes = sqlite3_column_text(statement_, column);
        const int count = sqlite3_column_bytes(statement_, column);
        return bytes == nullptr
                   ? std::string()
                   : std::string(
                         reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(count)
                     );
    }
    template <typename Integer>
    [[nodiscard]] Integer number(int column) const {
        return static_cast<Integer>(sqlite3_column_int64(statement_, column));
    }

private:
    void keep(int status) {
        if (status_ == SQLITE_OK) {
            status_ = status;
        }
    }
    sqlite3* db_;
    sqlite3_stmt* statement_ = nullptr;
    int status_ = SQLITE_OK;
    int bound_ = 0;
};

std::expected<void, Failure> execute(sqlite3* db, const char* sql) {
    if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
        return std::unexpected(database_failure(db, "run a statement"));
    }
    return {};
}

/// Rolls back unless committed.
class Transaction {
public:
    explicit Transaction(sqlite3* db) : db_(db) {}
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    ~Transaction() {
        if (open_) {
            (void)execute(db_, "ROLLBACK");  // SQLite may have done so itself
        }
    }
    std::expected<void, Failure> begin() {
        TRY(execute(db_, "BEGIN IMMEDIATE"));
        open_ = true;
        return {};
    }
    std::expected<void, Failure> commit() {
        TRY(execute(db_, "COMMIT"));
        open_ = false;
        return {};
    }

private:
    sqlite3* db_;
    bool open_ = false;
};

std::expected<void, Failure> prepare_schema(sqlite3* db, const std::string& path) {
    Transaction transaction(db);
    TRY(transaction.begin());  // fails here if the file cannot be written
    int version = 0;
    {
        Statement read(db, "PRAGMA user_version");
        TRY(read.step());
        version = read.number<int>(0);
    }
    if (version > kSchemaVersion) {
        return std::unexpected(Failure{fmt::format(
            "registry database '{}' has schema {}, this hako knows {}: it was written by a newer "
            "hako",
            path,
            version,
            kSchemaVersion
        )});
    }
    if (version == 0) {
        TRY(execute(db, kSchema));
    }
    return transaction.commit();
}

std::expected<StringPairs, Failure> read_pairs(const std::string& text, const char* column) {
    JsonDocument document;
    const auto object = document.parse(text);
    if (!object) {
        return std::unexpected(
            Failure{fmt::format("registry database: bad {}: {}", column, object.error())}
        );
    }
    auto pairs = read_string_map(*object, column);
    if (!pairs) {
        return std::unexpected(Failure{"registry database: " + pairs.error()});
    }
    return std::move(*pairs);
}

std::expected<FunctionVersion, Failure> read_row(const Statement& row) {
    FunctionVersion function;
    function.id = row.number<std::uint64_t>(0);
    function.name = row.text(1);
    function.version = row.text(2);
    function.runtime = row.text(3);
    function.handler = row.text(4);
    function.role = row.text(5);
    function.description = row.text(6);
    function.memory_mib = row.number<std::uint32_t>(7);
    function.timeout_s = row.number<std::uint32_t>(8);
    function.ephemeral_mib = row.number<std::uint32_t>(9);
    function.environment_given = !row.is_null(10);
    if (function.environment_given) {
        TRY_ASSIGN(function.environment, read_pairs(row.text(10), "environment"));
    }
    function.tracing_mode = row.text(11);
    function.code_id = row.text(12);
    function.code_sha256 = row.text(13);
    function.code_bytes = row.number<std::uint64_t>(14);
    function.last_modified = row.text(15);
    function.revision_id = row.text(16);
    function.provisioned_count = row.number<std::uint32_t>(17);
    function.provisioned_modified = row.text(18);
    if (!row.is_null(19)) {
        function.reserved_concurrency = row.number<std::uint32_t>(19);
    }
    TRY_ASSIGN(function.tags, read_pairs(row.text(20), "tags"));
    return function;
}

std::expected<void, Failure> insert_version(sqlite3* db, const FunctionVersion& function) {
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
        .bind(function.code_id)
        .bind(function.code_sha256)
        .bind(function.code_bytes)
        .bind(function.last_modified)
        .bind(function.revision_id)
        .bind(function.provisioned_count)
        .bind(function.provisioned_modified);
    TRY(insert.step());
    return {};
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

std::expected<std::vector<FunctionVersion>, Failure> Store::load() {
    const std::scoped_lock lock(mutex_);
    std::vector<FunctionVersion> functions;
    Statement select(db_, kSelect);
    for (;;) {
        TRY_ASSIGN(const bool has_row, select.step());
        if (!has_row) {
            return functions;
        }
        TRY_ASSIGN(FunctionVersion function, read_row(select));
        functions.push_back(std::move(function));
    }
}

std::expected<std::uint64_t, Failure> Store::put(const FunctionVersion& function) {
    const std::scoped_lock lock(mutex_);
    const std::string tags = write_string_map(function.tags);
    Transaction transaction(db_);
    TRY(transaction.begin());
    {
        Statement upsert(db_, kUpsertFunction);
        upsert.bind(function.name).bind(function.reserved_concurrency).bind(tags);
        TRY(upsert.step());
        Statement replace(db_, "DELETE FROM versions WHERE function_name = ? AND version = ?");
        replace.bind(function.name).bind(function.version);
        TRY(replace.step());
        TRY(insert_version(db_, function));
    }
    const auto id = static_cast<std::uint64_t>(sqlite3_last_insert_rowid(db_));
    TRY(transaction.commit());
    return id;
}

std::expected<void, Failure> Store::remove(const std::string& name) {
    const std::scoped_lock lock(mutex_);
    Statement remove(db_, "DELETE FROM functions WHERE name = ?");
    remove.bind(name);
    TRY(remove.step());
    return {};
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

}  // namespace hako::registry
