#include <string>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "tests/unit/registry/fixture.h"

namespace hako::registry {
namespace {

// The database as hako 0.1 made it, with one function.
constexpr const char* kVersionOne = R"(
PRAGMA journal_mode = WAL;
CREATE TABLE functions(
  name TEXT PRIMARY KEY NOT NULL, reserved_concurrency INTEGER, tags TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE versions(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  function_name TEXT NOT NULL REFERENCES functions(name) ON DELETE CASCADE,
  version TEXT NOT NULL, runtime TEXT NOT NULL, handler TEXT NOT NULL, role TEXT NOT NULL,
  description TEXT NOT NULL, memory_mib INTEGER NOT NULL, timeout_s INTEGER NOT NULL,
  ephemeral_mib INTEGER NOT NULL, environment TEXT, tracing_mode TEXT NOT NULL,
  code_id TEXT NOT NULL, code_sha256 TEXT NOT NULL, code_bytes INTEGER NOT NULL,
  last_modified TEXT NOT NULL, revision_id TEXT NOT NULL, provisioned_count INTEGER NOT NULL,
  provisioned_modified TEXT NOT NULL, UNIQUE(function_name, version)
) STRICT;
INSERT INTO functions VALUES('old', 5, '{"team":"a"}');
INSERT INTO versions VALUES(41, 'old', '$LATEST', 'python3.11', 'a.b', 'role', 'd', 256, 9, 512,
  '{"K":"v"}', 'Active', 'c', 'sha', 10, 'then', 'rev', 2, 'when');
PRAGMA user_version = 1;
)";

int user_version(const std::string& path) {
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    int version = -1;
    const auto read = [](void* into, int, char** values, char**) {
        *static_cast<int*>(into) = std::stoi(values[0]);
        return 0;
    };
    sqlite3_exec(db, "PRAGMA user_version", read, &version, nullptr);
    sqlite3_close(db);
    return version;
}

TEST(Migration, BringsTheFirstSchemaUpToDate) {
    const TempDir dir;
    const std::string path = dir.path() + "/registry.db";
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, kVersionOne, nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db);
    sqlite3_close(db);
    for (int start = 0; start < 2; ++start) {
        auto store = Store::open(path);
        ASSERT_TRUE(store) << store.error().text;
        const auto contents = (*store)->load();
        ASSERT_TRUE(contents) << contents.error().text;
        ASSERT_EQ(contents->versions.size(), 1U);
        const FunctionVersion& old = contents->versions.front();
        EXPECT_EQ(old.id, 41U);
        EXPECT_EQ(old.number, 0U);
        EXPECT_EQ(old.common->reserved_concurrency, 5U);
        EXPECT_EQ(old.common->tags, (StringPairs{{"team", "a"}}));
        EXPECT_EQ(old.provisioned_own, 2U);
        EXPECT_EQ(old.dead_letter_arn, "");
        EXPECT_TRUE(contents->aliases.empty());
    }
    EXPECT_GE(user_version(path), 2);
    // Ids go on where the old hako stopped, and what is new works.
    auto store = Store::open(path);
    FunctionVersion published;
    published.name = "old";
    published.number = 1;
    published.version = "1";
    const std::string revision = "new";
    const auto ids = (*store)->write({.published = &published, .latest_revision = &revision});
    ASSERT_TRUE(ids) << ids.error().text;
    EXPECT_EQ(ids->published, 42U);
    ASSERT_TRUE((*store)->put_alias("old", Alias{.name = "live", .number = 1}));
    const auto contents = (*store)->load();
    ASSERT_EQ(contents->versions.size(), 2U);
    EXPECT_EQ(contents->versions[0].revision_id, "new");
    EXPECT_EQ(contents->versions[1].common, contents->versions[0].common);
    EXPECT_EQ(contents->last_numbers.front().second, 1U);
    EXPECT_EQ(contents->aliases.front().alias.name, "live");
}

TEST(Migration, ABrokenOneLeavesTheDatabaseAsItWas) {
    const TempDir dir;
    const std::string path = dir.path() + "/registry.db";
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, kVersionOne, nullptr, nullptr, nullptr), SQLITE_OK);
    // The second step of the way cannot be done.
    ASSERT_EQ(sqlite3_exec(db, "CREATE TABLE policies(x)", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(db);
    EXPECT_FALSE(Store::open(path));
    EXPECT_EQ(user_version(path), 1);
}

}  // namespace
}  // namespace hako::registry
