#include "engine/meter/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace hako::meter {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // reflected

constexpr std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table = {};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) {
            value = (value >> 1U) ^ ((value & 1U) != 0 ? kPolynomial : 0);
        }
        table[i] = value;
    }
    return table;
}
constexpr std::array<std::uint32_t, 256> kTable = make_table();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse(std::span<const std::byte> bytes
) noexcept {
    std::uint64_t crc = 0xffffffff;
    while (bytes.size() >= sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data(), sizeof word);
        crc = _mm_crc32_u64(crc, word);
        bytes = bytes.subspan(sizeof word);
    }
    auto crc32 = static_cast<std::uint32_t>(crc);
    for (const std::byte byte : bytes) {
        crc32 = _mm_crc32_u8(crc32, std::to_integer<std::uint8_t>(byte));
    }
    return ~crc32;
}
#endif

}  // namespace

std::uint32_t crc32c_table(std::span<const std::byte> bytes) noexcept {
    std::uint32_t crc = 0xffffffff;
    for (const std::byte byte : bytes) {
        crc = (crc >> 8U) ^ kTable[(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xffU];
    }
    return ~crc;
}

std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2") != 0) {  // a load and a test: no need to keep the answer
        return crc32c_sse(bytes);
    }
#endif
    return crc32c_table(bytes);
}

}  // namespace hako::meter
