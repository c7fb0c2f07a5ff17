#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace hako::observe {

inline constexpr std::size_t kTailBytes = 4096;  // Lambda's LogResult

/// The last 4096 bytes of one invocation's log, START, END and REPORT lines included. Fixed memory.
class TailBuffer {
public:
    void clear() noexcept { total_bytes_ = 0; }
    void append(std::string_view text) noexcept;
    [[nodiscard]] std::size_t size_bytes() const noexcept;
    /// Copies the tail, oldest byte first, and returns how many bytes it is.
    std::size_t copy_to(std::span<char, kTailBytes> out) const noexcept;

private:
    std::uint64_t total_bytes_ = 0;
    std::array<char, kTailBytes> ring_ = {};
};

}  // namespace hako::observe
