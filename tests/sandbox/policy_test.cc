#include <cerrno>
#include <string>

#include <linux/bpf_common.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <gtest/gtest.h>

#include "sandbox/policy/policy.h"

namespace hako::policy {
namespace {

constexpr const char* kHead = "default errno EPERM  # rest\nabove 400 errno ENOSYS  # new\n";

std::uint32_t decide_compiled(const std::string& text, Call call) {
    const auto policy = parse(kHead + text);
    EXPECT_TRUE(policy) << policy.error();
    const auto program = generate(*policy);
    EXPECT_EQ(verify(*policy, program), "");
    call.arch = native_audit_arch();
    return interpret(program, call);
}

TEST(Policy, FirstMatchWinsPerCall) {
    const std::string text =
        "errno EINVAL prctl if arg0 == 4  # one option\n"
        "allow prctl  # others\n";
    EXPECT_EQ(
        decide_compiled(text, {.number = SYS_prctl, .args = {4}}), SECCOMP_RET_ERRNO | EINVAL
    );
    EXPECT_EQ(decide_compiled(text, {.number = SYS_prctl, .args = {5}}), SECCOMP_RET_ALLOW);
    EXPECT_EQ(decide_compiled(text, {.number = SYS_read, .args = {}}), SECCOMP_RET_ERRNO | EPERM);
    EXPECT_EQ(decide_compiled(text, {.number = 401, .args = {}}), SECCOMP_RET_ERRNO | ENOSYS);
}

TEST(Policy, HighBitsCountOnlyWhereAsked) {
    constexpr std::uint64_t kHigh = 0x500000000;
    const std::string narrow = "allow prctl if arg0 == 4  # the kernel looks at 32 bits\n";
    EXPECT_EQ(
        decide_compiled(narrow, {.number = SYS_prctl, .args = {kHigh | 4}}), SECCOMP_RET_ALLOW
    );
    const std::string wide = "allow prctl if arg0.64 == 4  # a pointer\n";
    EXPECT_EQ(
        decide_compiled(wide, {.number = SYS_prctl, .args = {kHigh | 4}}), SECCOMP_RET_ERRNO | EPERM
    );
}

TEST(Policy, BadLinesAreNamed) {
    const struct {
        const char* line;
        const char* fault;
    } kCases[] = {
        {"allow read\n", "no reason"},
        {"allow read  #  \n", "no reason"},
        {"allow raed  # typo\n", "unknown system call raed"},
        {"permit read  # verb\n", "unknown verb permit"},
        {"errno EWHAT read  # errno\n", "unknown errno EWHAT"},
        {"allow prctl if arg9 == 1  # argument\n", "expected arg0..arg5"},
        {"allow prctl if arg0 != 1  # operator\n", "expected =="},
        {"allow prctl if arg0 == NO_SUCH  # value\n", "bad value"},
        {"allow prctl unless arg0 == 1  # word\n", "expected if/and"},
        {"allow read  # a\nallow read  # b\n", "never be reached"},
        {"allow cachestat  # 451\n", "above the above line"},
    };
    for (const auto& bad : kCases) {
        const auto policy = parse(std::string(kHead) + bad.line);
        ASSERT_FALSE(policy) << bad.line;
        EXPECT_NE(policy.error().find(bad.fault), std::string::npos) << policy.error();
    }
    EXPECT_FALSE(parse(""));
    EXPECT_FALSE(parse("allow read  # no default\n"));
}

TEST(Policy, LongProgramsJumpFar) {
    // Far more than 255 instructions on one side of the tree.
    std::string text;
    for (int value = 0; value < 60; ++value) {
        for (const char* name : {"prctl", "ioctl", "fcntl"}) {
            text += std::string("allow ") + name + " if arg1 == " + std::to_string(value * 7) +
                    "  # one of many\n";
        }
    }
    EXPECT_EQ(decide_compiled(text, {.number = SYS_ioctl, .args = {0, 413}}), SECCOMP_RET_ALLOW);
    EXPECT_EQ(
        decide_compiled(text, {.number = SYS_ioctl, .args = {0, 414}}), SECCOMP_RET_ERRNO | EPERM
    );
}

TEST(Policy, VerifyNoticesEveryBrokenDecision) {
    const auto policy =
        parse(std::string(kHead) + "allow read  # a\nallow prctl if arg0 == 4  # b\n");
    ASSERT_TRUE(policy);
    const auto good = generate(*policy);
    for (std::size_t i = 0; i < good.size(); ++i) {
        auto broken = good;
        if (broken[i].code == (BPF_RET | BPF_K)) {
            broken[i].k ^= 1;
            EXPECT_NE(verify(*policy, broken), "") << "instruction " << i;
        } else if (broken[i].code == (BPF_JMP | BPF_JEQ | BPF_K)) {
            broken[i].k ^= 1;
            EXPECT_NE(verify(*policy, broken), "") << "instruction " << i;
        }
    }
}

}  // namespace
}  // namespace hako::policy
