#include "engine/meter/ledger_reader.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace hako::meter {
namespace {

/// Fills as much of `into` as the file has from record `index` on; returns the records read.
Result<std::size_t> read_records(int fd, std::uint64_t index, std::span<LedgerRecord> into) {
    const std::span<std::byte> bytes = std::as_writable_bytes(into);
    const std::uint64_t start = kSegmentHeaderBytes + index * sizeof(LedgerRecord);
    std::size_t filled_bytes = 0;
    while (filled_bytes < bytes.size()) {
        const ssize_t got = ::pread(
            fd,
            bytes.data() + filled_bytes,
            bytes.size() - filled_bytes,
            static_cast<off_t>(start + filled_bytes)
        );
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail_errno("read ledger segment");
        }
        if (got == 0) {
            break;
        }
        filled_bytes += static_cast<std::size_t>(got);
    }
    return filled_bytes / sizeof(LedgerRecord);
}

Result<UniqueFd> open_segment(int directory_fd, std::uint64_t number) {
    UniqueFd fd(
        ::openat(directory_fd, segment_name(number).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
    );
    if (!fd) {
        return fail_errno("open ledger segment");
    }
    return fd;
}

}  // namespace

Result<LedgerReader> LedgerReader::open(const std::string& directory) {
    LedgerReader reader;
    reader.directory_.reset(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!reader.directory_) {
        return errno == ENOENT ? fail(Errc::kNotFound, "no ledger directory")
                               : fail_errno("open ledger directory");
    }
    reader.header_.number = 0;
    reader.header_.records_count_max = 0;
    reader.block_.resize(kBlockRecords);
    return reader;
}

Result<bool> LedgerReader::next(LedgerRecord& record) {
    while (true) {
        if (index_ == header_.records_count_max) {
            TRY_ASSIGN(const bool opened, open_segment_after(header_.number));
            if (!opened) {
                return false;
            }
        }
        if (index_ < block_first_ || index_ >= block_first_ + block_count_) {
            TRY(fill_block());
        }
        const std::uint64_t in_block = index_ - block_first_;
        if (in_block < block_count_ && slot_valid(block_[in_block], index_)) {
            record = block_[in_block];
            ++index_;
            return true;
        }
        TRY_ASSIGN(const Behind behind, look_behind());
        if (behind == Behind::kNothing) {
            block_count_ = 0;  // read again next time
            return false;
        }
        TRY(skip_gap());
    }
}

/// Something lies behind the record at `index_`. Records are published in order, so by now this one
/// is complete, and everything else before what was seen; what still is not valid never will be.
/// Hence the second look: the first one may have been overtaken by the writer.
Result<void> LedgerReader::skip_gap() {
    TRY(fill_block());
    if (block_count_ > 0 && slot_valid(block_[0], index_)) {
        return {};
    }
    TRY_ASSIGN(const Behind behind, look_behind());
    const std::uint64_t lost_count =
        behind == Behind::kRecords ? 1 : header_.records_count_max - index_;
    gap_records_count_ += lost_count;
    index_ += lost_count;
    return {};
}

bool LedgerReader::slot_valid(const LedgerRecord& record, std::uint64_t index) const noexcept {
    return check_slot(record, header_.first_sequence + index) == SlotState::kValid;
}

Result<void> LedgerReader::fill_block() {
    const std::uint64_t wanted_count =
        std::min<std::uint64_t>(kBlockRecords, header_.records_count_max - index_);
    block_first_ = index_;
    block_count_ = 0;
    TRY_ASSIGN(
        block_count_, read_records(fd_.get(), index_, std::span(block_).first(wanted_count))
    );
    return {};
}

/// Whether any valid record comes after `index_`: in this segment, or in a later one.
Result<LedgerReader::Behind> LedgerReader::look_behind() {
    std::vector<LedgerRecord> block(kBlockRecords);
    for (std::uint64_t index = index_ + 1; index < header_.records_count_max;) {
        const std::uint64_t wanted_count =
            std::min<std::uint64_t>(kBlockRecords, header_.records_count_max - index);
        TRY_ASSIGN(
            const std::size_t count,
            read_records(fd_.get(), index, std::span(block).first(wanted_count))
        );
        if (count == 0) {
            break;
        }
        for (std::size_t i = 0; i < count; ++i) {
            if (slot_valid(block[i], index + i)) {
                return Behind::kRecords;
            }
        }
        index += count;
    }
    TRY_ASSIGN(const std::vector<std::uint64_t> numbers, list_segments(directory_.get()));
    for (const std::uint64_t number : numbers) {
        if (number <= header_.number) {
            continue;
        }
        TRY_ASSIGN(const UniqueFd fd, open_segment(directory_.get(), number));
        TRY_ASSIGN(const SegmentHeader header, read_segment_header(fd.get(), number));
        TRY_ASSIGN(const std::size_t count, read_records(fd.get(), 0, block));
        for (std::size_t i = 0; i < std::min<std::size_t>(count, header.records_count_max); ++i) {
            if (check_slot(block[i], header.first_sequence + i) == SlotState::kValid) {
                return Behind::kSegment;
            }
        }
    }
    return Behind::kNothing;
}

Result<bool> LedgerReader::open_segment_after(std::uint64_t number) {
    TRY_ASSIGN(const std::vector<std::uint64_t> numbers, list_segments(directory_.get()));
    const auto found = std::upper_bound(numbers.begin(), numbers.end(), number);
    if (found == numbers.end()) {
        return false;
    }
    TRY_ASSIGN(UniqueFd fd, open_segment(directory_.get(), *found));
    TRY_ASSIGN(const SegmentHeader header, read_segment_header(fd.get(), *found));
    // Old segments may have been moved away, so the first number we meet is where it starts.
    segments_missing_count_ += number == 0 ? 0 : *found - number - 1;
    fd_ = std::move(fd);
    header_ = header;
    index_ = 0;
    block_first_ = 0;
    block_count_ = 0;
    return true;
}

}  // namespace hako::meter
