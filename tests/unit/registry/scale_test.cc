#include <algorithm>
#include <iostream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "engine/base/clock.h"
#include "tests/unit/registry/fixture.h"

namespace hako::registry {
namespace {

/// Enters functions that share one package, in one transaction: the way there is not measured.
void fill(const std::string& state, const std::string& code_id, int functions_count) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((state + "/registry.db").c_str(), &db), SQLITE_OK);
    std::string sql = "BEGIN;";
    for (int i = 0; i < functions_count; ++i) {
        sql += fmt::format(
            "INSERT INTO functions VALUES('g{0}', NULL, '{{}}', 0);"
            "INSERT INTO versions SELECT {1} + {0}, 'g{0}', version, runtime, handler, role, "
            "description, memory_mib, timeout_s, ephemeral_mib, '{{\"KEY\":\"value\"}}', "
            "tracing_mode, '{2}', code_sha256, code_bytes, last_modified, revision_id, "
            "provisioned_count, provisioned_modified, dead_letter_arn FROM versions WHERE "
            "function_name = 'f';",
            i,
            1000,
            code_id
        );
    }
    sql += "COMMIT;";
    ASSERT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db);
    sqlite3_close(db);
}

/// Milliseconds that a start takes with so many functions.
double open_ms(int functions_count) {
    const TempDir dir;
    const std::string state = dir.path() + "/state";
    std::string code_id;
    {
        Engine engine(state);
        engine.create("f", python_zip());
        code_id = engine.registry->get("f")->code_id;
    }
    fill(state, code_id, functions_count);
    const std::int64_t start_us = now_us();
    const Engine engine(state);
    const std::int64_t end_us = now_us();
    EXPECT_EQ(engine.report.functions_count, static_cast<std::size_t>(functions_count) + 1);
    EXPECT_EQ(
        engine.registry->get("g7")->environment,
        (std::vector<std::pair<std::string, std::string>>{{"KEY", "value"}})
    );
    return static_cast<double>(end_us - start_us) / 1000;
}

TEST(Scale, LoadsAThousandFunctionsAtOnce) {
    const double ms = open_ms(1000);
    std::cout << fmt::format("open with 1000 functions: {:.1f} ms\n", ms);
    EXPECT_LT(ms, 1000) << "a start must not wait for this";
}

TEST(Scale, LoadsTenThousandFunctions) {
    const double ms = open_ms(10000);
    std::cout << fmt::format("open with 10000 functions: {:.1f} ms\n", ms);
    EXPECT_LT(ms, 5000);
}

TEST(Scale, CreatesAndFindsFast) {
    const TempDir dir;
    Engine engine(dir.path() + "/state");
    constexpr int kCreates = 60;
    std::vector<std::int64_t> creates_us;
    for (int i = 0; i < kCreates; ++i) {
        const std::string zip = python_zip(fmt::format("x = {}\n", i));
        const std::int64_t start_us = now_us();
        engine.create(fmt::format("f{}", i), zip);
        creates_us.push_back(now_us() - start_us);
    }
    std::ranges::sort(creates_us);
    constexpr int kFinds = 100000;
    std::size_t found_count = 0;
    const std::int64_t start_ns = now_ns();
    for (int i = 0; i < kFinds; ++i) {
        found_count += engine.registry->find("f7", "").has_value() ? 1U : 0U;
    }
    const std::int64_t find_ns = (now_ns() - start_ns) / kFinds;
    EXPECT_EQ(found_count, static_cast<std::size_t>(kFinds));
    std::cout << fmt::format(
        "create p50 {} us, max {} us; find {} ns\n",
        creates_us[kCreates / 2],
        creates_us[kCreates - 1],
        find_ns
    );
    EXPECT_LT(find_ns, 5000);
}

}  // namespace
}  // namespace hako::registry
