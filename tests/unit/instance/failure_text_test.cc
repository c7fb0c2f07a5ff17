#include <csignal>

#include <gtest/gtest.h>

#include "engine/instance/failure_text.h"

namespace hako::instance {
namespace {

constexpr std::string_view kId = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";

spawner::Gone gone_with(int wait_status, std::uint32_t oom_kill_count = 0) {
    spawner::Gone gone;
    gone.wait_status = wait_status;
    gone.oom_kill_count = oom_kill_count;
    return gone;
}

// The texts are AWS's, letter for letter: clients match on them.
TEST(FailureText, TimeoutSaysSecondsWithTwoDecimals) {
    EXPECT_EQ(
        timeout_text(kId, 3'000'000).payload,
        R"({"errorType":"Sandbox.Timedout","errorMessage":"RequestId: )"
        R"(8476a536-e9f4-11e8-9739-2dfe598c3fcd Error: Task timed out after 3.00 seconds"})"
    );
    EXPECT_EQ(timeout_text(kId, 900'000'000).sentence, "Task timed out after 900.00 seconds");
}

TEST(FailureText, ExitStatusSignalAndNoReason) {
    EXPECT_EQ(
        exit_text(kId, gone_with(1 << 8)).payload,
        R"({"errorType":"Runtime.ExitError","errorMessage":"RequestId: )"
        R"(8476a536-e9f4-11e8-9739-2dfe598c3fcd Error: Runtime exited with error: exit status 1"})"
    );
    EXPECT_EQ(
        exit_text(kId, gone_with(SIGSEGV)).sentence,
        "Runtime exited with error: signal: segmentation fault"
    );
    EXPECT_EQ(exit_text(kId, gone_with(0)).sentence, "Runtime exited without providing a reason");
}

TEST(FailureText, OnlyAKillWithTheCounterIsOutOfMemory) {
    EXPECT_EQ(exit_text(kId, gone_with(SIGKILL, 1)).error_type, "Runtime.OutOfMemory");
    EXPECT_EQ(exit_text(kId, gone_with(SIGKILL, 0)).error_type, "Runtime.ExitError");
    EXPECT_EQ(exit_text(kId, gone_with(SIGSEGV, 1)).error_type, "Runtime.ExitError");
    EXPECT_EQ(
        exit_text(kId, gone_with(SIGKILL, 1)).sentence, "Runtime exited with error: signal: killed"
    );
}

TEST(FailureText, TooLargeIsAwsSentence) {
    EXPECT_EQ(
        response_too_large_text().payload,
        R"({"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size )"
        R"(exceeded maximum allowed payload size (6291556 bytes)."})"
    );
}

TEST(FailureText, JsonIsQuoted) {
    EXPECT_EQ(json_quoted("a\"b\\c\n\x01"), R"("a\"b\\c\u000a\u0001")");
}

TEST(FailureText, ErrorMemberOfAnything) {
    EXPECT_EQ(error_member(R"({"errorType":"ValueError","n":1})", "errorType"), "ValueError");
    EXPECT_EQ(error_member(R"({"errorType":7})", "errorType"), "");
    EXPECT_EQ(error_member("[]", "errorType"), "");
    EXPECT_EQ(error_member("not json", "errorType"), "");
    EXPECT_EQ(error_member("", "errorType"), "");
}

}  // namespace
}  // namespace hako::instance
