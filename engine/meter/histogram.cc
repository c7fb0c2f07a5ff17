#include "engine/meter/histogram.h"

#include <algorithm>
#include <cmath>

namespace hako::meter {

std::size_t Histogram::bucket_index(std::uint64_t value) noexcept {
    constexpr std::uint64_t kSubCount = 1U << kSubBits;
    value = std::min(value, kValueMax);
    if (value < kSubCount) {
        return value;
    }
    const auto shift = static_cast<std::uint64_t>(std::bit_width(value)) - 1 - kSubBits;
    return ((shift + 1) << kSubBits) + (value >> shift) - kSubCount;
}

std::uint64_t Histogram::bucket_low(std::size_t index) noexcept {
    constexpr std::uint64_t kSubCount = 1U << kSubBits;
    if (index < kSubCount) {
        return index;
    }
    const std::uint64_t shift = (index >> kSubBits) - 1;
    return (kSubCount + (index & (kSubCount - 1))) << shift;
}

std::uint64_t Histogram::bucket_high(std::size_t index) noexcept {
    return bucket_low(index + 1) - 1;
}

void Histogram::record(std::uint64_t value) noexcept {
    ++buckets_[bucket_index(value)];
    ++count_;
    sum_ += value;
    min_ = std::min(min_, value);
    max_ = std::max(max_, value);
}

void Histogram::merge(const Histogram& other) noexcept {
    for (std::size_t i = 0; i < kBucketsCount; ++i) {
        buckets_[i] += other.buckets_[i];
    }
    count_ += other.count_;
    sum_ += other.sum_;
    min_ = std::min(min_, other.min_);
    max_ = std::max(max_, other.max_);
}

std::uint64_t Histogram::quantile(double q) const noexcept {
    if (count_ == 0) {
        return 0;
    }
    const double place = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_));
    const auto rank = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(place), 1, count_);
    std::uint64_t seen_count = 0;
    for (std::size_t i = 0; i < kBucketsCount; ++i) {
        seen_count += buckets_[i];
        if (seen_count >= rank) {
            const std::uint64_t low = bucket_low(i);
            const std::uint64_t middle = low + (bucket_high(i) - low) / 2;
            return std::clamp(middle, min_, max_);
        }
    }
    return max_;
}

}  // namespace hako::meter
