#include <array>
#include <string>

#include <fmt/format.h>

#include "engine/registry/sqlite.h"

// The database's form. Step N takes it from version N - 1 to N; a new database goes through all of
// them, so that each is tried at every start of a test.
namespace hako::registry {

namespace {

// One row of `versions` is one immutable state. AUTOINCREMENT keeps the highest id ever given in
// sqlite_sequence, so ids are not reused even after the row is gone.
constexpr const char* kFunctionsAndVersions = R"(
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
)";

// Published versions, aliases, resource policies. A policy is a JSON list of its statements; its
// qualifier is empty for the function itself.
constexpr const char* kPublishing = R"(
ALTER TABLE functions ADD COLUMN last_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN dead_letter_arn TEXT NOT NULL DEFAULT '';
CREATE TABLE aliases(
  function_name TEXT NOT NULL REFERENCES functions(name) ON DELETE CASCADE,
  name TEXT NOT NULL,
  number INTEGER NOT NULL,
  routing_number INTEGER,
  routing_weight REAL,
  description TEXT NOT NULL,
  revision_id TEXT NOT NULL,
  provisioned_count INTEGER NOT NULL,
  provisioned_modified TEXT NOT NULL,
  PRIMARY KEY(function_name, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE policies(
  function_name TEXT NOT NULL REFERENCES functions(name) ON DELETE CASCADE,
  qualifier TEXT NOT NULL,
  statements TEXT NOT NULL,
  PRIMARY KEY(function_name, qualifier)
) STRICT, WITHOUT ROWID;
)";

constexpr std::array kSteps = {kFunctionsAndVersions, kPublishing};

}  // namespace

std::expected<void, Failure> prepare_schema(sqlite3* db, const std::string& path) {
    Transaction transaction(db);
    TRY(transaction.begin());  // fails here if the file cannot be written
    std::size_t version = 0;
    {
        Statement read(db, "PRAGMA user_version");
        TRY(read.step());
        version = read.number<std::size_t>(0);
    }
    if (version > kSteps.size()) {
        return std::unexpected(Failure{fmt::format(
            "registry database '{}' has schema {}, this hako knows {}: it was written by a newer "
            "hako",
            path,
            version,
            kSteps.size()
        )});
    }
    if (version < kSteps.size()) {
        for (; version < kSteps.size(); ++version) {
            TRY(execute(db, kSteps[version]));
        }
        TRY(execute(db, fmt::format("PRAGMA user_version = {}", kSteps.size()).c_str()));
    }
    return transaction.commit();
}

}  // namespace hako::registry
