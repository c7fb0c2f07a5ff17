#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/sandbox/harness.h"

// How sandboxes end, and that nothing is left of them.
namespace hako::sandbox::testing {
namespace {

using namespace hako::spawner;

class Life : public ::testing::Test {
protected:
    void SetUp() override {
        started_ = harness_.await_started();
        ASSERT_EQ(started_.protocol_version, kProtocolVersion);
    }
    Sandbox acquire() {
        auto sandbox = harness_.acquire();
        EXPECT_TRUE(sandbox) << harness_.last_acquired.step;
        return std::move(*sandbox);
    }
    /// After the spawner left: no cgroup and no process of a sandbox.
    void expect_clean() {
        EXPECT_EQ(harness_.stop(), 0);
        EXPECT_EQ(harness_.list_cgroups(), std::vector<std::string>{});
        EXPECT_EQ(count_sandbox_processes(), 0U);
    }
    Harness harness_;
    Started started_;
};

TEST_F(Life, AcquireRunsConfinedThenDestroyThenGone) {
    Sandbox sandbox = acquire();
    EXPECT_EQ(sandbox.ask("ids"), "2 993 993");
    EXPECT_EQ(sandbox.ask("cat /var/task/hello.txt"), "hello from the code");
    harness_.destroy(sandbox.id());
    const auto gone = harness_.await_gone(sandbox.id());
    ASSERT_TRUE(gone);
    EXPECT_EQ(gone->reason, kGoneDestroyed);
    EXPECT_EQ(gone->wait_status, SIGKILL);
    EXPECT_GT(gone->cpu_ns, 0U);
    EXPECT_GT(gone->memory_peak_bytes, 0U);
    harness_.destroy(sandbox.id());  // again: ignored
    EXPECT_EQ(harness_.stats().live_count, 0U);
    expect_clean();
}

TEST_F(Life, ExitCodeIsRelayed) {
    Sandbox sandbox = acquire();
    sandbox.post("exit 42");
    const auto gone = harness_.await_gone(sandbox.id());
    ASSERT_TRUE(gone);
    EXPECT_EQ(gone->reason, kGoneExited);
    EXPECT_TRUE(WIFEXITED(gone->wait_status));
    EXPECT_EQ(WEXITSTATUS(gone->wait_status), 42);
    expect_clean();
}

TEST_F(Life, CrashIsRelayedWithoutCore) {
    Sandbox sandbox = acquire();
    sandbox.post("abort");
    const auto gone = harness_.await_gone(sandbox.id());
    ASSERT_TRUE(gone);
    EXPECT_EQ(gone->reason, kGoneExited);
    EXPECT_EQ(gone->wait_status, SIGABRT);  // without the core bit
    expect_clean();
}

TEST_F(Life, LeftBehindChildrenDieWithTheWorker) {
    Sandbox sandbox = acquire();
    EXPECT_EQ(sandbox.ask("sh setsid sleep 1000 >/dev/null 2>&1 &"), "status 0");
    sandbox.post("exit 0");
    ASSERT_TRUE(harness_.await_gone(sandbox.id()));
    EXPECT_EQ(count_sandbox_processes(), 0U);
    expect_clean();
}

TEST_F(Life, OutOfMemoryIsCounted) {
    Sandbox sandbox = acquire();
    sandbox.post("alloc 400");
    const auto gone = harness_.await_gone(sandbox.id());
    ASSERT_TRUE(gone);
    EXPECT_EQ(gone->wait_status, SIGKILL);
    EXPECT_GE(gone->oom_kill_count, 1U);
    EXPECT_GT(gone->memory_peak_bytes, 100U << 20U);
    EXPECT_LE(gone->memory_peak_bytes, 129U << 20U);
    expect_clean();
}

TEST_F(Life, MemoryWithinTheLimitIsGiven) {
    Sandbox sandbox = acquire();
    EXPECT_EQ(sandbox.ask("alloc 100"), "ok");
}

TEST_F(Life, ProcessesAreBounded) {
    Acquire roomy = harness_.make_acquire();
    roomy.memory_mib = 1024;  // so that memory is not what ends it
    auto sandbox = harness_.acquire(roomy);
    ASSERT_TRUE(sandbox);
    const std::string answer = sandbox->ask("fork 3000").value_or("no answer");
    const int count = std::atoi(answer.c_str());
    EXPECT_GT(count, 900) << answer;
    EXPECT_LE(count, 1032) << answer;
    EXPECT_NE(answer.find("EAGAIN"), std::string::npos) << answer;
    expect_clean();
}

TEST_F(Life, FrozenSandboxCanBeDestroyed) {
    if ((started_.features & kFeatureFreezer) == 0) {
        GTEST_SKIP() << "needs a cgroup freezer";
    }
    Sandbox sandbox = acquire();
    const bool v1 = (started_.features & kFeatureCgroupV1) != 0;
    const std::string freeze = v1 ? "FROZEN" : "1";
    ASSERT_EQ(
        ::write(sandbox.fd(kFdFreezer), freeze.data(), freeze.size()),
        static_cast<ssize_t>(freeze.size())
    );
    harness_.destroy(sandbox.id());
    const auto gone = harness_.await_gone(sandbox.id());
    ASSERT_TRUE(gone);
    EXPECT_EQ(gone->reason, kGoneDestroyed);
    expect_clean();
}

TEST_F(Life, DescriptorsOfAcquiredWork) {
    Sandbox sandbox = acquire();
    EXPECT_EQ(sandbox.channel()->magic, HAKO_CHANNEL_MAGIC);
    EXPECT_EQ(sandbox.channel()->code_mounted, 1U);
    EXPECT_EQ(sandbox.ask("sh echo logged >&2 2>/dev/stderr"), "logged\nstatus 0");
    EXPECT_FALSE(sandbox.read_fd(kFdCpuUsage).empty());
    EXPECT_FALSE(sandbox.read_fd(kFdMemoryPeak).empty());
    EXPECT_EQ(::ftruncate(sandbox.fd(kFdChannel), 1), -1);  // sealed
    if ((started_.features & kFeatureMemoryPeakReset) != 0) {
        EXPECT_EQ(::pwrite(sandbox.fd(kFdMemoryPeak), "0", 1, 0), 1);
    }
}

TEST_F(Life, MissingCodeIsRefusedByName) {
    Acquire request = harness_.make_acquire(7);
    std::memset(request.code_id, 'b', kCodeIdBytes);
    EXPECT_FALSE(harness_.acquire(request));
    EXPECT_EQ(harness_.last_acquired.ticket, 7U);
    EXPECT_EQ(harness_.last_acquired.sys_errno, ENOENT);
    EXPECT_STREQ(harness_.last_acquired.step, "open-code");
    expect_clean();
}

TEST_F(Life, LinkedCodeIsRefused) {
    // The engine owns the directory of packages: it must not be able to show a sandbox host files.
    const std::string name(kCodeIdBytes, 'c');
    std::filesystem::create_directory_symlink("/etc", harness_.code_dir() + "/" + name);
    Acquire request = harness_.make_acquire();
    std::memcpy(request.code_id, name.data(), kCodeIdBytes);
    EXPECT_FALSE(harness_.acquire(request));
    EXPECT_EQ(harness_.last_acquired.sys_errno, ENOTDIR);
}

TEST_F(Life, LayersAreMountedAtOpt) {
    EXPECT_EQ(acquire().ask("ls /opt"), "");
    const std::string name(kCodeIdBytes, 'd');
    const std::string layers = harness_.code_dir() + "/" + name;
    std::filesystem::create_directories(layers + "/lib");
    std::ofstream(layers + "/lib/note") << "from a layer";
    std::filesystem::create_symlink("/etc/shadow", layers + "/out");
    std::filesystem::create_symlink("../../../../../../etc/shadow", layers + "/up");
    Acquire request = harness_.make_acquire();
    std::memcpy(request.layers_id, name.data(), kCodeIdBytes);
    std::optional<Sandbox> sandbox = harness_.acquire(request);
    ASSERT_TRUE(sandbox) << harness_.last_acquired.step;
    EXPECT_EQ(sandbox->ask("cat /opt/lib/note"), "from a layer");
    EXPECT_EQ(sandbox->ask("cat /var/task/hello.txt"), "hello from the code");
    EXPECT_EQ(
        sandbox->ask("sh echo x 2>/dev/null >/opt/lib/note || echo refused"), "refused\nstatus 0"
    );
    // The registry refuses such links; here it is seen that they would lead nowhere.
    EXPECT_EQ(sandbox->ask("cat /opt/out"), "errno ENOENT");
    EXPECT_EQ(sandbox->ask("cat /opt/up"), "errno ENOENT");
}

TEST_F(Life, MissingAndLinkedLayersAreRefusedByName) {
    const std::string name(kCodeIdBytes, 'e');
    Acquire request = harness_.make_acquire();
    std::memcpy(request.layers_id, name.data(), kCodeIdBytes);
    EXPECT_FALSE(harness_.acquire(request));
    EXPECT_EQ(harness_.last_acquired.sys_errno, ENOENT);
    EXPECT_STREQ(harness_.last_acquired.step, "open-layers");
    std::filesystem::create_directory_symlink("/etc", harness_.code_dir() + "/" + name);
    EXPECT_FALSE(harness_.acquire(request));
    EXPECT_EQ(harness_.last_acquired.sys_errno, ENOTDIR);
    expect_clean();
}

TEST_F(Life, UnavailableRuntimeIsRefused) {
    Acquire request = harness_.make_acquire();
    request.runtime = RuntimeKind::kPython;
    EXPECT_FALSE(harness_.acquire(request));
    EXPECT_EQ(harness_.last_acquired.sys_errno, ENOSYS);
    EXPECT_EQ(started_.features & kFeaturePython, 0U);
}

TEST_F(Life, PoolShrinksAndGrows) {
    harness_.fill_pool(6);
    EXPECT_EQ(harness_.stats().blanks_count[0], 6U);
    harness_.fill_pool(3, RuntimeKind::kExecutable);
    PoolTarget none;
    harness_.send(none);
    EXPECT_EQ(harness_.stats().blanks_count[0], 0U);
    EXPECT_EQ(harness_.stats().blanks_count[1], 3U);
    expect_clean();
}

std::map<std::string, std::size_t> count_fds(int pid) {
    std::map<std::string, std::size_t> counts;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", error)) {
        const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
        ++counts[target.substr(0, target.find(':'))];
    }
    return counts;
}

TEST_F(Life, TwoHundredLeaveNothing) {
    const auto churn = [this](int count) {
        for (int i = 0; i < count; ++i) {
            Sandbox sandbox = acquire();
            EXPECT_EQ(sandbox.ask("ids"), "2 993 993");
            harness_.destroy(sandbox.id());
            ASSERT_TRUE(harness_.await_gone(sandbox.id()));
        }
    };
    churn(3);  // the slots keep their user namespaces
    const auto cgroups_before = harness_.list_cgroups();
    const auto fds_before = count_fds(harness_.pid());
    const std::string mounts_before =
        read_file("/proc/" + std::to_string(harness_.pid()) + "/mountinfo");
    churn(200);
    EXPECT_EQ(harness_.list_cgroups(), cgroups_before);
    EXPECT_EQ(count_fds(harness_.pid()), fds_before);
    EXPECT_EQ(read_file("/proc/" + std::to_string(harness_.pid()) + "/mountinfo"), mounts_before);
    EXPECT_EQ(count_sandbox_processes(), 0U);
    expect_clean();
}

}  // namespace
}  // namespace hako::sandbox::testing
