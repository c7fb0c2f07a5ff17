#include <cerrno>
#include <set>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "engine/base/mapping.h"
#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace hako {
namespace {

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) != -1;
}

UniqueFd open_null() {
    return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

TEST(Errc, EachHasItsOwnName) {
    std::set<std::string_view> names;
    for (std::uint8_t index = 0; index < kErrcCount; ++index) {
        names.insert(errc_name(static_cast<Errc>(index)));
    }
    EXPECT_EQ(names.size(), kErrcCount);
    EXPECT_FALSE(names.contains("unknown"));
    EXPECT_EQ(errc_name(Errc::kUnsupported), "unsupported") << "the last one";
    EXPECT_EQ(errc_name(static_cast<Errc>(kErrcCount)), "unknown");
}

Result<int> half(int number) {
    if (number % 2 != 0) {
        return fail(Errc::kInvalid, "odd");
    }
    return number / 2;
}

Result<int> quarter(int number) {
    TRY(half(number));
    TRY_ASSIGN(const int halved, half(number));
    TRY_ASSIGN(const int quartered, half(halved));
    return quartered;
}

TEST(Result, TryPassesErrorsOnAndValuesThrough) {
    EXPECT_EQ(quarter(12).value_or(0), 3);
    ASSERT_FALSE(quarter(3).has_value());
    ASSERT_FALSE(quarter(6).has_value());
    EXPECT_EQ(quarter(6).error().code, Errc::kInvalid);
    EXPECT_STREQ(quarter(6).error().what, "odd");
}

Result<UniqueFd> pass_on(Result<UniqueFd> made) {
    TRY_ASSIGN(UniqueFd fd, std::move(made));
    return fd;
}

TEST(Result, TryAssignMovesOwners) {
    const Result<UniqueFd> passed = pass_on(open_null());
    ASSERT_TRUE(passed.has_value());
    EXPECT_TRUE(is_open(passed->get()));
}

TEST(Result, ErrnoErrorsKeepTheNumber) {
    errno = ENOSPC;
    const Result<void> failed = fail_errno("write");
    errno = 0;
    EXPECT_EQ(failed.error().code, Errc::kSystem);
    EXPECT_EQ(failed.error().sys_errno, ENOSPC);
    EXPECT_STREQ(failed.error().what, "write");
}

TEST(UniqueFd, ClosesOnceAndMoves) {
    UniqueFd first = open_null();
    const int number = first.get();
    ASSERT_TRUE(is_open(number));
    UniqueFd second(std::move(first));
    EXPECT_EQ(second.get(), number);
    first = std::move(second);
    EXPECT_TRUE(is_open(number));
    UniqueFd& same = first;
    first = std::move(same);
    EXPECT_TRUE(is_open(number)) << "moved onto itself";
    first.reset();
    EXPECT_FALSE(is_open(number));
    EXPECT_FALSE(first);
}

TEST(UniqueFd, ReleaseGivesItAway) {
    UniqueFd fd = open_null();
    const int number = fd.release();
    EXPECT_FALSE(fd);
    EXPECT_TRUE(is_open(number));
    EXPECT_EQ(::close(number), 0);
}

TEST(UniqueFd, ResetKeepsErrno) {
    UniqueFd fd = open_null();
    errno = E2BIG;
    fd.reset();
    EXPECT_EQ(errno, E2BIG);
}

TEST(UniqueFdDeathTest, DoubleCloseDies) {
    EXPECT_DEATH(
        {
            UniqueFd fd = open_null();
            (void)::close(fd.get());  // the bug under test
            fd.reset();
        },
        "closed a descriptor that was not open"
    );
}

TEST(EnsureDeathTest, SaysWhatAndWhere) {
    const int answer = 41;
    EXPECT_DEATH(
        ENSURE(answer == 42, "wrong answer"), "wrong answer \\(answer == 42\\) at .*base_test"
    );
    ENSURE(answer == 41, "held");
}

TEST(Mapping, SharesMemoryAndUnmaps) {
    const UniqueFd memory(::memfd_create("mapping", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(memory.get(), 8192), 0);
    const std::byte* data = nullptr;
    {
        Result<Mapping> first = Mapping::make_shared(memory.get(), 8192);
        Result<Mapping> second = Mapping::make_shared(memory.get(), 8192);
        ASSERT_TRUE(first.has_value() && second.has_value());
        first->data()[8191] = std::byte{7};
        EXPECT_EQ(second->data()[8191], std::byte{7});
        EXPECT_EQ(first->size_bytes(), 8192U);
        data = second->data();
        *first = std::move(*second);
        EXPECT_EQ(first->data(), data);
        EXPECT_FALSE(*second);
    }
    unsigned char residency = 0;
    errno = 0;
    EXPECT_EQ(::mincore(const_cast<std::byte*>(data), 4096, &residency), -1);
    EXPECT_EQ(errno, ENOMEM) << "still mapped";
}

TEST(Mapping, BadDescriptorIsAnError) {
    const Result<Mapping> mapping = Mapping::make_shared(-1, 4096);
    ASSERT_FALSE(mapping.has_value());
    EXPECT_EQ(mapping.error().sys_errno, EBADF);
}

TEST(Clock, UnitsAgreeAndTimeGoesOn) {
    const std::int64_t before_us = now_us();
    const std::int64_t between_ns = now_ns();
    const std::int64_t after_us = now_us();
    EXPECT_LE(before_us, between_ns / 1000);
    EXPECT_LE(between_ns / 1000, after_us);
    EXPECT_GT(wall_us(), std::int64_t{1'600'000'000} * 1'000'000) << "after September 2020";
    EXPECT_GT(kNever, after_us);
}

}  // namespace
}  // namespace hako
