#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hako::meter {

inline constexpr std::size_t kRequestIdTextBytes = 36;

/// A UUID in network byte order.
struct RequestId {
    std::array<std::uint8_t, 16> bytes = {};

    [[nodiscard]] auto operator<=>(const RequestId&) const noexcept = default;
    /// Writes the 36 lower-case characters; no terminator.
    void write_text(char* out) const noexcept;
    /// The 36 characters by value, for formatting.
    [[nodiscard]] std::array<char, kRequestIdTextBytes> text() const noexcept;
    /// Nothing unless `text` is exactly 8-4-4-4-12 hex digits (either case).
    [[nodiscard]] static std::optional<RequestId> parse(std::string_view text) noexcept;
};

/// Makes random (version 4) ids from a pool of kernel randomness that is refilled with one
/// getrandom(2) per 256 ids. One thread. Used bytes are wiped, so a memory leak later does not show
/// past ids.
class RequestIdGenerator {
public:
    [[nodiscard]] RequestId next() noexcept;
    /// 32 hex characters of a log stream name.
    void write_hex32(char* out) noexcept;

private:
    static constexpr std::size_t kPoolBytes = 4096;
    [[nodiscard]] std::array<std::uint8_t, 16> take() noexcept;
    std::array<std::uint8_t, kPoolBytes> pool_ = {};
    std::size_t used_bytes_ = kPoolBytes;
};

}  // namespace hako::meter
