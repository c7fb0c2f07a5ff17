#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/meter/ledger_record.h"
#include "engine/meter/ledger_segment.h"

namespace hako::meter {

/// Streams the records of a ledger directory in order, also while an engine appends to it (it takes
/// no lock; a record counts once its crc is there). One thread; memory is one block of records.
class LedgerReader {
public:
    /// Errors: kNotFound (no such directory), kSystem.
    [[nodiscard]] static Result<LedgerReader> open(const std::string& directory);

    /// True and the next record; false at the present end (a later call sees what came since).
    /// Errors: kInvalid (damaged segment header), kSystem.
    [[nodiscard]] Result<bool> next(LedgerRecord& record);

    /// Unreadable records and missing segments met so far.
    [[nodiscard]] std::uint64_t gap_records_count() const noexcept { return gap_records_count_; }
    [[nodiscard]] std::uint64_t segments_missing_count() const noexcept {
        return segments_missing_count_;
    }

private:
    static constexpr std::size_t kBlockRecords = 256;
    enum class Behind : std::uint8_t { kNothing, kRecords, kSegment };
    LedgerReader() = default;
    [[nodiscard]] Result<bool> open_segment_after(std::uint64_t number);
    [[nodiscard]] Result<void> fill_block();
    [[nodiscard]] Result<Behind> look_behind();
    [[nodiscard]] Result<void> skip_gap();
    [[nodiscard]] bool slot_valid(const LedgerRecord& record, std::uint64_t index) const noexcept;

    UniqueFd directory_;
    UniqueFd fd_;
    SegmentHeader header_;  // number 0: none open yet
    std::uint64_t index_ = 0;
    std::uint64_t block_first_ = 0;
    std::size_t block_count_ = 0;
    std::uint64_t gap_records_count_ = 0;
    std::uint64_t segments_missing_count_ = 0;
    std::vector<LedgerRecord> block_;
};

}  // namespace hako::meter
