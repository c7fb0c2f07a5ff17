#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hako::registry {

/// One entry of a zip's central directory; the name is a view into the zip.
struct ZipEntry {
    std::string_view name;
    std::uint16_t flags = 0;
    std::uint8_t host = 0;        // who made it: 3 is Unix, 19 macOS
    std::uint32_t unix_mode = 0;  // 0 unless the host is Unix

    [[nodiscard]] bool is_encrypted() const noexcept { return (flags & 1U) != 0; }
};

/// Reads the central directory itself, before libzip does: libzip gives names as C strings, so a
/// NUL in one would hide what follows. Errors: a sentence saying what is wrong.
[[nodiscard]] std::expected<std::vector<ZipEntry>, std::string> read_zip_directory(
    std::span<const std::byte> zip
);

}  // namespace hako::registry
