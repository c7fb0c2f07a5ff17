#include "engine/meter/ledger.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/ensure.h"

namespace hako::meter {
namespace {

constexpr std::uint64_t kPageBytes = 4096;
// Pages mapped ahead of the next append after each sync, off the loop: a sync write-protects what
// it wrote, and the fault that undoes this costs the loop microseconds. Four pages are 64 records.
constexpr std::uint64_t kPagesAhead = 4;

Result<void> check_options(const LedgerOptions& options) {
    if (options.segment_bytes < kSegmentBytesMin || options.segment_bytes > kSegmentBytesMax ||
        options.segment_bytes % kPageBytes != 0) {
        return fail(Errc::kInvalid, "ledger segment_bytes");
    }
    return {};
}

Result<UniqueFd> open_directory(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) < 0 && errno != EEXIST) {
        return fail_errno("make ledger directory");
    }
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
        return fail_errno("open ledger directory");
    }
    return fd;
}

/// The lock goes with the open file, so it ends with the process however that ends.
Result<UniqueFd> take_lock(int directory_fd) {
    UniqueFd fd(::openat(directory_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) {
        return fail_errno("open ledger lock");
    }
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK ? fail(Errc::kExists, "ledger is in use by another process")
                                    : fail_errno("lock ledger");
    }
    return fd;
}

}  // namespace

struct Ledger::Scan {
    std::uint64_t valid_count = 0;
    std::uint64_t used_count = 0;  // index behind the last valid record
};

Result<std::unique_ptr<Ledger>> Ledger::open(const LedgerOptions& options) {
    TRY(check_options(options));
    std::unique_ptr<Ledger> ledger(new Ledger());
    ledger->segment_bytes_ = options.segment_bytes;
    TRY_ASSIGN(ledger->directory_, open_directory(options.directory));
    TRY_ASSIGN(ledger->lock_, take_lock(ledger->directory_.get()));
    TRY(ledger->recover());
    // What a killed process left is in the page cache only: from here on it is on the disk.
    TRY(ledger->sync());
    TRY(ledger->prepare_next());
    return ledger;
}

Ledger::~Ledger() {
    delete current_.load(std::memory_order_acquire);
    delete next_.load(std::memory_order_acquire);
    for (Segment* segment = retired_.load(std::memory_order_acquire); segment != nullptr;) {
        delete std::exchange(segment, segment->next_retired);
    }
}

SegmentHeader Ledger::header_for(std::uint64_t number, std::uint64_t first_sequence)
    const noexcept {
    return SegmentHeader{
        .number = number,
        .first_sequence = first_sequence,
        .records_count_max = (segment_bytes_ - kSegmentHeaderBytes) / sizeof(LedgerRecord),
    };
}

Result<void> Ledger::start_first(std::uint64_t number, std::uint64_t first_sequence) {
    TRY_ASSIGN(
        std::unique_ptr<Segment> segment,
        Segment::make(directory_.get(), header_for(number, first_sequence))
    );
    current_.store(segment.release(), std::memory_order_release);
    return {};
}

Ledger::Scan Ledger::scan(const Segment& segment) const noexcept {
    Scan result;
    for (std::uint64_t i = 0; i < segment.header.records_count_max; ++i) {
        if (check_slot(*segment.slot(i), segment.header.first_sequence + i) == SlotState::kValid) {
            ++result.valid_count;
            result.used_count = i + 1;
        }
    }
    return result;
}

void Ledger::remove_torn(const Segment& segment, std::uint64_t used_count) noexcept {
    for (std::uint64_t i = used_count; i < segment.header.records_count_max; ++i) {
        LedgerRecord* slot = segment.slot(i);
        if (check_slot(*slot, segment.header.first_sequence + i) == SlotState::kBad) {
            std::memset(static_cast<void*>(slot), 0, sizeof *slot);
            ++recovery_.torn_count;
        }
    }
}

Result<void> Ledger::check_full(std::uint64_t number) {
    TRY_ASSIGN(const std::unique_ptr<Segment> segment, Segment::open(directory_.get(), number));
    const Scan found = scan(*segment);
    recovery_.records_count += found.valid_count;
    recovery_.gap_records_count += segment->header.records_count_max - found.valid_count;
    if (::fdatasync(segment->fd.get()) < 0) {
        return fail_errno("sync ledger segment");
    }
    return {};
}

/// Walks back from the newest segment to the newest one with a record: that is the one to go on
/// with. Only it and the one before are read, because no older one can be unsynced.
Result<void> Ledger::recover() {
    TRY_ASSIGN(const std::vector<std::uint64_t> numbers, list_segments(directory_.get()));
    if (numbers.empty()) {
        return start_first(1, 1);
    }
    recovery_.segments_missing_count = numbers.back() - numbers.front() + 1 - numbers.size();
    std::unique_ptr<Segment> above;
    std::unique_ptr<Segment> current;
    std::size_t place = numbers.size();
    while (true) {
        --place;
        TRY_ASSIGN(current, Segment::open(directory_.get(), numbers[place]));
        const Scan found = scan(*current);
        TRY(current->reserve_blocks());  // before the first store into it
        remove_torn(*current, found.used_count);
        if (found.used_count > 0 || place == 0) {
            current->used_count = found.used_count;
            recovery_.records_count += found.valid_count;
            recovery_.gap_records_count += found.used_count - found.valid_count;
            break;
        }
        above = std::move(current);
    }
    if (place > 0 && numbers[place - 1] + 1 == current->header.number) {
        TRY(check_full(numbers[place - 1]));
    }
    const std::uint64_t next_first =
        current->header.first_sequence + current->header.records_count_max;
    const bool keep_above = above != nullptr &&
                            above->header.number == current->header.number + 1 &&
                            above->header.first_sequence == next_first;
    // Empty segments that nobody will get to: prepare_next makes them anew.
    for (std::size_t i = place + (keep_above ? 2 : 1); i < numbers.size(); ++i) {
        if (::unlinkat(directory_.get(), segment_name(numbers[i]).c_str(), 0) < 0) {
            return fail_errno("remove empty ledger segment");
        }
    }
    const std::uint64_t last = current->header.first_sequence + current->used_count - 1;
    last_sequence_.store(last, std::memory_order_release);
    current_.store(current.release(), std::memory_order_release);
    next_.store(keep_above ? above.release() : nullptr, std::memory_order_release);
    return {};
}

Result<void> Ledger::append(LedgerRecord& record) noexcept {
    Segment* segment = current_.load(std::memory_order_relaxed);
    if (segment->used_count == segment->header.records_count_max) [[unlikely]] {
        if (!roll()) {
            return fail(Errc::kLimit, "ledger has no room: its next segment could not be made");
        }
        segment = current_.load(std::memory_order_relaxed);
    }
    const std::uint64_t sequence = last_sequence_.load(std::memory_order_relaxed) + 1;
    DCHECK(
        sequence == segment->header.first_sequence + segment->used_count,
        "ledger sequence and place disagree"
    );
    record.sequence = sequence;
    record.crc32c = record.compute_crc();
    LedgerRecord* slot = segment->slot(segment->used_count);
    constexpr std::size_t kCrcBytes = sizeof record.crc32c;
    std::memcpy(
        reinterpret_cast<std::byte*>(slot) + kCrcBytes,
        reinterpret_cast<const std::byte*>(&record) + kCrcBytes,
        sizeof record - kCrcBytes
    );
    // The crc is what makes the record count: it goes last, for readers and for a kill in between.
    std::atomic_ref(slot->crc32c).store(record.crc32c, std::memory_order_release);
    ++segment->used_count;
    last_sequence_.store(sequence, std::memory_order_release);
    return {};
}

bool Ledger::roll() noexcept {
    Segment* next = next_.load(std::memory_order_acquire);
    if (next == nullptr) {
        return false;
    }
    // Retired before replaced: sync reads current_ first and then retired_, so it meets the old
    // segment in one of them. next_ is cleared last: prepare_next, once it sees that, must see the
    // new current_, or it would make a segment of the same number again.
    retire(current_.load(std::memory_order_relaxed));
    current_.store(next, std::memory_order_release);
    next_.store(nullptr, std::memory_order_release);
    return true;
}

void Ledger::retire(Segment* segment) noexcept {
    segment->next_retired = retired_.load(std::memory_order_relaxed);
    while (!retired_.compare_exchange_weak(
        segment->next_retired, segment, std::memory_order_acq_rel, std::memory_order_relaxed
    )) {
    }
}

std::uint64_t Ledger::slots_free_count() const noexcept {
    // The next segment has the size we make; one that was found at open may be of another.
    const Segment* current = current_.load(std::memory_order_relaxed);
    const Segment* next = next_.load(std::memory_order_acquire);
    return current->free_count() + (next == nullptr ? 0 : next->header.records_count_max);
}

bool Ledger::wants_segment() const noexcept {
    return next_.load(std::memory_order_acquire) == nullptr;
}

Result<void> Ledger::prepare_next() {
    // Not sync's lock: at full load a segment lasts a second or two, and a sync on a busy disk may
    // take as long.
    const std::lock_guard lock(prepare_mutex_);
    if (!wants_segment()) {
        return {};
    }
    // While there is no next segment append cannot roll, so current_ stays. That the number is new
    // is checked once more by make, which never replaces a file.
    const SegmentHeader& before = current_.load(std::memory_order_acquire)->header;
    TRY_ASSIGN(
        std::unique_ptr<Segment> segment,
        Segment::make(
            directory_.get(),
            header_for(before.number + 1, before.first_sequence + before.records_count_max)
        )
    );
    next_.store(segment.release(), std::memory_order_release);
    return {};
}

bool Ledger::dirty() const noexcept {
    return synced_sequence() != last_sequence();
}

Result<void> Ledger::sync() {
    const std::lock_guard lock(sync_mutex_);
    const std::uint64_t target = last_sequence_.load(std::memory_order_acquire);
    Segment* current = current_.load(std::memory_order_acquire);
    TRY_ASSIGN(const bool current_was_retired, sync_retired(current));
    if (!current_was_retired) {
        if (::fdatasync(current->fd.get()) < 0) {
            return fail_errno("sync ledger");
        }
        rearm_pages(*current, target);
    }
    synced_sequence_.store(target, std::memory_order_release);
    return {};
}

/// Syncs and unmaps the full segments; true if `current` was one of them by now.
Result<bool> Ledger::sync_retired(const Segment* current) {
    Segment* list = retired_.exchange(nullptr, std::memory_order_acq_rel);
    bool current_was_retired = false;
    while (list != nullptr) {
        std::unique_ptr<Segment> segment(list);
        list = segment->next_retired;
        if (::fdatasync(segment->fd.get()) < 0) {
            const Error error = errno_error("sync ledger segment");
            retire(segment.release());
            while (list != nullptr) {
                retire(std::exchange(list, list->next_retired));
            }
            return fail(error);
        }
        current_was_retired = current_was_retired || segment.get() == current;
        if (segment.get() == dropped_of_) {
            dropped_of_ = nullptr;
        }
    }
    return current_was_retired;
}

/// Maps the pages that the next records go to, and unmaps those that are full: the mapping's share
/// of the engine's memory stays at a few pages however large a segment is. Only hints: without them
/// (a kernel before 5.14) the loop takes the faults itself.
void Ledger::rearm_pages(const Segment& segment, std::uint64_t sequence) noexcept {
    // `sequence` was read before the segment: by then the writer may have gone on to this one.
    const std::uint64_t next_sequence = std::max(sequence + 1, segment.header.first_sequence);
    const std::uint64_t index = next_sequence - segment.header.first_sequence;
    const std::uint64_t bytes_max = segment.mapping.size_bytes();
    const std::uint64_t page_start = std::min(
        (kSegmentHeaderBytes + index * sizeof(LedgerRecord)) / kPageBytes * kPageBytes, bytes_max
    );
    const std::uint64_t ahead_bytes = std::min(kPagesAhead * kPageBytes, bytes_max - page_start);
    if (ahead_bytes > 0) {
        (void)::madvise(segment.mapping.data() + page_start, ahead_bytes, MADV_POPULATE_WRITE);
    }
    if (dropped_of_ != &segment) {
        dropped_of_ = &segment;
        dropped_bytes_ = 0;
    }
    if (page_start > dropped_bytes_) {
        (void)::madvise(
            segment.mapping.data() + dropped_bytes_, page_start - dropped_bytes_, MADV_DONTNEED
        );
        dropped_bytes_ = page_start;
    }
}

std::uint64_t Ledger::last_sequence() const noexcept {
    return last_sequence_.load(std::memory_order_acquire);
}

std::uint64_t Ledger::synced_sequence() const noexcept {
    return synced_sequence_.load(std::memory_order_acquire);
}

}  // namespace hako::meter
