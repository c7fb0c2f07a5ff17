#include <array>

#include <gtest/gtest.h>

#include "tests/sandbox/harness.h"

namespace hako::sandbox::testing {
namespace {

struct Wall {
    const char* attempt;
    const char* outcome;
};

// By what stops it. The "ok" ones are controls: a probe that could do nothing would prove nothing.
constexpr std::array kWalls = {
    // seccomp
    Wall{"ptrace-attach", "EPERM"},
    Wall{"ptrace-traceme", "EPERM"},
    Wall{"process-vm-readv", "EPERM"},
    Wall{"setns", "EPERM"},
    Wall{"unshare-user", "EPERM"},
    Wall{"unshare-mounts", "EPERM"},
    Wall{"clone-user", "EPERM"},
    Wall{"clone3", "ENOSYS"},
    Wall{"mount-tmpfs", "EPERM"},
    Wall{"remount-task", "EPERM"},
    Wall{"umount-proc", "EPERM"},
    Wall{"pivot-root", "EPERM"},
    Wall{"chroot", "EPERM"},
    Wall{"open-tree", "EPERM"},
    Wall{"fsopen", "EPERM"},
    Wall{"mount-setattr", "EPERM"},
    Wall{"name-to-handle", "EPERM"},
    Wall{"open-by-handle", "EPERM"},
    Wall{"mknod-disk", "EPERM"},
    Wall{"mknod-char", "EPERM"},
    Wall{"keyctl", "EPERM"},
    Wall{"add-key", "EPERM"},
    Wall{"bpf", "EPERM"},
    Wall{"perf-event", "EPERM"},
    Wall{"io-uring", "ENOSYS"},
    Wall{"userfaultfd", "EPERM"},
    Wall{"kexec", "EPERM"},
    Wall{"init-module", "EPERM"},
    Wall{"reboot", "EPERM"},
    Wall{"clock-settime", "EPERM"},
    Wall{"swapon", "EPERM"},
    Wall{"quotactl", "EPERM"},
    Wall{"acct", "EPERM"},
    Wall{"syslog", "EPERM"},
    Wall{"sethostname", "EPERM"},
#if defined(__x86_64__)
    Wall{"ioperm", "EPERM"},
    Wall{"modify-ldt", "EPERM"},
    Wall{"x32", "killed SYS"},
    Wall{"int80", "killed SYS"},
#endif
    Wall{"personality", "EPERM"},
    Wall{"raw-socket", "EAFNOSUPPORT"},
    Wall{"packet-socket", "EAFNOSUPPORT"},
    Wall{"netlink", "EAFNOSUPPORT"},
    Wall{"vsock", "EAFNOSUPPORT"},
    Wall{"alg", "EAFNOSUPPORT"},
    Wall{"tiocsti", "ENOTTY"},
    Wall{"new-syscall", "ENOSYS"},
    Wall{"shmget", "EPERM"},
    Wall{"sync", "EPERM"},
    Wall{"core-limit", "EPERM"},
    Wall{"huge-pages", "ENOMEM"},
    // ids: init has one of its own
    Wall{"kill-init", "EPERM"},
    Wall{"term-init", "EPERM"},
    Wall{"stop-init", "EPERM"},
    Wall{"read-init-environ", "EACCES"},
    Wall{"open-init-root", "EACCES"},
    Wall{"open-init-mem", "EROFS"},
    Wall{"list-init-fds", "EACCES"},
    Wall{"setuid-root", "EINVAL"},
    // capabilities and limits
    Wall{"fd-limit", "EPERM"},
    Wall{"ambient", "EPERM"},
    Wall{"capset", "EPERM"},
    Wall{"map-zero", "EPERM"},
    Wall{"setuid-binary", "EPERM"},
    // mounts
    Wall{"write-task", "EROFS"},
    Wall{"write-etc", "EROFS"},
    Wall{"write-usr", "EROFS"},
    Wall{"write-root", "EROFS"},
    Wall{"write-dev", "EROFS"},
    Wall{"own-oom-score", "EROFS"},
    Wall{"own-uid-map", "EROFS"},
    Wall{"core-pattern", "ENOENT"},
    Wall{"sysrq", "ENOENT"},
    Wall{"kcore", "ENOENT"},
    Wall{"sysfs", "ENOENT"},
    Wall{"cgroupfs", "ENOENT"},
    Wall{"dev-mem", "ENOENT"},
    Wall{"dev-kmsg", "ENOENT"},
    Wall{"host-work", "ENOENT"},
    Wall{"host-root", "ENOENT"},
    // what functions may do
    Wall{"mknod-fifo", "ok"},
    Wall{"write-tmp", "ok"},
    Wall{"tcp-socket", "ok"},
};

TEST(Walls, EveryAttemptEndsAsExpected) {
    Harness harness;
    ASSERT_EQ(harness.await_started().protocol_version, spawner::kProtocolVersion);
    auto sandbox = harness.acquire();
    ASSERT_TRUE(sandbox) << harness.last_acquired.step;
    static_assert(kWalls.size() >= 25);
    for (const Wall& wall : kWalls) {
        EXPECT_EQ(sandbox->ask(std::string("wall ") + wall.attempt), wall.outcome) << wall.attempt;
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
    EXPECT_EQ(sandbox->ask("wall netlink"), "ok");
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
        Wall{"write-usr", "EROFS"},
        Wall{"core-pattern", "ENOENT"},
    };
    for (const Wall& wall : kStillClosed) {
        EXPECT_EQ(sandbox->ask(std::string("wall ") + wall.attempt), wall.outcome) << wall.attempt;
    }
    (void)std::remove(filter.c_str());
}

}  // namespace
}  // namespace hako::sandbox::testing
