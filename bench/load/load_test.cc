#include <gtest/gtest.h>

#include "bench/load/histogram.h"
#include "bench/load/payload.h"

namespace hako::bench {
namespace {

TEST(Histogram, QuantilesAreWithinHalfAPercent) {
    Histogram histogram;
    for (std::int64_t value_ns = 1; value_ns <= 1'000'000; ++value_ns) {
        histogram.record(value_ns);
    }
    EXPECT_EQ(histogram.count(), 1'000'000U);
    for (const double fraction : {0.001, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
        const double expected = fraction * 1e6;
        EXPECT_NEAR(histogram.quantile_ns(fraction), expected, expected * 0.005) << fraction;
    }
    EXPECT_EQ(histogram.max_ns(), 1'000'000);
    EXPECT_EQ(histogram.min_ns(), 1);
    EXPECT_NEAR(histogram.mean_ns(), 500'000.5, 1e-3);
}

TEST(Histogram, QuantilesNeverLeaveTheRangeSeen) {
    Histogram histogram;
    histogram.record(1'000'003);
    EXPECT_DOUBLE_EQ(histogram.quantile_ns(0.5), 1'000'003.0);
    EXPECT_DOUBLE_EQ(histogram.quantile_ns(1.0), 1'000'003.0);
}

TEST(Histogram, IsZeroWhenEmpty) {
    const Histogram histogram;
    EXPECT_DOUBLE_EQ(histogram.quantile_ns(0.5), 0);
    EXPECT_DOUBLE_EQ(histogram.mean_ns(), 0);
    EXPECT_EQ(histogram.min_ns(), 0);
}

TEST(Histogram, KeepsExtremesInItsLastAndFirstBucket) {
    Histogram histogram;
    histogram.record(INT64_MAX);
    histogram.record(-5);
    EXPECT_EQ(histogram.count(), 2U);
    EXPECT_EQ(histogram.min_ns(), 0);
    EXPECT_EQ(histogram.max_ns(), std::int64_t{1} << 42);
    EXPECT_NEAR(histogram.quantile_ns(1.0), static_cast<double>(std::int64_t{1} << 42), 2e10);
}

TEST(Histogram, MergeIsTheSameAsRecordingBoth) {
    Histogram both;
    Histogram left;
    Histogram right;
    for (std::int64_t value_ns = 100; value_ns < 100'000; value_ns += 7) {
        both.record(value_ns);
        (value_ns % 2 == 0 ? left : right).record(value_ns);
    }
    left.merge(right);
    EXPECT_EQ(left.count(), both.count());
    EXPECT_EQ(left.max_ns(), both.max_ns());
    EXPECT_EQ(left.min_ns(), both.min_ns());
    EXPECT_DOUBLE_EQ(left.quantile_ns(0.99), both.quantile_ns(0.99));
}

TEST(Payload, HasTheSizeAskedForAndDiffersByNumber) {
    for (const std::size_t bytes : {12U, 16U, 27U, 28U, 64U, 6'291'456U}) {
        Payload payload(bytes);
        const std::string first(payload.text(1));
        EXPECT_EQ(first.size(), bytes);
        EXPECT_NE(first, payload.text(2)) << bytes;
        EXPECT_EQ(payload.text(1), first) << bytes;
    }
    EXPECT_EQ(Payload(Payload::kBytesMin).text(7), "\"7\"");
    EXPECT_EQ(Payload(29).text(42), R"({"id":"0000000042","pad":"a"})");
}

TEST(Payload, MatchesOnlyItsOwnNumber) {
    Payload payload(64);
    const std::string answer(payload.text(42));
    EXPECT_TRUE(payload.matches(42, answer));
    EXPECT_FALSE(payload.matches(43, answer));
    EXPECT_FALSE(payload.matches(42, answer + "x"));
    EXPECT_FALSE(payload.matches(42, ""));
}

TEST(Payload, ForgivesSpacesBetweenTokensOnly) {
    Payload payload(29);
    EXPECT_TRUE(payload.matches(42, R"({"id": "0000000042", "pad": "a"})"));
    EXPECT_FALSE(payload.matches(42, R"({"id": "00000000 42", "pad": "a"})"));
    EXPECT_TRUE(same_but_for_spaces(R"(["a\" b" , 1])", R"(["a\" b",1])"));
    EXPECT_FALSE(same_but_for_spaces(R"(["a\" b"])", R"(["a\"b"])"));
}

}  // namespace
}  // namespace hako::bench
