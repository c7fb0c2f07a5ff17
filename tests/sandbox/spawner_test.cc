#include <csignal>
#include <cstring>
#include <filesystem>

#include <poll.h>
#include <sys/wait.h>

#include <gtest/gtest.h>

#include "engine/base/clock.h"
#include "sandbox/settings.h"
#include "sandbox/validate.h"
#include "tests/sandbox/harness.h"

// The spawner against a bad engine, crashes and itself.
namespace hako::sandbox::testing {
namespace {

using namespace hako::spawner;

template <typename T>
bool accepts(const T& request) {
    return decode_request(std::as_bytes(std::span(&request, 1))).has_value();
}

Acquire good_acquire() {
    Acquire request;
    request.memory_mib = 128;
    request.tmp_mib = 512;
    std::memset(request.code_id, 'f', kCodeIdBytes);
    return request;
}

TEST(Validate, AcceptsWhatTheEngineSends) {
    EXPECT_TRUE(accepts(good_acquire()));
    EXPECT_TRUE(accepts(Destroy{}));
    EXPECT_TRUE(accepts(PoolTarget{}));
    EXPECT_TRUE(accepts(StatsRequest{}));
}

TEST(Validate, RefusesEveryFieldOutOfRange) {
    const auto refused = [](auto change) {
        Acquire request = good_acquire();
        change(request);
        return !accepts(request);
    };
    EXPECT_TRUE(refused([](Acquire& r) { r.memory_mib = 127; }));
    EXPECT_TRUE(refused([](Acquire& r) { r.memory_mib = kMemoryMibMax + 1; }));
    EXPECT_TRUE(refused([](Acquire& r) { r.tmp_mib = 511; }));
    EXPECT_TRUE(refused([](Acquire& r) { r.tmp_mib = kTmpMibMax + 1; }));
    EXPECT_TRUE(refused([](Acquire& r) { r.runtime = static_cast<RuntimeKind>(3); }));
    EXPECT_TRUE(refused([](Acquire& r) { r.op = static_cast<Op>(99); }));
    EXPECT_TRUE(refused([](Acquire& r) { r.op = Op::kAcquired; }));
    for (const char bad : {'/', '.', '\0', 'F', 'g', ' '}) {
        EXPECT_TRUE(refused([bad](Acquire& r) { r.code_id[63] = bad; })) << int{bad};
        EXPECT_TRUE(refused([bad](Acquire& r) {
            std::memset(r.layers_id, 'a', kCodeIdBytes);
            r.layers_id[63] = bad;
        })) << int{bad};
    }
    EXPECT_TRUE(refused([](Acquire& r) { r.layers_id[0] = '/'; }));
    EXPECT_TRUE(refused([](Acquire& r) { r.layers_id[1] = 'a'; }));
    EXPECT_FALSE(refused([](Acquire& r) { std::memset(r.layers_id, 'a', kCodeIdBytes); }));
    EXPECT_FALSE(accepts(PoolTarget{.blanks_count = kPoolBlanksMax + 1}));
    EXPECT_FALSE(accepts(PoolTarget{.reserved = 1}));
    EXPECT_FALSE(accepts(Destroy{.reserved = 1}));
    EXPECT_FALSE(decode_request({}).has_value());
    const Acquire request = good_acquire();
    const auto bytes = std::as_bytes(std::span(&request, 1));
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        EXPECT_FALSE(decode_request(bytes.first(length)).has_value()) << length;
    }
}

void expect_clean(const Harness& harness) {
    EXPECT_EQ(harness.list_cgroups(), std::vector<std::string>{});
    EXPECT_EQ(count_sandbox_processes(), 0U);
}

TEST(SpawnerProcess, GarbageEndsItCleanly) {
    Harness harness({"--pool", "native=2"});
    (void)harness.await_started();
    auto sandbox = harness.acquire();
    ASSERT_TRUE(sandbox);
    const char garbage[] = "this is not a packet of the protocol";
    harness.send(garbage, sizeof(garbage));
    EXPECT_EQ(harness.await_exit(), kExitProtocol);
    expect_clean(harness);
}

TEST(SpawnerProcess, OversizedPacketEndsItCleanly) {
    Harness harness;
    (void)harness.await_started();
    const std::string huge(5000, 'x');
    harness.send(huge.data(), huge.size());
    EXPECT_EQ(harness.await_exit(), kExitProtocol);
    expect_clean(harness);
}

TEST(SpawnerProcess, EngineEofEndsEverything) {
    Harness harness({"--pool", "native=5"});
    (void)harness.await_started();
    harness.fill_pool(5);
    std::vector<Sandbox> live;
    for (int i = 0; i < 5; ++i) {
        auto sandbox = harness.acquire();
        ASSERT_TRUE(sandbox);
        live.push_back(std::move(*sandbox));
    }
    EXPECT_GE(count_sandbox_processes(), 10U);
    EXPECT_EQ(harness.stop(), 0);
    expect_clean(harness);
}

TEST(SpawnerProcess, EofWhileMakingEndsEverything) {
    Harness harness({"--pool", "native=50"});
    (void)harness.await_started();
    EXPECT_EQ(harness.stop(), 0);
    expect_clean(harness);
}

/// True once no sandbox process is left: the kernel kills them a moment after their parent.
bool await_no_processes() {
    const std::int64_t deadline_us = now_us() + 5'000'000;
    while (count_sandbox_processes() > 0 && now_us() < deadline_us) {
        (void)::poll(nullptr, 0, 5);
    }
    return count_sandbox_processes() == 0;
}

TEST(SpawnerProcess, KilledSpawnerTakesSandboxesAlongAndTheNextOneCleans) {
    std::string cgroup;
    std::size_t leaves = 0;
    {
        Harness harness({"--pool", "native=3"});
        (void)harness.await_started();
        harness.fill_pool(3);
        ASSERT_TRUE(harness.acquire());
        cgroup = harness.cgroup();
        harness.kill_spawner();
        EXPECT_TRUE(await_no_processes());
        leaves = harness.list_cgroups().size();
        EXPECT_GT(leaves, 0U);
    }
    Harness next({}, cgroup);
    const Started started = next.await_started();
    EXPECT_GE(started.leftovers_removed_count, 3U);
    EXPECT_TRUE(next.acquire());
    EXPECT_EQ(next.stop(), 0);
    expect_clean(next);
}

TEST(SpawnerProcess, TreeInUseIsRefused) {
    Harness first;
    (void)first.await_started();
    Harness second({}, first.cgroup());
    EXPECT_EQ(second.await_exit(), kExitInUse);
    EXPECT_TRUE(first.acquire());
}

TEST(SpawnerProcess, BadOptionsAreRefused) {
    const struct {
        std::vector<std::string> options;
        int exit_code;
    } kCases[] = {
        {{"--slots", "0"}, kExitUsage},
        {{"--no-such-option"}, kExitUsage},
        {{"--pool", "cobol=1"}, kExitUsage},
        {{"--code-dir", "/nonexistent"}, kExitSystem},
        {{"--zygote", "native=/nonexistent"}, kExitZygote},
    };
    for (const auto& bad : kCases) {
        Harness harness(bad.options);
        EXPECT_EQ(harness.await_exit(), bad.exit_code) << bad.options[0];
        expect_clean(harness);
    }
    EXPECT_EQ(Harness({"--cgroup", "../up"}).await_exit(), kExitUsage);
}

TEST(SpawnerProcess, ManyAcquiresOfAnEmptyPoolAreAllServed) {
    Harness harness;
    (void)harness.await_started();
    constexpr int kCount = 60;
    for (int i = 0; i < kCount; ++i) {
        harness.send(harness.make_acquire(static_cast<std::uint64_t>(i)));
    }
    for (int i = 0; i < kCount; ++i) {
        const auto event = harness.next_event();
        ASSERT_TRUE(event);
        EXPECT_NE(event->sandbox_id, 0U);
        EXPECT_FALSE(event->gone);
    }
    EXPECT_EQ(harness.stats().live_count, static_cast<std::uint32_t>(kCount));
    EXPECT_EQ(harness.stop(), 0);
    expect_clean(harness);
}

/// Children of `parent` whose command line contains `text`.
std::vector<int> find_children(int parent, const std::string& text) {
    std::vector<int> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        const std::string status = read_file(entry.path() / "status");
        if (status.find("PPid:\t" + std::to_string(parent) + "\n") != std::string::npos &&
            status.find("Uid:\t0\t") != std::string::npos &&
            read_file(entry.path() / "cmdline").find(text) != std::string::npos) {
            found.push_back(std::atoi(name.c_str()));
        }
    }
    return found;
}

/// Inits: the spawner's children that are not root.
std::vector<int> find_inits(int parent) {
    std::vector<int> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string status = read_file(entry.path() / "status");
        if (status.find("PPid:\t" + std::to_string(parent) + "\n") != std::string::npos &&
            status.find("Uid:\t0\t") == std::string::npos) {
            found.push_back(std::atoi(entry.path().filename().c_str()));
        }
    }
    return found;
}

TEST(SpawnerProcess, KilledZygoteIsReplacedAndItsSandboxesLive) {
    Harness harness({"--pool", "native=2"});
    (void)harness.await_started();
    auto before = harness.acquire();
    ASSERT_TRUE(before);
    const auto zygotes = find_children(harness.pid(), "probe_zygote");
    ASSERT_EQ(zygotes.size(), 1U);
    ASSERT_EQ(::kill(zygotes[0], SIGKILL), 0);
    harness.fill_pool(4);
    auto after = harness.acquire();
    ASSERT_TRUE(after);
    EXPECT_EQ(after->ask("ids"), "2 993 993");
    EXPECT_EQ(before->ask("ids"), "2 993 993");
    EXPECT_EQ(harness.stop(), 0);
    expect_clean(harness);
}

TEST(SpawnerProcess, DeadBlankIsNotHandedOut) {
    Harness harness;
    (void)harness.await_started();
    harness.fill_pool(3);
    for (int round = 0; round < 5; ++round) {
        for (const int pid : find_inits(harness.pid())) {
            (void)::kill(pid, SIGKILL);
        }
        auto sandbox = harness.acquire();
        ASSERT_TRUE(sandbox) << harness.last_acquired.step;
        harness.destroy(sandbox->id());
        ASSERT_TRUE(harness.await_gone(sandbox->id()));
        harness.fill_pool(3);
    }
    EXPECT_EQ(harness.stop(), 0);
    expect_clean(harness);
}

TEST(SpawnerProcess, SlotsRunOutWithAnError) {
    Harness harness({"--slots", "2"});
    (void)harness.await_started();
    auto a = harness.acquire();
    auto b = harness.acquire();
    ASSERT_TRUE(a && b);
    EXPECT_FALSE(harness.acquire());
    EXPECT_EQ(harness.last_acquired.sys_errno, EAGAIN);
    EXPECT_STREQ(harness.last_acquired.step, "slot");
    harness.destroy(a->id());
    ASSERT_TRUE(harness.await_gone(a->id()));
    EXPECT_TRUE(harness.acquire());
}

}  // namespace
}  // namespace hako::sandbox::testing
