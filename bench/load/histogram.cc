#include "bench/load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

namespace hako::bench {

// Values under 256 have a bucket each; above, the top 8 bits of a value choose its bucket.
std::size_t Histogram::bucket_of(std::uint64_t value) noexcept {
    if (value < 2 * kHalfBuckets) {
        return value;
    }
    const auto shift = static_cast<std::uint32_t>(std::bit_width(value)) - 8;
    const std::uint64_t top = value >> shift;
    return kHalfBuckets * (shift + 1) + (top - kHalfBuckets);
}

double Histogram::middle_of(std::size_t bucket) noexcept {
    if (bucket < 2 * kHalfBuckets) {
        return static_cast<double>(bucket);
    }
    const std::size_t shift = bucket / kHalfBuckets - 1;
    const std::uint64_t top = kHalfBuckets + bucket % kHalfBuckets;
    return static_cast<double>(top << shift) + static_cast<double>(1ULL << shift) / 2;
}

void Histogram::record(std::int64_t value_ns) noexcept {
    const std::int64_t value = std::clamp<std::int64_t>(value_ns, 0, std::int64_t{1} << kValueBits);
    buckets_.at(std::min(bucket_of(static_cast<std::uint64_t>(value)), kBucketCount - 1)) += 1;
    count_ += 1;
    sum_ns_ += static_cast<double>(value);
    max_ns_ = std::max(max_ns_, value);
    min_ns_ = std::min(min_ns_, value);
}

void Histogram::merge(const Histogram& other) noexcept {
    std::ranges::transform(buckets_, other.buckets_, buckets_.begin(), std::plus<>());
    count_ += other.count_;
    sum_ns_ += other.sum_ns_;
    max_ns_ = std::max(max_ns_, other.max_ns_);
    min_ns_ = std::min(min_ns_, other.min_ns_);
}

double Histogram::quantile_ns(double fraction) const noexcept {
    if (count_ == 0) {
        return 0;
    }
    const auto rank = std::max<std::uint64_t>(
        1, static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count_)))
    );
    std::uint64_t seen = 0;
    for (std::size_t bucket = 0; bucket < kBucketCount; ++bucket) {
        seen += buckets_.at(bucket);
        if (seen >= rank) {
            return std::clamp(
                middle_of(bucket), static_cast<double>(min_ns_), static_cast<double>(max_ns_)
            );
        }
    }
    return static_cast<double>(max_ns_);
}

double Histogram::mean_ns() const noexcept {
    return count_ == 0 ? 0 : sum_ns_ / static_cast<double>(count_);
}

}  // namespace hako::bench
