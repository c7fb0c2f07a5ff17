// The parts of CgroupTree and Cgroup that only cgroup v2 has. Runs as root in the guest of
// tests/vm.
#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <linux/sched.h>

#include "engine/base/clock.h"
#include "engine/wire/spawner_protocol.h"
#include "sandbox/cgroup.h"
#include "sandbox/syscalls.h"

namespace hako::sandbox {
namespace {

constexpr std::int64_t kPatienceUs = 60'000'000;

std::string read_text(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Looks again each millisecond: most of cgroupfs announces nothing.
bool eventually(const auto& condition) {
    const std::int64_t deadline_us = now_us() + kPatienceUs;
    while (!condition()) {
        if (now_us() > deadline_us) {
            return false;
        }
        (void)::poll(nullptr, 0, 1);
    }
    return true;
}

class CgroupV2 : public ::testing::Test {
protected:
    void SetUp() override {
        const auto mounts = find_cgroup_mounts();
        ASSERT_TRUE(mounts);
        ASSERT_EQ(mounts->version, 2) << "this suite runs in the guest of tests/vm";
        root_ = mounts->mounts.front().path;
        static int serial = 0;
        name_ = "hako-v2-test-" + std::to_string(::getpid()) + "-" + std::to_string(serial++);
    }
    void TearDown() override {
        (void)::signal(SIGCHLD, SIG_DFL);
        for (const char* part : {"/deep", "/engine", ""}) {
            (void)::rmdir((root_ + "/" + name_ + part).c_str());
        }
        EXPECT_NE(::access((root_ + "/" + name_).c_str(), F_OK), 0) << "the tree is left behind";
    }
    [[nodiscard]] std::string read(const std::string& rest) const {
        return read_text(root_ + "/" + name_ + "/" + rest);
    }
    /// A child born in `group`, as sandboxes are; it runs `work` and then waits to be killed.
    template <typename Work>
    pid_t spawn_into(const Cgroup& group, Work work) {
        std::array<int, 2> pipe{};
        EXPECT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
        clone_args args{};
        args.flags = CLONE_INTO_CGROUP;
        args.exit_signal = SIGCHLD;
        args.cgroup = static_cast<__u64>(group.join_fds().front().get());
        const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof(args)));
        if (pid == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            sys::close_from(3);  // as after an exec: the lock of the tree stays here
            work();
            for (;;) {
                ::pause();
            }
        }
        ::close(pipe[1]);
        char nothing = 0;
        EXPECT_EQ(::read(pipe[0], &nothing, 1), 0);  // it has let go of our descriptors
        ::close(pipe[0]);
        return pid;
    }
    static int reap(pid_t pid) {
        int status = -1;
        EXPECT_EQ(::waitpid(pid, &status, 0), pid);
        return status;
    }
    /// rmdir is refused for a moment after the last process was reaped.
    static void remove(Cgroup& group) {
        EXPECT_TRUE(eventually([&group] {
            const auto removed = group.remove();
            return removed && *removed;
        }));
    }

    std::string root_;
    std::string name_;
};

TEST_F(CgroupV2, EveryFeatureBitButTheResetIsThere) {
    auto tree = CgroupTree::open(name_);
    ASSERT_TRUE(tree) << tree.error().what;
    constexpr std::uint64_t kAll = spawner::kFeatureCgroupV2 | spawner::kFeatureMemoryController |
                                   spawner::kFeatureCpuController |
                                   spawner::kFeaturePidsController | spawner::kFeatureFreezer |
                                   spawner::kFeatureSwapLimit | spawner::kFeatureCpuTime;
    EXPECT_EQ(tree->features() & ~spawner::kFeatureMemoryPeakReset, kAll);
    tree->remove_tree();
}

// The probe once believed open(memory.peak, O_RDWR), which root may do on kernels whose write then
// fails: every invocation's metering began with an error. So: the bit and a real write agree.
TEST_F(CgroupV2, PeakResetIsPromisedOnlyWhereItWorks) {
    auto tree = CgroupTree::open(name_);
    ASSERT_TRUE(tree) << tree.error().what;
    auto group = tree->make(0);
    ASSERT_TRUE(group) << group.error().what;
    const UniqueFd peak = group->open_file(ControlFile::kMemoryPeak, O_RDWR);
    const bool works = peak && ::pwrite(peak.get(), "0", 1, 0) == 1;
    EXPECT_EQ((tree->features() & spawner::kFeatureMemoryPeakReset) != 0, works);
    remove(*group);
    tree->remove_tree();
}

TEST_F(CgroupV2, LimitsAreWrittenAsAsked) {
    auto tree = CgroupTree::open(name_);
    ASSERT_TRUE(tree) << tree.error().what;
    auto group = tree->make(7);
    ASSERT_TRUE(group) << group.error().what;
    ASSERT_TRUE(group->set_limits(1769));
    EXPECT_EQ(read("sb-7/memory.max"), std::to_string(1769UL << 20U) + "\n");
    EXPECT_EQ(read("sb-7/memory.swap.max"), "0\n");
    EXPECT_EQ(read("sb-7/cpu.weight"), "540\n");  // 1769 / 32768 of 10000
    EXPECT_EQ(read("sb-7/pids.max"), "1032\n");
    remove(*group);
    tree->remove_tree();
}

TEST_F(CgroupV2, UsageCountsCpuMemoryAndKills) {
    auto tree = CgroupTree::open(name_);
    ASSERT_TRUE(tree) << tree.error().what;
    auto group = tree->make(0);
    ASSERT_TRUE(group) << group.error().what;
    ASSERT_TRUE(group->set_limits(64));
    const pid_t pid = spawn_into(*group, [] {
        for (std::size_t i = 0;; ++i) {  // until the limit ends it
            constexpr std::size_t kBytes = 1 << 20;
            void* memory = ::mmap(
                nullptr,
                kBytes,
                PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                -1,
                0
            );
            if (memory == MAP_FAILED || i > 1024) {
                ::_exit(1);
            }
        }
    });
    ASSERT_GT(pid, 0);
    const int status = reap(pid);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    const CgroupUsage usage = group->read_usage();
    EXPECT_EQ(usage.oom_kill_count, 1U);
    EXPECT_GT(usage.cpu_ns, 0U);
    EXPECT_GT(usage.memory_peak_bytes, 63U << 20U);
    EXPECT_LE(usage.memory_peak_bytes, 64U << 20U);
    remove(*group);
    tree->remove_tree();
}

TEST_F(CgroupV2, KillEndsFrozenProcessesWithTheirChildren) {
    auto tree = CgroupTree::open(name_);
    ASSERT_TRUE(tree) << tree.error().what;
    auto group = tree->make(0);
    ASSERT_TRUE(group) << group.error().what;
    const pid_t pid = spawn_into(*group, [] { (void)::fork(); });
    ASSERT_GT(pid, 0);
    EXPECT_TRUE(eventually([&group] { return group->read_pids().size() == 2; }));
    const UniqueFd freezer = group->open_file(ControlFile::kFreezer, O_RDWR);
    ASSERT_EQ(::pwrite(freezer.get(), "1", 1, 0), 1);
    EXPECT_TRUE(eventually([this] {
        return read("sb-0/cgroup.events").find("frozen 1") != std::string::npos;
    }));
    group->thaw_and_kill();
    EXPECT_TRUE(WIFSIGNALED(reap(pid)));
    EXPECT_TRUE(eventually([&group] { return group->read_pids().empty(); }));
    remove(*group);
    tree->remove_tree();
}

TEST_F(CgroupV2, LeftoversOfACrashedRunAreKilledAndRemoved) {
    pid_t pid = -1;
    {
        auto crashed = CgroupTree::open(name_);
        ASSERT_TRUE(crashed) << crashed.error().what;
        auto group = crashed->make(3);
        ASSERT_TRUE(group) << group.error().what;
        pid = spawn_into(*group, [] {});
        ASSERT_GT(pid, 0);
        const UniqueFd freezer = group->open_file(ControlFile::kFreezer, O_RDWR);
        ASSERT_EQ(::pwrite(freezer.get(), "1", 1, 0), 1);
    }
    // A process that nobody reaps would keep the leaf's pid list as it is: reap beside.
    ASSERT_NE(::signal(SIGCHLD, SIG_IGN), SIG_ERR);
    auto tree = CgroupTree::open(name_);
    ASSERT_TRUE(tree) << tree.error().what;
    const auto removed = tree->remove_leftovers(now_us() + kPatienceUs);
    ASSERT_TRUE(removed) << removed.error().what;
    EXPECT_EQ(*removed, 1U);
    // A process leaves its cgroup a moment before its number is free.
    EXPECT_TRUE(eventually([pid] { return ::kill(pid, 0) != 0; }));
    tree->remove_tree();
}

// A cgroup with processes of its own cannot hand controllers down (as under a service manager that
// started us inside it): they move to a leaf beside the sandboxes.
TEST_F(CgroupV2, ProcessesInTheWayMoveAside) {
    auto outer = CgroupTree::open(name_);
    ASSERT_TRUE(outer) << outer.error().what;
    // Nothing is handed down yet, so that a process may enter.
    for (const char* controller : {"-cpu", "-memory", "-pids"}) {
        std::ofstream(root_ + "/" + name_ + "/cgroup.subtree_control") << controller;
    }
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            ::pause();
        }
    }
    std::ofstream(root_ + "/" + name_ + "/cgroup.procs") << pid;
    ASSERT_EQ(read("cgroup.procs"), std::to_string(pid) + "\n");
    auto tree = CgroupTree::open(name_ + "/deep");
    EXPECT_TRUE(tree);
    if (tree) {
        EXPECT_NE(tree->features() & spawner::kFeatureMemoryController, 0U);
        EXPECT_NE(tree->features() & spawner::kFeatureCpuController, 0U);
        EXPECT_NE(tree->features() & spawner::kFeaturePidsController, 0U);
        tree->remove_tree();
    }
    EXPECT_EQ(read("engine/cgroup.procs"), std::to_string(pid) + "\n");
    ::kill(pid, SIGKILL);
    (void)reap(pid);
    EXPECT_TRUE(eventually([this] { return read("engine/cgroup.procs").empty(); }));
}

}  // namespace
}  // namespace hako::sandbox
