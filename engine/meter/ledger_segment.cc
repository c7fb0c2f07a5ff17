#include "engine/meter/ledger_segment.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/core.h>

#include "engine/base/ensure.h"
#include "engine/meter/crc32c.h"

namespace hako::meter {
namespace {

constexpr std::string_view kSuffix = ".led";
constexpr std::size_t kNumberDigits = 8;

std::uint32_t header_crc(const SegmentHeader& header) noexcept {
    return crc32c(std::as_bytes(std::span(&header, 1)).first(offsetof(SegmentHeader, crc32c)));
}

std::uint64_t file_bytes(const SegmentHeader& header) noexcept {
    return kSegmentHeaderBytes + header.records_count_max * sizeof(LedgerRecord);
}

std::optional<std::uint64_t> parse_segment_name(std::string_view name) noexcept {
    if (name.size() != kNumberDigits + kSuffix.size() || !name.ends_with(kSuffix)) {
        return std::nullopt;
    }
    std::uint64_t number = 0;
    const char* digits_end = name.data() + kNumberDigits;
    const auto [end, error] = std::from_chars(name.data(), digits_end, number);
    if (error != std::errc() || end != digits_end || number == 0) {
        return std::nullopt;
    }
    return number;
}

/// Reserves the blocks of the whole file: a store into the mapping must never find the disk full.
Result<void> preallocate(int fd, std::uint64_t bytes) {
    int rc = 0;
    do {
        rc = ::fallocate(fd, 0, 0, static_cast<off_t>(bytes));
    } while (rc < 0 && errno == EINTR);
    if (rc == 0) {
        return {};
    }
    if (errno != EOPNOTSUPP) {
        return fail_errno("preallocate ledger segment");
    }
    // A file system without fallocate (NFS, old overlays): glibc's emulation writes every block.
    const int posix_errno = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
    if (posix_errno != 0) {
        return fail(sys_error(posix_errno, "preallocate ledger segment"));
    }
    return {};
}

Result<void> write_segment_file(int fd, const SegmentHeader& header) {
    TRY(preallocate(fd, file_bytes(header)));
    const ssize_t put = ::pwrite(fd, &header, sizeof header, 0);
    if (put != static_cast<ssize_t>(sizeof header)) {
        return put < 0 ? fail_errno("write ledger segment header")
                       : fail(sys_error(ENOSPC, "write ledger segment header"));
    }
    if (::fsync(fd) < 0) {
        return fail_errno("sync ledger segment");
    }
    return {};
}

}  // namespace

SlotState check_slot(const LedgerRecord& record, std::uint64_t sequence_expected) noexcept {
    if (record.sequence == sequence_expected && record.crc32c == record.compute_crc()) {
        return SlotState::kValid;
    }
    static constexpr std::array<std::byte, sizeof(LedgerRecord)> kZeros = {};
    return std::memcmp(&record, kZeros.data(), sizeof record) == 0 ? SlotState::kEmpty
                                                                   : SlotState::kBad;
}

std::string segment_name(std::uint64_t number) {
    return fmt::format("{:08}{}", number, kSuffix);
}

Result<std::vector<std::uint64_t>> list_segments(int directory_fd) {
    // A descriptor of its own: the read position of a directory belongs to the open file.
    UniqueFd fd(::openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
        return fail_errno("open ledger directory");
    }
    DIR* directory = ::fdopendir(fd.get());
    if (directory == nullptr) {
        return fail_errno("read ledger directory");
    }
    (void)fd.release();  // closedir closes it
    std::vector<std::uint64_t> numbers;
    errno = 0;
    while (const dirent* entry = ::readdir(directory)) {
        if (const auto number = parse_segment_name(entry->d_name)) {
            numbers.push_back(*number);
        }
        errno = 0;
    }
    const int read_errno = errno;
    (void)::closedir(directory);  // nothing was written through it
    if (read_errno != 0) {
        return fail(sys_error(read_errno, "read ledger directory"));
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

Result<SegmentHeader> read_segment_header(int fd, std::uint64_t number) {
    SegmentHeader header;
    const ssize_t got = ::pread(fd, &header, sizeof header, 0);
    if (got < 0) {
        return fail_errno("read ledger segment header");
    }
    if (got != static_cast<ssize_t>(sizeof header) || header.magic != kSegmentMagic ||
        header.crc32c != header_crc(header) || header.number != number) {
        return fail(Errc::kInvalid, "ledger segment header is damaged");
    }
    if (header.version != kSegmentVersion || header.record_bytes != sizeof(LedgerRecord)) {
        return fail(Errc::kInvalid, "ledger segment is of another version");
    }
    // A good checksum says nothing of who wrote it: sizes and sequence numbers must not wrap.
    constexpr std::uint64_t kRecordsMax =
        (kSegmentBytesMax - kSegmentHeaderBytes) / sizeof(LedgerRecord);
    if (header.records_count_max == 0 || header.records_count_max > kRecordsMax ||
        header.first_sequence == 0 || header.first_sequence > UINT64_MAX / 2) {
        return fail(Errc::kInvalid, "ledger segment header is out of bounds");
    }
    struct stat status = {};
    if (::fstat(fd, &status) < 0) {
        return fail_errno("stat ledger segment");
    }
    if (static_cast<std::uint64_t>(status.st_size) < file_bytes(header)) {
        return fail(Errc::kInvalid, "ledger segment is shorter than its header says");
    }
    return header;
}

Result<std::unique_ptr<Segment>> Segment::make(int directory_fd, const SegmentHeader& wanted) {
    const std::string name = segment_name(wanted.number);
    constexpr const char* kTemporary = "next.tmp";
    (void)::unlinkat(directory_fd, kTemporary, 0);  // of a crashed run; O_EXCL tells if not
    auto segment = std::make_unique<Segment>();
    segment->header = wanted;
    segment->header.crc32c = header_crc(segment->header);
    segment->fd.reset(
        ::openat(directory_fd, kTemporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)
    );
    if (!segment->fd) {
        return fail_errno("create ledger segment");
    }
    auto filled = write_segment_file(segment->fd.get(), segment->header);
    // A link instead of a rename: it fails where a file of that name exists.
    if (filled && ::linkat(directory_fd, kTemporary, directory_fd, name.c_str(), 0) < 0) {
        filled = fail_errno("name ledger segment");
    }
    (void)::unlinkat(directory_fd, kTemporary, 0);  // if it stays, the next call takes it away
    if (!filled) {
        return fail(filled.error());
    }
    if (::fsync(directory_fd) < 0) {
        return fail_errno("sync ledger directory");
    }
    TRY_ASSIGN(
        segment->mapping, Mapping::make_shared(segment->fd.get(), file_bytes(segment->header))
    );
    return segment;
}

Result<std::unique_ptr<Segment>> Segment::open(int directory_fd, std::uint64_t number) {
    auto segment = std::make_unique<Segment>();
    segment->fd.reset(
        ::openat(directory_fd, segment_name(number).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC)
    );
    if (!segment->fd) {
        return fail_errno("open ledger segment");
    }
    TRY_ASSIGN(segment->header, read_segment_header(segment->fd.get(), number));
    TRY_ASSIGN(
        segment->mapping, Mapping::make_shared(segment->fd.get(), file_bytes(segment->header))
    );
    return segment;
}

Result<void> Segment::reserve_blocks() const {
    return preallocate(fd.get(), file_bytes(header));
}

LedgerRecord* Segment::slot(std::uint64_t index) const noexcept {
    DCHECK(index < header.records_count_max, "ledger slot out of range");
    return reinterpret_cast<LedgerRecord*>(
        mapping.data() + kSegmentHeaderBytes + index * sizeof(LedgerRecord)
    );
}

}  // namespace hako::meter
