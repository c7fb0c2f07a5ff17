#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/sandbox/harness.h"

namespace hako::sandbox::testing {
namespace {

struct Wall {
    const char* attempt;
    const char* outcome;
};

std::string strip(const std::string& text) {
    const std::size_t begin = text.find_first_not_of(' ');
    return begin == std::string::npos ? ""
                                      : text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

struct Row {
    std::string attempt;
    std::string outcomes;  // more than one, with `/` between, where kernels or runtimes differ
};

/// The attempts of tests/escape/attempts.txt that need no engine.
std::vector<Row> read_table() {
    const char* const path = std::getenv("HAKO_ESCAPE_TABLE");
    std::ifstream file(path != nullptr ? path : "");
    std::vector<Row> rows;
    for (std::string line; std::getline(file, line);) {
        std::vector<std::string> fields;
        std::stringstream columns(line);
        for (std::string field; std::getline(columns, field, '|');) {
            fields.push_back(strip(field));
        }
        if (!line.starts_with('#') && fields.size() == 7 && fields[1] == "any") {
            rows.push_back({.attempt = fields[2], .outcomes = fields[3]});
        }
    }
    return rows;
}

TEST(Walls, EveryAttemptEndsAsExpected) {
    Harness harness;
    ASSERT_EQ(harness.await_started().protocol_version, spawner::kProtocolVersion);
    auto sandbox = harness.acquire();
    ASSERT_TRUE(sandbox) << harness.last_acquired.step;
    const std::vector<Row> rows = read_table();
    ASSERT_GE(rows.size(), 60U);
    for (const Row& row : rows) {
        const auto outcome = sandbox->ask("wall " + row.attempt);
        ASSERT_TRUE(outcome) << row.attempt;
        EXPECT_NE(("/" + row.outcomes + "/").find("/" + *outcome + "/"), std::string::npos)
            << row.attempt << ": " << *outcome << " instead of " << row.outcomes;
    }
}

// The suite must notice a missing wall: with an allow-all filter the attempts that only seccomp
// stops have other outcomes, while ids, capabilities and mounts still hold.
TEST(Walls, WithoutSeccompTheOtherWallsStillHold) {
    const std::string filter = ::testing::TempDir() + "/allow-all.bpf";
    constexpr unsigned char kReturnAllow[] = {0x06, 0, 0, 0, 0, 0, 0xff, 0x7f};
    FILE* file = std::fopen(filter.c_str(), "wb");
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(std::fwrite(kReturnAllow, sizeof(kReturnAllow), 1, file), 1U);
    ASSERT_EQ(std::fclose(file), 0);
    Harness harness({"--seccomp-bpf", filter});
    ASSERT_EQ(harness.await_started().protocol_version, spawner::kProtocolVersion);
    auto sandbox = harness.acquire();
    ASSERT_TRUE(sandbox) << harness.last_acquired.step;
    EXPECT_EQ(sandbox->ask("wall ptrace-traceme"), "ok");
    EXPECT_EQ(sandbox->ask("wall netlink-route"), "ok");
    constexpr std::array kStillClosed = {
        Wall{"unshare-user", "ENOSPC"},  // the user namespace allows no further ones
        Wall{"unshare-mounts", "EPERM"},
        Wall{"clone-user", "ENOSPC"},
        Wall{"mount-tmpfs", "EPERM"},
        Wall{"remount-task", "EPERM"},
        Wall{"umount-proc", "EPERM"},
        Wall{"chroot", "EPERM"},
        Wall{"mknod-disk", "EPERM"},
        Wall{"raw-socket", "EPERM"},
        Wall{"packet-socket", "EPERM"},
        Wall{"sethostname", "EPERM"},
        Wall{"kill-init", "EPERM"},
        Wall{"reboot", "EPERM"},
        Wall{"setuid-root", "EINVAL"},
        Wall{"create /usr/bin/new", "EROFS"},
        Wall{"open-write /proc/sys/kernel/core_pattern", "ENOENT"},
    };
    for (const Wall& wall : kStillClosed) {
        EXPECT_EQ(sandbox->ask(std::string("wall ") + wall.attempt), wall.outcome) << wall.attempt;
    }
    (void)std::remove(filter.c_str());
}

}  // namespace
}  // namespace hako::sandbox::testing
