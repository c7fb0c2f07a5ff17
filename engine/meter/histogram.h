#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace hako::meter {

/// Counts of values in log-linear buckets (as HdrHistogram): exact below 32, then 32 buckets per
/// power of two, up to 2^37 - 1 (38 hours in microseconds; larger values count as that). A quantile
/// is within 1/64 of the true value. Fixed memory (8.3 KiB), no allocation, mergeable.
class Histogram {
public:
    static constexpr std::uint32_t kSubBits = 5;
    static constexpr std::uint64_t kValueMax = (1ULL << 37U) - 1;
    static constexpr std::size_t kBucketsCount = (37 - kSubBits + 1) << kSubBits;

    void record(std::uint64_t value) noexcept;
    void merge(const Histogram& other) noexcept;

    /// The value below or at which a share `q` (0..1) of the values lies: bucket middle, within the
    /// recorded minimum and maximum; 0 if empty.
    [[nodiscard]] std::uint64_t quantile(double q) const noexcept;
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    [[nodiscard]] std::uint64_t sum() const noexcept { return sum_; }  // exact, of the raw values
    [[nodiscard]] std::uint64_t min() const noexcept { return count_ == 0 ? 0 : min_; }
    [[nodiscard]] std::uint64_t max() const noexcept { return max_; }

    /// For exporters: how many values are in bucket `index`, and the largest value it holds.
    [[nodiscard]] std::uint64_t bucket_count(std::size_t index) const noexcept {
        return buckets_[index];
    }
    [[nodiscard]] static std::size_t bucket_index(std::uint64_t value) noexcept;
    [[nodiscard]] static std::uint64_t bucket_low(std::size_t index) noexcept;
    [[nodiscard]] static std::uint64_t bucket_high(std::size_t index) noexcept;

private:
    std::uint64_t count_ = 0;
    std::uint64_t sum_ = 0;
    std::uint64_t min_ = UINT64_MAX;
    std::uint64_t max_ = 0;
    std::array<std::uint64_t, kBucketsCount> buckets_ = {};
};

}  // namespace hako::meter
