#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/mapping.h"
#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/meter/ledger_record.h"

// One file of the ledger: a header page, then records. Only ledger.cc and ledger_reader.cc use it.
namespace hako::meter {

inline constexpr std::size_t kSegmentHeaderBytes = 4096;
inline constexpr std::uint64_t kSegmentMagic = 0x3152444c4f4b4148;  // "HAKOLDR1"
inline constexpr std::uint32_t kSegmentVersion = 1;
inline constexpr std::uint64_t kSegmentBytesMin = kSegmentHeaderBytes + 16 * sizeof(LedgerRecord);
inline constexpr std::uint64_t kSegmentBytesMax = 1ULL << 30U;

struct SegmentHeader {
    std::uint64_t magic = kSegmentMagic;
    std::uint32_t version = kSegmentVersion;
    std::uint32_t record_bytes = sizeof(LedgerRecord);
    std::uint64_t number = 0;
    std::uint64_t first_sequence = 0;
    std::uint64_t records_count_max = 0;
    std::uint32_t reserved = 0;
    std::uint32_t crc32c = 0;  // over everything before it
};
static_assert(sizeof(SegmentHeader) == 48);

enum class SlotState : std::uint8_t { kEmpty, kValid, kBad };

/// `kValid` if the record carries its crc and the sequence number its place demands, `kEmpty` if it
/// is all zeros.
[[nodiscard]] SlotState check_slot(
    const LedgerRecord& record, std::uint64_t sequence_expected
) noexcept;

/// `00000001.led`
[[nodiscard]] std::string segment_name(std::uint64_t number);
/// Numbers of the segments in a ledger directory, ascending. Errors: kSystem.
[[nodiscard]] Result<std::vector<std::uint64_t>> list_segments(int directory_fd);
/// Reads and checks a header. Errors: kSystem, kInvalid (damaged, or of another version).
[[nodiscard]] Result<SegmentHeader> read_segment_header(int fd, std::uint64_t number);

/// A segment opened for appending.
struct Segment {
    SegmentHeader header;
    UniqueFd fd;
    Mapping mapping;
    std::uint64_t used_count = 0;  // the appending thread's
    Segment* next_retired = nullptr;

    /// Creates, preallocates and syncs the file under a temporary name, then gives it its own.
    /// Errors: kSystem (ENOSPC, EFBIG: nothing is left behind).
    [[nodiscard]] static Result<std::unique_ptr<Segment>> make(
        int directory_fd, const SegmentHeader& header
    );
    [[nodiscard]] static Result<std::unique_ptr<Segment>> open(
        int directory_fd, std::uint64_t number
    );

    /// Reserves blocks that a copied or restored (sparse) file lacks. Errors: kSystem.
    [[nodiscard]] Result<void> reserve_blocks() const;
    [[nodiscard]] LedgerRecord* slot(std::uint64_t index) const noexcept;
    [[nodiscard]] std::uint64_t free_count() const noexcept {
        return header.records_count_max - used_count;
    }
};

}  // namespace hako::meter
