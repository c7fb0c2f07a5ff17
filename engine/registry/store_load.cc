#include <string>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "engine/base/ensure.h"
#include "engine/base/result.h"
#include "engine/registry/json_reader.h"
#include "engine/registry/sqlite.h"
#include "engine/registry/store.h"

// What a start reads.
namespace hako::registry {

namespace {

// `$LATEST` sorts before digits.
constexpr const char* kSelectVersions = R"(
SELECT id, function_name, version, runtime, handler, role, description, memory_mib, timeout_s,
  ephemeral_mib, environment, tracing_mode, dead_letter_arn, code_id, code_sha256, code_bytes,
  last_modified, revision_id, provisioned_count, provisioned_modified
FROM versions ORDER BY function_name, version
)";

/// One parser for all rows: making one costs more than reading a row.
class PairReader {
public:
    std::expected<StringPairs, Failure> read(const std::string& text, const char* column) {
        if (text == "{}") {
            return StringPairs();
        }
        const auto object = document_.parse(text);
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

private:
    JsonDocument document_;
};

using Commons = std::unordered_map<std::string, std::shared_ptr<FunctionCommon>>;

std::expected<FunctionVersion, Failure> read_version(
    const Statement& row, const Commons& commons, PairReader& pairs
) {
    FunctionVersion function;
    function.id = row.number<std::uint64_t>(0);
    function.name = row.text(1);
    function.version = row.text(2);
    const auto number = version_number(function.version);
    const auto common = commons.find(function.name);
    if (!number || common == commons.end()) {
        return std::unexpected(Failure{fmt::format(
            "registry database: bad version '{}' of function '{}'", function.version, function.name
        )});
    }
    function.number = *number;
    function.common = common->second;
    function.runtime = row.text(3);
    function.handler = row.text(4);
    function.role = row.text(5);
    function.description = row.text(6);
    function.memory_mib = row.number<std::uint32_t>(7);
    function.timeout_s = row.number<std::uint32_t>(8);
    function.ephemeral_mib = row.number<std::uint32_t>(9);
    function.environment_given = !row.is_null(10);
    if (function.environment_given) {
        TRY_ASSIGN(function.environment, pairs.read(row.text(10), "environment"));
    }
    function.tracing_mode = row.text(11);
    function.dead_letter_arn = row.text(12);
    function.code_id = row.text(13);
    function.code_sha256 = row.text(14);
    function.code_bytes = row.number<std::uint64_t>(15);
    function.last_modified = row.text(16);
    function.revision_id = row.text(17);
    function.provisioned_own = row.number<std::uint32_t>(18);
    function.provisioned_count = function.provisioned_own;
    function.provisioned_modified = row.text(19);
    return function;
}

std::expected<Commons, Failure> read_functions(
    sqlite3* db, PairReader& pairs, Store::Contents& contents
) {
    Commons commons;
    Statement select(db, "SELECT name, reserved_concurrency, tags, last_number FROM functions");
    for (;;) {
        TRY_ASSIGN(const bool has_row, select.step());
        if (!has_row) {
            return commons;
        }
        auto common = std::make_shared<FunctionCommon>();
        if (!select.is_null(1)) {
            common->reserved_concurrency = select.number<std::uint32_t>(1);
        }
        TRY_ASSIGN(common->tags, pairs.read(select.text(2), "tags"));
        if (const auto last_number = select.number<std::uint64_t>(3); last_number > 0) {
            contents.last_numbers.emplace_back(select.text(0), last_number);
        }
        commons.emplace(select.text(0), std::move(common));
    }
}

std::expected<void, Failure> read_aliases(sqlite3* db, Store::Contents& contents) {
    Statement select(
        db,
        "SELECT function_name, name, number, routing_number, routing_weight, description, "
        "revision_id, provisioned_count, provisioned_modified FROM aliases"
    );
    for (;;) {
        TRY_ASSIGN(const bool has_row, select.step());
        if (!has_row) {
            return {};
        }
        Alias alias;
        alias.name = select.text(1);
        alias.number = select.number<std::uint64_t>(2);
        if (!select.is_null(3)) {
            alias.routing =
                AliasRouting{.number = select.number<std::uint64_t>(3), .weight = select.real(4)};
        }
        alias.description = select.text(5);
        alias.revision_id = select.text(6);
        alias.provisioned_count = select.number<std::uint32_t>(7);
        alias.provisioned_modified = select.text(8);
        contents.aliases.push_back({.function_name = select.text(0), .alias = std::move(alias)});
    }
}

std::expected<void, Failure> read_policies(
    sqlite3* db, PairReader& pairs, Store::Contents& contents
) {
    Statement select(db, "SELECT function_name, qualifier, statements FROM policies");
    for (;;) {
        TRY_ASSIGN(const bool has_row, select.step());
        if (!has_row) {
            return {};
        }
        TRY_ASSIGN(StringPairs statements, pairs.read(select.text(2), "statements"));
        Policy policy;
        for (auto& [sid, json] : statements) {
            policy.push_back({.sid = std::move(sid), .json = std::move(json)});
        }
        contents.policies.push_back(
            {.function_name = select.text(0),
             .qualifier = select.text(1),
             .policy = std::move(policy)}
        );
    }
}

}  // namespace

std::expected<Store::Contents, Failure> Store::load() {
    const std::scoped_lock lock(mutex_);
    Contents contents;
    PairReader pairs;
    TRY_ASSIGN(const Commons commons, read_functions(db_, pairs, contents));
    Statement select(db_, kSelectVersions);
    for (;;) {
        TRY_ASSIGN(const bool has_row, select.step());
        if (!has_row) {
            break;
        }
        TRY_ASSIGN(FunctionVersion version, read_version(select, commons, pairs));
        contents.versions.push_back(std::move(version));
    }
    TRY(read_aliases(db_, contents));
    TRY(read_policies(db_, pairs, contents));
    return contents;
}

}  // namespace hako::registry
