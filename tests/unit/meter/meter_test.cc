#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/base/unique_fd.h"
#include "engine/meter/cgroup_meter.h"
#include "engine/meter/histogram.h"
#include "tests/unit/meter/test_files.h"

namespace hako::meter {
namespace {

TEST(Histogram, BucketsCoverEveryValueOnce) {
    std::uint64_t expected_low = 0;
    for (std::size_t i = 0; i < Histogram::kBucketsCount; ++i) {
        ASSERT_EQ(Histogram::bucket_low(i), expected_low);
        ASSERT_EQ(Histogram::bucket_index(Histogram::bucket_low(i)), i);
        ASSERT_EQ(Histogram::bucket_index(Histogram::bucket_high(i)), i);
        expected_low = Histogram::bucket_high(i) + 1;
    }
    EXPECT_EQ(expected_low, Histogram::kValueMax + 1);
    EXPECT_EQ(Histogram::bucket_index(UINT64_MAX), Histogram::kBucketsCount - 1);
}

TEST(Histogram, QuantilesAreWithinTheBound) {
    std::mt19937_64 random(20171214);
    std::lognormal_distribution<double> durations(8.0, 2.5);
    Histogram histogram;
    std::vector<std::uint64_t> values(50'000);
    for (std::uint64_t& value : values) {
        value = static_cast<std::uint64_t>(durations(random));
        histogram.record(value);
    }
    std::sort(values.begin(), values.end());
    for (const double q : {0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
        const auto rank = std::max<std::size_t>(
            1, static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size())))
        );
        const auto exact = static_cast<double>(values[rank - 1]);
        EXPECT_NEAR(static_cast<double>(histogram.quantile(q)), exact, exact / 64.0 + 0.5) << q;
    }
    EXPECT_EQ(histogram.min(), values.front());
    EXPECT_EQ(histogram.max(), values.back());
}

TEST(Histogram, MergeIsTheSameAsRecordingAll) {
    Histogram left;
    Histogram right;
    Histogram all;
    for (std::uint64_t i = 0; i < 5'000; ++i) {
        (i % 3 == 0 ? left : right).record(i * i);
        all.record(i * i);
    }
    left.merge(right);
    EXPECT_EQ(left.count(), all.count());
    EXPECT_EQ(left.sum(), all.sum());
    for (std::size_t i = 0; i < Histogram::kBucketsCount; ++i) {
        ASSERT_EQ(left.bucket_count(i), all.bucket_count(i));
    }
    EXPECT_EQ(left.quantile(0.5), all.quantile(0.5));
}

TEST(Histogram, EmptyAnswersZero) {
    const Histogram histogram;
    EXPECT_EQ(histogram.quantile(0.5), 0U);
    EXPECT_EQ(histogram.min(), 0U);
    EXPECT_EQ(histogram.max(), 0U);
}

TEST(CgroupMeter, ParsesNumbers) {
    EXPECT_EQ(parse_number("49950781947\n").value(), 49950781947U);
    EXPECT_EQ(parse_number("0").value(), 0U);
    EXPECT_EQ(parse_number("18446744073709551615\n").value(), UINT64_MAX);
    for (const char* bad :
         {"", "\n", "-1", "max\n", "1 2", "1\n\n", "18446744073709551616", " 1"}) {
        const auto number = parse_number(bad);
        ASSERT_FALSE(number.has_value()) << bad;
        EXPECT_EQ(number.error().code, Errc::kProtocol);
    }
}

TEST(CgroupMeter, ParsesCpuStat) {
    EXPECT_EQ(
        parse_usage_usec("usage_usec 1234\nuser_usec 1000\nsystem_usec 234\n").value(), 1234U
    );
    EXPECT_EQ(parse_usage_usec("nr_periods 0\nusage_usec 7\n").value(), 7U);
    EXPECT_FALSE(parse_usage_usec("usage_usec 12").has_value()) << "a cut number must not count";
    EXPECT_FALSE(parse_usage_usec("user_usec 12\n").has_value());
    EXPECT_FALSE(parse_usage_usec("").has_value());
}

/// Plain files stand for the cgroup's: pread and pwrite are all the meter does with them.
class CgroupFiles {
public:
    explicit CgroupFiles(const test::TempDir& dir)
        : cpu(::open(dir.path("cpu").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)),
          memory(::open(dir.path("memory").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {}
    static void set(const UniqueFd& fd, std::string_view text) {
        ASSERT_EQ(::ftruncate(fd.get(), 0), 0);
        ASSERT_EQ(::pwrite(fd.get(), text.data(), text.size(), 0), ssize_t(text.size()));
    }
    UniqueFd cpu;
    UniqueFd memory;
};

TEST(CgroupMeter, ChargesDifferencesThatAddUp) {
    const test::FdLeakCheck leaks;
    const test::TempDir dir;
    const CgroupFiles files(dir);
    CgroupMeter meter({.cpu_fd = files.cpu.get(), .memory_fd = files.memory.get()});
    CgroupFiles::set(files.memory, "4096\n");
    CgroupFiles::set(files.cpu, "1500\n");
    EXPECT_EQ(meter.prime().value().cpu_us, 1U);  // the init's
    std::uint64_t sum_us = 1;
    std::uint64_t total_ns = 1500;
    for (const std::uint64_t step_ns : {999U, 1U, 2500U, 0U, 123'456'789U}) {
        total_ns += step_ns;
        CgroupFiles::set(files.cpu, std::to_string(total_ns) + "\n");
        ASSERT_TRUE(meter.begin().has_value());
        const auto use = meter.end();
        ASSERT_TRUE(use.has_value());
        EXPECT_EQ(use->memory_peak_bytes, 4096U);
        sum_us += use->cpu_us;
    }
    EXPECT_EQ(sum_us, total_ns / 1000);
}

TEST(CgroupMeter, ResetsThePeakOnlyWhereItCan) {
    const test::TempDir dir;
    const CgroupFiles files(dir);
    CgroupFiles::set(files.memory, "77\n");
    CgroupMeter without({.memory_fd = files.memory.get(), .cgroup_v2 = true});
    ASSERT_TRUE(without.begin().has_value());
    EXPECT_EQ(without.end().value().memory_peak_bytes, 77U);
    CgroupFiles::set(files.memory, "7\n");
    CgroupMeter with({.memory_fd = files.memory.get(), .cgroup_v2 = true, .peak_resets = true});
    ASSERT_TRUE(with.begin().has_value());
    EXPECT_EQ(with.end().value().memory_peak_bytes, 0U);
}

TEST(CgroupMeter, SaysWhenTheCgroupIsGone) {
    CgroupMeter meter({.cpu_fd = 1 << 20});
    const auto use = meter.end();
    ASSERT_FALSE(use.has_value());
    EXPECT_EQ(use.error().code, Errc::kSystem);
    EXPECT_EQ(use.error().sys_errno, EBADF);
    EXPECT_EQ(CgroupMeter().end().value().cpu_us, 0U) << "no files: nothing to charge";
}

}  // namespace
}  // namespace hako::meter
