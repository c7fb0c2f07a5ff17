#include "engine/registry/zip_directory.h"

#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "engine/base/result.h"
#include "engine/registry/code_store.h"

namespace hako::registry {

namespace {

constexpr std::uint32_t kEndSignature = 0x06054b50;
constexpr std::uint32_t kEnd64Signature = 0x06064b50;
constexpr std::uint32_t kLocatorSignature = 0x07064b50;
constexpr std::uint32_t kEntrySignature = 0x02014b50;
constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kEnd64Bytes = 56;
constexpr std::size_t kLocatorBytes = 20;
constexpr std::size_t kEntryBytes = 46;

/// Little-endian field at `offset`; the caller has checked the bounds.
template <typename T>
T field(std::span<const std::byte> zip, std::size_t offset) {
    T value;
    std::memcpy(&value, zip.data() + offset, sizeof(value));
    return value;
}

struct Directory {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::uint64_t entries = 0;
};

/// The end record: the last one whose comment ends where the zip ends.
std::optional<std::size_t> find_end(std::span<const std::byte> zip) {
    if (zip.size() < kEndBytes) {
        return std::nullopt;
    }
    const std::size_t last = zip.size() - kEndBytes;
    const std::size_t first = last > UINT16_MAX ? last - UINT16_MAX : 0;
    for (std::size_t at = last + 1; at-- > first;) {
        if (field<std::uint32_t>(zip, at) == kEndSignature &&
            at + kEndBytes + field<std::uint16_t>(zip, at + 20) == zip.size()) {
            return at;
        }
    }
    return std::nullopt;
}

std::expected<Directory, std::string> read_end(std::span<const std::byte> zip, std::size_t end) {
    Directory found{
        .offset = field<std::uint32_t>(zip, end + 16),
        .bytes = field<std::uint32_t>(zip, end + 12),
        .entries = field<std::uint16_t>(zip, end + 10),
    };
    if (field<std::uint16_t>(zip, end + 4) != 0 || field<std::uint16_t>(zip, end + 6) != 0) {
        return std::unexpected("it is one of several volumes");
    }
    const bool is_zip64 =
        found.offset == UINT32_MAX || found.bytes == UINT32_MAX || found.entries == UINT16_MAX;
    if (is_zip64 && end >= kLocatorBytes &&
        field<std::uint32_t>(zip, end - kLocatorBytes) == kLocatorSignature) {
        const auto at = field<std::uint64_t>(zip, end - kLocatorBytes + 8);
        if (at > zip.size() || zip.size() - at < kEnd64Bytes ||
            field<std::uint32_t>(zip, at) != kEnd64Signature) {
            return std::unexpected("its ZIP64 end record is broken");
        }
        found.entries = field<std::uint64_t>(zip, at + 32);
        found.bytes = field<std::uint64_t>(zip, at + 40);
        found.offset = field<std::uint64_t>(zip, at + 48);
    }
    if (found.offset > end || found.bytes > end - found.offset) {
        return std::unexpected("its central directory is truncated");
    }
    if (found.entries > kPackageEntriesMax) {
        return std::unexpected(
            fmt::format("it has {} entries, the limit is {}", found.entries, kPackageEntriesMax)
        );
    }
    return found;
}

}  // namespace

std::expected<std::vector<ZipEntry>, std::string> read_zip_directory(std::span<const std::byte> zip
) {
    const auto end = find_end(zip);
    if (!end) {
        return std::unexpected("it is not a zip, or it is truncated");
    }
    TRY_ASSIGN(const Directory directory, read_end(zip, *end));
    std::vector<ZipEntry> entries;
    std::size_t at = directory.offset;
    const std::size_t limit = directory.offset + directory.bytes;
    for (std::uint64_t i = 0; i < directory.entries; ++i) {
        if (limit - at < kEntryBytes || field<std::uint32_t>(zip, at) != kEntrySignature) {
            return std::unexpected("its central directory is broken");
        }
        const std::size_t name_bytes = field<std::uint16_t>(zip, at + 28);
        const std::size_t all_bytes = kEntryBytes + name_bytes +
                                      field<std::uint16_t>(zip, at + 30) +
                                      field<std::uint16_t>(zip, at + 32);
        if (limit - at < all_bytes) {
            return std::unexpected("its central directory is broken");
        }
        ZipEntry entry{
            .name = {reinterpret_cast<const char*>(zip.data()) + at + kEntryBytes, name_bytes},
            .flags = field<std::uint16_t>(zip, at + 8),
            .host = static_cast<std::uint8_t>(field<std::uint16_t>(zip, at + 4) >> 8U),
        };
        if (entry.host == 3 || entry.host == 19) {
            entry.unix_mode = field<std::uint32_t>(zip, at + 38) >> 16U;
        }
        entries.push_back(entry);
        at += all_bytes;
    }
    if (at != limit) {
        return std::unexpected("its central directory has bytes that belong to no entry");
    }
    return entries;
}

}  // namespace hako::registry
