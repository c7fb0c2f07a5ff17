#include <csignal>

#include <sys/wait.h>

#include <gtest/gtest.h>

#include "tests/sandbox/harness.h"

namespace hako::sandbox::testing {
namespace {

using namespace hako::spawner;

TEST(Life, AcquireRunsConfinedThenDestroyThenGone) {
    Harness harness;
    const Started started = harness.await_started();
    ASSERT_EQ(started.protocol_version, kProtocolVersion);
    auto sandbox = harness.acquire();
    ASSERT_TRUE(sandbox) << harness.last_acquired.step;
    EXPECT_EQ(sandbox->ask("ids"), "2 993 993");
    EXPECT_EQ(sandbox->ask("cat /var/task/hello.txt"), "hello from the code");
    harness.destroy(sandbox->id());
    const auto gone = harness.await_gone(sandbox->id());
    ASSERT_TRUE(gone);
    EXPECT_EQ(gone->reason, kGoneDestroyed);
    EXPECT_EQ(gone->wait_status, SIGKILL);
    EXPECT_GT(gone->cpu_ns, 0U);
    EXPECT_GT(gone->memory_peak_bytes, 0U);
    EXPECT_EQ(harness.stop(), 0);
    EXPECT_TRUE(harness.list_cgroups().empty());
    EXPECT_EQ(count_sandbox_processes(), 0U);
}

}  // namespace
}  // namespace hako::sandbox::testing
