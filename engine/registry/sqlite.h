#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <sqlite3.h>

#include "engine/base/result.h"
#include "engine/registry/api_error.h"

// What the registry's database files share: statements and transactions.
namespace hako::registry {

[[nodiscard]] inline Failure database_failure(sqlite3* db, std::string_view step) {
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
    Statement& bind(double number) {
        keep(sqlite3_bind_double(statement_, ++bound_, number));
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
    [[nodiscard]] double real(int column) const {
        return sqlite3_column_double(statement_, column);
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

[[nodiscard]] inline std::expected<void, Failure> execute(sqlite3* db, const char* sql) {
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

/// Makes the tables, or brings those of an older hako up to date; one transaction. Errors: the file
/// cannot be written, or a newer hako wrote it (`path` is for the text).
[[nodiscard]] std::expected<void, Failure> prepare_schema(sqlite3* db, const std::string& path);

}  // namespace hako::registry
