#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/registry/code_store.h"
#include "engine/registry/state_dir.h"
#include "engine/registry/store.h"
#include "tests/unit/registry/fixture.h"

namespace hako::registry {
namespace {

struct stat status_of(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
    return status;
}

/// Runs `body` as nobody in a child; its answer is the exit status.
int as_nobody(const std::function<int()>& body) {
    const pid_t child = fork();
    if (child == 0) {
        if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) {
            _exit(99);
        }
        _exit(body());
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(StateDir, MakesItsLayoutForItselfAlone) {
    const TempDir dir;
    const std::string path = dir.path() + "/deep/er/state";
    const auto state = StateDir::open(path);
    ASSERT_TRUE(state) << state.error().text;
    for (const char* name : {"", "/code", "/ledger", "/log"}) {
        EXPECT_EQ(status_of(path + name).st_mode, mode_t{S_IFDIR | 0700}) << name;
    }
    EXPECT_EQ(status_of(path + "/lock").st_mode, mode_t{S_IFREG | 0600});
}

TEST(StateDir, RefusesASecondEngineAndNamesTheFirst) {
    const TempDir dir;
    const std::string path = dir.path() + "/state";
    {
        const auto first = StateDir::open(path);
        ASSERT_TRUE(first);
        const auto second = StateDir::open(path);
        ASSERT_FALSE(second);
        EXPECT_EQ(
            second.error().text,
            "state directory '" + path + "' is in use by another engine (pid " +
                std::to_string(getpid()) + ")"
        );
    }
    EXPECT_TRUE(StateDir::open(path)) << "the lock goes with its owner";
}

TEST(StateDir, LeavesOtherPeoplesDirectoriesAlone) {
    const TempDir dir;
    std::ofstream(dir.path() + "/thesis.txt") << "x";
    ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
    const auto state = StateDir::open(dir.path());
    ASSERT_FALSE(state);
    EXPECT_EQ(
        state.error().text,
        "state directory '" + dir.path() + "' is neither empty nor a hako state directory"
    );
    EXPECT_EQ(status_of(dir.path()).st_mode & 0777U, 0755U);
    EXPECT_EQ(tree_of(dir.path()), (std::vector<std::string>{"thesis.txt"}));
}

TEST(StateDir, SaysWhyItCannotBeUsed) {
    const TempDir dir;
    std::ofstream(dir.path() + "/file") << "x";
    EXPECT_EQ(
        StateDir::open(dir.path() + "/file").error().text,
        "state directory '" + dir.path() + "/file' cannot be opened: Not a directory"
    );
    EXPECT_EQ(
        StateDir::open(dir.path() + "/file/x").error().text,
        "state directory '" + dir.path() + "/file/x' cannot be made: Not a directory"
    );
    EXPECT_EQ(StateDir::open("").error().text, "state directory '' has no name");
}

TEST(StateDir, SaysThatItIsNotWritable) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "needs root to become another user";
    }
    const TempDir dir;
    ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
    const std::string path = dir.path() + "/state";
    ASSERT_EQ(mkdir(path.c_str(), 0755), 0);
    const int result = as_nobody([&path, &dir] {
        const auto existing = StateDir::open(path);
        if (existing || existing.error().text !=
                            "state directory '" + path + "' is not writable: Permission denied") {
            return 1;
        }
        const auto missing = StateDir::open(dir.path() + "/new");
        return missing || missing.error().text != "state directory '" + dir.path() +
                                                      "/new' cannot be made: Permission denied"
                   ? 2
                   : 0;
    });
    EXPECT_EQ(result, 0);
}

TEST(StateDir, GivesAwayWhatIsOursAndNothingElse) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "needs root to give files away";
    }
    const TempDir dir;
    ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
    const std::string path = dir.path() + "/state";
    Engine engine(path);
    engine.create("f", python_zip());
    std::ofstream(path + "/foreign") << "x";
    std::ofstream(dir.path() + "/target") << "x";
    std::filesystem::create_symlink(dir.path() + "/target", path + "/code/link");
    std::filesystem::create_hard_link(dir.path() + "/target", path + "/log/hard");
    const auto given = engine.state.chown_to(65534, 65534);
    ASSERT_TRUE(given) << given.error().text;
    const std::string package = "/code/" + engine.registry->get("f")->code_id;
    for (const std::string& name :
         {std::string(),
          std::string("/code"),
          std::string("/ledger"),
          std::string("/log"),
          std::string("/lock"),
          std::string("/registry.db"),
          std::string("/registry.db-wal"),
          package,
          package + "/handler.py"}) {
        EXPECT_EQ(status_of(path + name).st_uid, 65534U) << name;
        EXPECT_EQ(status_of(path + name).st_gid, 65534U) << name;
    }
    EXPECT_EQ(status_of(path + "/foreign").st_uid, 0U);
    EXPECT_EQ(status_of(dir.path() + "/target").st_uid, 0U) << "a link was followed";
    // After the privilege drop the engine goes on with what it opened as root.
    const int result = as_nobody([&engine] {
        const std::string zip = python_zip("other");
        return engine.call("UpdateFunctionCode", R"({"FunctionName":"f"})", zip).status == 200 ? 0
                                                                                               : 1;
    });
    EXPECT_EQ(result, 0);
}

TEST(Store, KeepsEveryFieldOverARestart) {
    const TempDir dir;
    FunctionVersion function;
    function.name = "name";
    function.runtime = "python3.12";
    function.handler = "a.b";
    function.role = "arn:aws:iam::123456789012:role/r";
    function.description = "\xc3\xa9 \" \\ \n";
    function.memory_mib = 10240;
    function.timeout_s = 900;
    function.ephemeral_mib = 10240;
    function.environment = {{"B", "2"}, {"A", "\"1\""}};
    function.environment_given = true;
    function.tracing_mode = "Active";
    function.dead_letter_arn = "arn:aws:sqs:us-east-1:123456789012:q";
    function.code_id = std::string(64, 'a');
    function.code_sha256 = "hash";
    function.code_bytes = 52428800;
    function.last_modified = "2017-12-14T10:00:00.123+0000";
    function.revision_id = "revision";
    function.provisioned_own = 3;
    function.provisioned_modified = "then";
    function.common->reserved_concurrency = 0;
    function.common->tags = {{"k", "v"}};
    std::uint64_t id = 0;
    {
        const auto store = Store::open(dir.path() + "/registry.db");
        ASSERT_TRUE(store) << store.error().text;
        id = *(*store)->put(function);
    }
    const auto store = Store::open(dir.path() + "/registry.db");
    const auto loaded = (*store)->load();
    ASSERT_TRUE(loaded) << loaded.error().text;
    ASSERT_EQ(loaded->versions.size(), 1U);
    const FunctionVersion& same = loaded->versions.front();
    EXPECT_EQ(same.id, id);
    EXPECT_EQ(same.name, function.name);
    EXPECT_EQ(same.version, "$LATEST");
    EXPECT_EQ(same.runtime, function.runtime);
    EXPECT_EQ(same.handler, function.handler);
    EXPECT_EQ(same.role, function.role);
    EXPECT_EQ(same.description, function.description);
    EXPECT_EQ(same.memory_mib, function.memory_mib);
    EXPECT_EQ(same.timeout_s, function.timeout_s);
    EXPECT_EQ(same.ephemeral_mib, function.ephemeral_mib);
    EXPECT_EQ(same.environment, function.environment);
    EXPECT_TRUE(same.environment_given);
    EXPECT_EQ(same.tracing_mode, function.tracing_mode);
    EXPECT_EQ(same.dead_letter_arn, function.dead_letter_arn);
    EXPECT_EQ(same.code_id, function.code_id);
    EXPECT_EQ(same.code_sha256, function.code_sha256);
    EXPECT_EQ(same.code_bytes, function.code_bytes);
    EXPECT_EQ(same.last_modified, function.last_modified);
    EXPECT_EQ(same.revision_id, function.revision_id);
    EXPECT_EQ(same.provisioned_own, 3U);
    EXPECT_EQ(same.provisioned_count, 3U);
    EXPECT_EQ(same.provisioned_modified, function.provisioned_modified);
    EXPECT_EQ(same.common->reserved_concurrency, function.common->reserved_concurrency);
    EXPECT_EQ(same.common->tags, function.common->tags);
}

TEST(Store, NeverGivesAnIdTwice) {
    const TempDir dir;
    FunctionVersion function;
    function.name = "f";
    std::uint64_t last = 0;
    for (int round = 0; round < 3; ++round) {
        const auto store = Store::open(dir.path() + "/registry.db");
        ASSERT_TRUE(store);
        const auto created = (*store)->put(function);
        ASSERT_TRUE(created);
        EXPECT_GT(*created, last);
        const auto updated = (*store)->put(function);
        EXPECT_GT(*updated, *created);
        last = *updated;
        ASSERT_TRUE((*store)->remove("f"));
    }
}

TEST(Store, RefusesWhatIsNotItsDatabase) {
    const TempDir dir;
    std::ofstream(dir.path() + "/text") << std::string(4096, 'x');
    EXPECT_NE(
        Store::open(dir.path() + "/text").error().text.find("file is not a database"),
        std::string::npos
    );
    EXPECT_NE(
        Store::open(dir.path() + "/none/registry.db").error().text.find("unable to open"),
        std::string::npos
    );
    const std::string newer = dir.path() + "/newer.db";
    ASSERT_TRUE(Store::open(newer));
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(newer.c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, "PRAGMA user_version = 1000", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(db);
    EXPECT_NE(Store::open(newer).error().text.find("written by a newer hako"), std::string::npos);
}

TEST(Store, UsesTheWriteAheadLog) {
    const TempDir dir;
    const std::string path = dir.path() + "/registry.db";
    const auto store = Store::open(path);
    ASSERT_TRUE(store);
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    std::string mode;
    sqlite3_exec(
        db,
        "PRAGMA journal_mode",
        [](void* into, int, char** values, char**) {
            *static_cast<std::string*>(into) = values[0];
            return 0;
        },
        &mode,
        nullptr
    );
    sqlite3_close(db);
    EXPECT_EQ(mode, "wal");
}

}  // namespace
}  // namespace hako::registry
