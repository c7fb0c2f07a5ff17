#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/config/keys.h"
#include "engine/config/parse.h"

namespace hako::config {
namespace {

struct Ran {
    ParseOutcome outcome;
    std::string out;
    std::string err;
};

class Config : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "hako-config-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        dir_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(dir_); }

    Ran run(std::vector<std::string> arguments) const {
        std::ostringstream out;
        std::ostringstream err;
        const ParseWorld world{
            .out = out,
            .err = err,
            .system_file = dir_ + "/system.toml",
            .binary_dir = dir_ + "/bin",
            .home = "/home/someone",
            .is_root = is_root_,
            .has_hako_user = has_hako_user_,
        };
        std::vector<const char*> argv = {"hakod"};
        for (const std::string& argument : arguments) {
            argv.push_back(argument.c_str());
        }
        Ran ran;
        ran.outcome = parse(static_cast<int>(argv.size()), argv.data(), world);
        ran.out = out.str();
        ran.err = err.str();
        return ran;
    }
    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(dir_ + "/" + name) << text;
        return dir_ + "/" + name;
    }

    std::string dir_;
    bool is_root_ = true;
    bool has_hako_user_ = false;
};

TEST_F(Config, HasTheDocumentedDefaults) {
    const Ran ran = run({});
    ASSERT_FALSE(ran.outcome.exit_code) << ran.err;
    const Settings& settings = ran.outcome.settings;
    EXPECT_EQ(settings.state, "/var/lib/hako");
    EXPECT_EQ(settings.socket, "/run/hako/hako.sock");
    EXPECT_EQ(settings.socket_mode, 0660U);
    EXPECT_EQ(settings.account, "123456789012");
    EXPECT_EQ(settings.region, "us-east-1");
    EXPECT_EQ(settings.billing_increment_ms, 100U);
    EXPECT_EQ(settings.idle_timeout_s, 300U);
    EXPECT_EQ(settings.drain_timeout_s, 30U);
    EXPECT_EQ(settings.concurrency_max, 1000U);
    EXPECT_FALSE(settings.function_concurrency.has_value());
    EXPECT_EQ(settings.pool_native, 8U);
    EXPECT_EQ(settings.pool_python, 4U);
    EXPECT_EQ(settings.init_timeout_s, 10U);
    EXPECT_EQ(settings.payload_bytes_max, 6291456U);
    EXPECT_EQ(settings.engine_user, "1999999999");
    EXPECT_EQ(settings.spawner, dir_ + "/bin/hako-spawner");
}

TEST_F(Config, UsesTheHakoUserIfThereIsOne) {
    has_hako_user_ = true;
    EXPECT_EQ(run({}).outcome.settings.engine_user, "hako");
}

TEST_F(Config, StaysItselfAndAtHomeWithoutRoot) {
    is_root_ = false;
    const Settings settings = run({}).outcome.settings;
    EXPECT_EQ(settings.engine_user, "");
    EXPECT_EQ(settings.state, "/home/someone/.local/state/hako");
    EXPECT_EQ(settings.socket, "/home/someone/.local/state/hako/hako.sock");
}

TEST_F(Config, DerivesSocketAndCgroupFromTheState) {
    const Settings first = run({"--state", "/srv/one/"}).outcome.settings;
    const Settings second = run({"--state", "/srv/two"}).outcome.settings;
    EXPECT_EQ(first.state, "/srv/one");
    EXPECT_EQ(first.socket, "/srv/one/hako.sock");
    EXPECT_NE(first.cgroup, second.cgroup);
    EXPECT_EQ(first.cgroup, run({"--state", "/srv/one"}).outcome.settings.cgroup);
}

TEST_F(Config, FindsTheSpawnerInLibexec) {
    std::filesystem::create_directories(dir_ + "/bin");
    std::filesystem::create_directories(dir_ + "/libexec/hako");
    const std::string path = write("libexec/hako/hako-spawner", "#!/bin/sh\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    EXPECT_EQ(run({}).outcome.settings.spawner, dir_ + "/bin/../libexec/hako/hako-spawner");
}

TEST_F(Config, LetsTheFileWinOverDefaultsAndFlagsOverTheFile) {
    const std::string file =
        write("a.toml", "idle_timeout_s = 7\nregion = \"eu-west-1\"\nsocket_mode = 0o600\n");
    const Settings settings = run({"--config", file, "--region", "eu-west-2"}).outcome.settings;
    EXPECT_EQ(settings.idle_timeout_s, 7U);
    EXPECT_EQ(settings.region, "eu-west-2");
    EXPECT_EQ(settings.socket_mode, 0600U);
}

TEST_F(Config, ReadsTheSystemFileOnlyIfItExists) {
    write("system.toml", "idle_timeout_s = 11\n");
    EXPECT_EQ(run({}).outcome.settings.idle_timeout_s, 11U);
    const std::string other = write("other.toml", "");
    EXPECT_EQ(run({"--config", other}).outcome.settings.idle_timeout_s, 300U);
}

TEST_F(Config, TakesNumberAndNoneForFunctionConcurrency) {
    EXPECT_EQ(run({"--function-concurrency", "10"}).outcome.settings.function_concurrency, 10U);
    const std::string file = write("a.toml", "function_concurrency = \"none\"\n");
    EXPECT_FALSE(run({"--config", file}).outcome.settings.function_concurrency.has_value());
}

struct Refused {
    std::string toml;
    std::vector<std::string> flags;
    std::string text;  // after `hakod: `; FILE stands for the file's path
};

TEST_F(Config, RefusesWithOneLineThatNamesFieldValueAndRange) {
    const std::vector<Refused> cases = {
        {"idle_timeout_s = 5\nidel = 1\n", {}, "FILE:2: unknown key 'idel'"},
        {"[section]\nx = 1\n", {}, "FILE:1: unknown key 'section'"},
        {"billing_increment_ms = 0\n",
         {},
         "FILE:1: billing_increment_ms: '0' is not an integer in 1..1000 (milliseconds)"},
        {"billing_increment_ms = \"5\"\n",
         {},
         "FILE:1: billing_increment_ms must be of type integer, not string"},
        {"region = 5\n", {}, "FILE:1: region must be of type string, not integer"},
        {"idle_timeout_s = 2.5\n",
         {},
         "FILE:1: idle_timeout_s must be of type integer, not floating-point"},
        {"log_level = \"loud\"\n",
         {},
         "FILE:1: log_level: 'loud' is not a choice of error|warn|info|debug"},
        {"",
         {"--billing-increment-ms", "1001"},
         "--billing-increment-ms: '1001' is not an integer in 1..1000 (milliseconds)"},
        {"",
         {"--billing-increment-ms", "1e3"},
         "--billing-increment-ms: '1e3' is not an integer in 1..1000 (milliseconds)"},
        {"",
         {"--payload-bytes-max", "6291457"},
         "--payload-bytes-max: '6291457' is not an integer in 1024..6291456 (bytes)"},
        {"",
         {"--socket-mode", "0999"},
         "--socket-mode: '0999' is not an octal number in 0..0777 (permission bits)"},
        {"",
         {"--price-per-request=-1"},
         "--price-per-request: '-1' is not a number in 0..1000000 (currency per request)"},
        {"", {"--state", "relative"}, "state: 'relative' is not an absolute path"},
        {"", {"--account", "12345"}, "account: '12345' is not twelve digits"},
        {"",
         {"--cgroup", "a/../b"},
         "cgroup: 'a/../b' is not 1..64 letters, digits, '-', '_', '.', '@' or ':', or several "
         "such "
         "with '/' between"},
        {"",
         {"--allow-missing-walls", "own-ids,walls"},
         "allow_missing_walls: 'own-ids,walls' is not 'all' or some of not-root,own-ids,groups,"
         "core-handler,memory-limit,cpu-share,process-count,freezer,cpu-time"},
        {"",
         {"--allow-missing-walls", "own-ids,"},
         "allow_missing_walls: 'own-ids,' is not 'all' or some of "
         "not-root,own-ids,groups,core-handler,"
         "memory-limit,cpu-share,process-count,freezer,cpu-time"},
        {"",
         {"--function-concurrency", "20", "--concurrency-max", "10"},
         "function_concurrency: '20' is not at most concurrency_max (10)"},
        {"",
         {"--connections-max", "10000", "--requests-max", "10000"},
         "connections_max (10000), requests_max (10000), concurrency_max (1000), instances_max "
         "(1000) and events_running_max (100) are too much together: at most 2 x connections + 2 x "
         "requests + 2 x concurrency + instances + events = 29936"},
        {"",
         {"--socket", "/" + std::string(108, 'x')},
         "socket: '/" + std::string(108, 'x') + "' is not an absolute path of at most 107 bytes"},
        {"", {"--nonsense"}, "The following argument was not expected: --nonsense"},
        {"", {"extra"}, "The following argument was not expected: extra"},
    };
    for (const Refused& refused : cases) {
        const std::string file = write("case.toml", refused.toml);
        std::vector<std::string> arguments = {"--config", file};
        arguments.insert(arguments.end(), refused.flags.begin(), refused.flags.end());
        const Ran ran = run(arguments);
        std::string expected = "hakod: " + refused.text + "\n";
        if (const auto at = expected.find("FILE"); at != std::string::npos) {
            expected.replace(at, 4, file);
        }
        EXPECT_EQ(ran.outcome.exit_code, kExitUsage) << refused.text;
        EXPECT_EQ(ran.err, expected);
        EXPECT_EQ(ran.out, "");
    }
}

TEST_F(Config, NamesFileAndLineOfBrokenToml) {
    const std::string file = write("a.toml", "state = \"/x\"\nregion = \n");
    const Ran ran = run({"--config", file});
    EXPECT_EQ(ran.outcome.exit_code, kExitUsage);
    EXPECT_TRUE(ran.err.starts_with("hakod: " + file + ":2: ")) << ran.err;
}

TEST_F(Config, RefusesAFileThatIsNotThere) {
    const Ran ran = run({"--config", dir_ + "/none.toml"});
    EXPECT_EQ(ran.outcome.exit_code, kExitUsage);
    EXPECT_NE(ran.err.find(dir_ + "/none.toml"), std::string::npos) << ran.err;
}

TEST_F(Config, PrintsVersionAndChecks) {
    const Ran version = run({"--version"});
    EXPECT_EQ(version.outcome.exit_code, 0);
    EXPECT_TRUE(version.out.starts_with("hakod 0.")) << version.out;
    const Ran check = run({"--check-config"});
    EXPECT_EQ(check.outcome.exit_code, 0);
    EXPECT_EQ(check.out, "configuration is valid\n");
    EXPECT_EQ(run({"--check-config", "--account", "1"}).outcome.exit_code, kExitUsage);
}

TEST_F(Config, HelpHasDefaultUnitAndRangeOfEachKey) {
    const Ran ran = run({"--help"});
    EXPECT_EQ(ran.outcome.exit_code, 0);
    for (const Key& key : keys()) {
        EXPECT_NE(ran.out.find(flag_of(key)), std::string::npos) << key.name;
        EXPECT_NE(ran.out.find("default: " + default_of(key)), std::string::npos) << key.name;
        if (const std::string range = range_of(key); !range.empty()) {
            EXPECT_NE(ran.out.find("range: " + range), std::string::npos) << key.name;
        }
        if (!key.unit.empty()) {
            EXPECT_NE(ran.out.find("unit: " + std::string(key.unit)), std::string::npos);
        }
    }
}

TEST_F(Config, PrintedSettingsReadBackTheSame) {
    const Ran first = run(
        {"--print-config",
         "--state",
         "/srv/a \"quoted\" \\ name",
         "--price-per-gb-s",
         "0.25",
         "--function-concurrency",
         "9",
         "--socket-mode",
         "0600"}
    );
    ASSERT_EQ(first.outcome.exit_code, 0) << first.err;
    const std::string file = write("printed.toml", first.out);
    const Ran second = run({"--config", file, "--print-config"});
    EXPECT_EQ(second.outcome.exit_code, 0) << second.err;
    EXPECT_EQ(second.out, first.out);
    for (const Key& key : keys()) {
        EXPECT_EQ(text_of(key, first.outcome.settings), text_of(key, second.outcome.settings))
            << key.name;
    }
}

TEST_F(Config, DocumentIsMadeFromTheTable) {
    std::ifstream file(HAKO_SOURCE_ROOT "/docs/configuration.md");
    const std::string document{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(document, reference_markdown())
        << "run `hakod --print-config-reference > docs/configuration.md`";
    EXPECT_EQ(run({"--print-config-reference"}).out, reference_markdown());
}

TEST(ConfigTable, EveryKeyIsComplete) {
    for (const Key& key : keys()) {
        EXPECT_FALSE(key.help.empty()) << key.name;
        EXPECT_NE(key.fallback.empty(), key.derived.empty()) << key.name;
        EXPECT_EQ(find_key(key.name), &key) << "the name is there twice: " << key.name;
    }
}

}  // namespace
}  // namespace hako::config
