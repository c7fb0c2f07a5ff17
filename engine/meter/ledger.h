#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/meter/ledger_record.h"
#include "engine/meter/ledger_segment.h"

namespace hako::meter {

struct LedgerOptions {
    std::string directory;                    // STATE/ledger; made (0700) if missing
    // Of new segments, a multiple of 4096: two seconds of full load.
    std::uint64_t segment_bytes = 32U << 20U;
};

/// What `Ledger::open` found. Everything but records_count should be 0 after a kill; power loss may
/// leave gaps in what was not yet synced.
struct LedgerRecovery {
    std::uint64_t records_count = 0;           // valid ones in the segments that were checked
    std::uint64_t torn_count = 0;              // half-written last records, removed
    std::uint64_t gap_records_count = 0;       // unreadable records with readable ones behind them
    std::uint64_t segments_missing_count = 0;  // holes in the numbering
};

/// The one writer of the ledger directory. `append`, `wants_segment` and `slots_free_count` belong
/// to one thread (the loop's); `sync` and `prepare_next` may run on any other at the same time.
///
/// Durability: a record is in the page cache when `append` returns, so it survives the death of the
/// process; `sync` puts it on the disk. Files are preallocated, so a full disk cannot turn a store
/// into SIGBUS: it shows as a failing `prepare_next`, and in the end as kLimit.
class Ledger {
public:
    /// Opens or makes the directory, takes the writer's lock, recovers.
    /// Errors: kExists (another process holds the lock), kInvalid (a damaged header), kSystem.
    [[nodiscard]] static Result<std::unique_ptr<Ledger>> open(const LedgerOptions& options);
    ~Ledger();
    Ledger(const Ledger&) = delete;
    Ledger& operator=(const Ledger&) = delete;

    /// Stores `record`, sets its sequence and crc. No system call, lock or allocation. Errors:
    /// kLimit when the segment is full and the next is not there: admit no invocation unless
    /// `slots_free_count()` exceeds those in flight.
    [[nodiscard]] Result<void> append(LedgerRecord& record) noexcept;
    /// Records that can be appended for certain.
    [[nodiscard]] std::uint64_t slots_free_count() const noexcept;

    /// True if `prepare_next` should be offloaded.
    [[nodiscard]] bool wants_segment() const noexcept;
    /// Blocks: makes the next segment; nothing to do if there is one. Errors: kSystem (disk full):
    /// `wants_segment` stays true, so try again after a pause, not at once.
    [[nodiscard]] Result<void> prepare_next();

    /// Appended but not yet known to be on the disk.
    [[nodiscard]] bool dirty() const noexcept;
    /// Blocks: puts on the disk what was appended before the call, unmaps full segments, and maps
    /// the pages that the next appends will touch. Errors: kSystem (stays dirty).
    [[nodiscard]] Result<void> sync();

    [[nodiscard]] std::uint64_t last_sequence() const noexcept;
    [[nodiscard]] std::uint64_t synced_sequence() const noexcept;
    [[nodiscard]] const LedgerRecovery& recovery() const noexcept { return recovery_; }

private:
    Ledger() = default;
    struct Scan;
    [[nodiscard]] Result<void> recover();
    [[nodiscard]] Result<void> start_first(std::uint64_t number, std::uint64_t first_sequence);
    [[nodiscard]] Result<void> check_full(std::uint64_t number);
    [[nodiscard]] Scan scan(const Segment& segment) const noexcept;
    void remove_torn(const Segment& segment, std::uint64_t used_count) noexcept;
    [[nodiscard]] SegmentHeader header_for(std::uint64_t number, std::uint64_t first_sequence)
        const noexcept;
    [[nodiscard]] bool roll() noexcept;
    void retire(Segment* segment) noexcept;
    [[nodiscard]] Result<bool> sync_retired(const Segment* current);
    void rearm_pages(const Segment& segment, std::uint64_t sequence) noexcept;

    std::uint64_t segment_bytes_ = 0;
    UniqueFd directory_;
    UniqueFd lock_;
    LedgerRecovery recovery_;
    // Written by the appending thread; sync reads the pointer under sync_mutex_, and only sync
    // deletes segments.
    std::atomic<Segment*> current_ = nullptr;
    std::atomic<Segment*> next_ = nullptr;
    std::atomic<Segment*> retired_ = nullptr;
    std::atomic<std::uint64_t> last_sequence_ = 0;
    std::atomic<std::uint64_t> synced_sequence_ = 0;
    std::mutex sync_mutex_;            // sync against sync; append never takes it
    std::mutex prepare_mutex_;         // prepare_next against prepare_next
    std::uint64_t dropped_bytes_ = 0;  // of the current mapping, handed back by sync
    const Segment* dropped_of_ = nullptr;
};

}  // namespace hako::meter
