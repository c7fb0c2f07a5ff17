#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace hako::meter {

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `bytes`; the SSE 4.2 instruction where the
/// processor has it.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept;

/// The same by table, for processors without the instruction and for the test that compares both.
[[nodiscard]] std::uint32_t crc32c_table(std::span<const std::byte> bytes) noexcept;

}  // namespace hako::meter
