#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/base/unique_fd.h"
#include "tests/unit/meter/ledger_fixture.h"

namespace hako::meter::test {
namespace {

using hako::test::FdLeakCheck;
using hako::test::TempDir;

/// Overwrites bytes of the record at `index` of segment `number`, as a lost write would leave it.
void damage(const TempDir& dir, std::uint64_t number, std::uint64_t index, char with) {
    const UniqueFd fd(::open(dir.path(segment_name(number)).c_str(), O_WRONLY | O_CLOEXEC));
    const std::string bytes(sizeof(LedgerRecord), with);
    const auto at = static_cast<off_t>(kSegmentHeaderBytes + index * sizeof(LedgerRecord));
    // Half of it for a torn record; all of it where the page never reached the disk.
    const std::size_t count = with == '\0' ? bytes.size() : bytes.size() / 2;
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), count, at), static_cast<ssize_t>(count));
}

TEST(Ledger, ReadsBackWhatWasAppended) {
    const FdLeakCheck leaks;
    const TempDir dir;
    const auto ledger = open_ledger(dir.path(), kSmallSegmentBytes);
    EXPECT_EQ(ledger->last_sequence(), 0U);
    append_range(*ledger, 1, 100);
    const ReadBack back = read_back(dir.path());
    EXPECT_EQ(back.sequences, sequences(1, 100));
    EXPECT_EQ(back.gap_records_count, 0U);
}

TEST(Ledger, EveryFieldSurvives) {
    const TempDir dir;
    LedgerRecord record;
    auto* bytes = reinterpret_cast<unsigned char*>(&record);
    for (std::size_t i = 0; i < sizeof record; ++i) {
        bytes[i] = static_cast<unsigned char>(i * 7 + 1);
    }
    const auto ledger = open_ledger(dir.path(), kTinySegmentBytes);
    ASSERT_TRUE(ledger->append(record).has_value());
    auto reader = LedgerReader::open(dir.path());
    LedgerRecord back;
    ASSERT_TRUE(reader->next(back).value());
    EXPECT_EQ(std::memcmp(&back, &record, sizeof record), 0);
    EXPECT_EQ(back.function_name().size(), kLedgerFunctionBytes) << "no terminator at full length";
}

TEST(Ledger, ContinuesAfterReopening) {
    const FdLeakCheck leaks;
    const TempDir dir;
    // 1, 15, 16, 17, 32, 33 records: ends of tiny segments and one past them.
    std::uint64_t last = 0;
    for (const std::uint64_t until : {1U, 15U, 16U, 17U, 32U, 33U, 33U, 100U}) {
        const auto ledger = open_ledger(dir.path(), kTinySegmentBytes);
        ASSERT_EQ(ledger->last_sequence(), last);
        EXPECT_EQ(ledger->recovery().torn_count, 0U);
        EXPECT_EQ(ledger->recovery().gap_records_count, 0U);
        EXPECT_FALSE(ledger->dirty());
        append_range(*ledger, last + 1, until);
        last = until;
    }
    EXPECT_EQ(read_back(dir.path()).sequences, sequences(1, 100));
}

TEST(Ledger, SegmentSizeMayChangeBetweenRuns) {
    const TempDir dir;
    append_range(*open_ledger(dir.path(), kTinySegmentBytes), 1, 20);
    append_range(*open_ledger(dir.path(), kSmallSegmentBytes), 21, 400);
    append_range(*open_ledger(dir.path(), kTinySegmentBytes), 401, 700);
    EXPECT_EQ(read_back(dir.path()).sequences, sequences(1, 700));
}

TEST(Ledger, SaysLimitWhenTheNextSegmentIsNotThere) {
    const TempDir dir;
    const auto ledger = open_ledger(dir.path(), kTinySegmentBytes);
    EXPECT_EQ(ledger->slots_free_count(), 2 * kTinyRecords);
    for (std::uint64_t i = 1; i <= 2 * kTinyRecords; ++i) {
        LedgerRecord record = record_of(i);
        ASSERT_TRUE(ledger->append(record).has_value());
    }
    EXPECT_EQ(ledger->slots_free_count(), 0U);
    EXPECT_TRUE(ledger->wants_segment());
    LedgerRecord record = record_of(33);
    const auto refused = ledger->append(record);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::kLimit);
    EXPECT_EQ(ledger->last_sequence(), 32U);
    ASSERT_TRUE(ledger->prepare_next().has_value());
    append_range(*ledger, 33, 40);
    EXPECT_EQ(read_back(dir.path()).sequences, sequences(1, 40));
}

TEST(Ledger, SyncTellsHowFar) {
    const FdLeakCheck leaks;
    const TempDir dir;
    const auto ledger = open_ledger(dir.path(), kTinySegmentBytes);
    EXPECT_FALSE(ledger->dirty());
    append_range(*ledger, 1, 3);
    EXPECT_TRUE(ledger->dirty());
    ASSERT_TRUE(ledger->sync().has_value());
    EXPECT_FALSE(ledger->dirty());
    EXPECT_EQ(ledger->synced_sequence(), 3U);
    append_range(*ledger, 4, 90);  // leaves five full segments to sync and unmap
    EXPECT_EQ(ledger->synced_sequence(), 3U);
    ASSERT_TRUE(ledger->sync().has_value());
    EXPECT_EQ(ledger->synced_sequence(), 90U);
    append_range(*ledger, 91, 95);  // pages were dropped and mapped again in between
    ASSERT_TRUE(ledger->sync().has_value());
    EXPECT_EQ(read_back(dir.path()).sequences, sequences(1, 95));
}

TEST(Ledger, RemovesATornLastRecord) {
    const TempDir dir;
    append_range(*open_ledger(dir.path(), kTinySegmentBytes), 1, 20);
    damage(dir, 2, 3, 'x');  // record 20
    EXPECT_EQ(read_back(dir.path()).sequences, sequences(1, 19));
    const auto ledger = open_ledger(dir.path(), kTinySegmentBytes);
    EXPECT_EQ(ledger->recovery().torn_count, 1U);
    EXPECT_EQ(ledger->recovery().gap_records_count, 0U);
    EXPECT_EQ(ledger->recovery().records_count, 19U);
    EXPECT_EQ(ledger->last_sequence(), 19U);
    append_range(*ledger, 20, 21);
    EXPECT_EQ(read_back(dir.path()).sequences, sequences(1, 21));
}

TEST(Ledger, RemovesATornFirstRecordOfASegment) {
    const TempDir dir;
    append_range(*open_ledger(dir.path(), kTinySegmentBytes), 1, 17);
    damage(dir, 2, 0, 'x');
    const auto ledger = open_ledger(dir.path(), kTinySegmentBytes);
    EXPECT_EQ(ledger->recovery().torn_count, 1U);
    EXPECT_EQ(ledger->last_sequence(), 16U);
    append_range(*ledger, 17, 18);
    EXPECT_EQ(read_back(dir.path()).sequences, sequences(1, 18));
}

TEST(Ledger, ReportsAGapAndKeepsWhatIsBehind) {
    const TempDir dir;
    append_range(*open_ledger(dir.path(), kTinySegmentBytes), 1, 40);
    damage(dir, 1, 4, 'x');    // record 5, in a segment that open does not read
    damage(dir, 2, 15, '\0');  // record 32, the last of its segment
    damage(dir, 3, 2, 'x');    // record 35
    damage(dir, 3, 3, '\0');   // record 36
    const ReadBack back = read_back(dir.path());
    EXPECT_EQ(back.gap_records_count, 4U);
    EXPECT_EQ(back.sequences.size(), 36U);
    const auto ledger = open_ledger(dir.path(), kTinySegmentBytes);
    EXPECT_EQ(ledger->recovery().gap_records_count, 3U);
    EXPECT_EQ(ledger->recovery().torn_count, 0U);
    EXPECT_EQ(ledger->last_sequence(), 40U);
    append_range(*ledger, 41, 41);
    EXPECT_EQ(read_back(dir.path()).sequences.back(), 41U);
}

TEST(Ledger, ReportsALostTailOfASegment) {
    const TempDir dir;
    append_range(*open_ledger(dir.path(), kTinySegmentBytes), 1, 20);
    for (std::uint64_t index = 10; index < kTinyRecords; ++index) {
        damage(dir, 1, index, '\0');
    }
    const ReadBack back = read_back(dir.path());
    EXPECT_EQ(back.gap_records_count, 6U);
    EXPECT_EQ(back.sequences.back(), 20U);
    EXPECT_EQ(open_ledger(dir.path(), kTinySegmentBytes)->recovery().gap_records_count, 6U);
}

TEST(Ledger, ReportsAMissingSegment) {
    const TempDir dir;
    append_range(*open_ledger(dir.path(), kTinySegmentBytes), 1, 60);
    std::filesystem::remove(dir.path(segment_name(2)));
    const ReadBack back = read_back(dir.path());
    EXPECT_EQ(back.segments_missing_count, 1U);
    EXPECT_EQ(back.sequences.size(), 44U);
    EXPECT_EQ(open_ledger(dir.path(), kTinySegmentBytes)->recovery().segments_missing_count, 1U);
}

TEST(Ledger, OldSegmentsMayBeMovedAway) {
    const TempDir dir;
    append_range(*open_ledger(dir.path(), kTinySegmentBytes), 1, 60);
    std::filesystem::remove(dir.path(segment_name(1)));
    const auto ledger = open_ledger(dir.path(), kTinySegmentBytes);
    EXPECT_EQ(ledger->recovery().segments_missing_count, 0U);
    append_range(*ledger, 61, 62);
    EXPECT_EQ(read_back(dir.path()).sequences, sequences(17, 62));
}

TEST(Ledger, GoesOnWhenAWholeSegmentNeverReachedTheDisk) {
    const TempDir dir;
    append_range(*open_ledger(dir.path(), kTinySegmentBytes), 1, 33);  // 3 begun, 4 prepared
    damage(dir, 3, 0, '\0');
    const auto ledger = open_ledger(dir.path(), kTinySegmentBytes);
    EXPECT_EQ(ledger->last_sequence(), 32U);
    append_range(*ledger, 33, 80);
    EXPECT_EQ(read_back(dir.path()).sequences, sequences(1, 80));
}

TEST(Ledger, HasOneWriter) {
    const FdLeakCheck leaks;
    const TempDir dir;
    auto first = open_ledger(dir.path(), kTinySegmentBytes);
    const auto second = Ledger::open({.directory = dir.path()});
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code, Errc::kExists);
    first.reset();
    EXPECT_NE(open_ledger(dir.path(), kTinySegmentBytes), nullptr);
}

TEST(Ledger, RefusesADamagedHeader) {
    const FdLeakCheck leaks;
    const TempDir dir;
    append_range(*open_ledger(dir.path(), kTinySegmentBytes), 1, 2);
    const UniqueFd fd(::open(dir.path(segment_name(1)).c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(fd.get(), "x", 1, 24), 1);
    const auto ledger = Ledger::open({.directory = dir.path()});
    ASSERT_FALSE(ledger.has_value());
    EXPECT_EQ(ledger.error().code, Errc::kInvalid);
    auto reader = LedgerReader::open(dir.path());
    LedgerRecord record;
    EXPECT_EQ(reader->next(record).error().code, Errc::kInvalid);
}

TEST(Ledger, RefusesATruncatedSegment) {
    const TempDir dir;
    append_range(*open_ledger(dir.path(), kTinySegmentBytes), 1, 2);
    ASSERT_EQ(::truncate(dir.path(segment_name(1)).c_str(), 5000), 0);
    const auto ledger = Ledger::open({.directory = dir.path()});
    ASSERT_FALSE(ledger.has_value()) << "a store behind the end would be SIGBUS";
    EXPECT_EQ(ledger.error().code, Errc::kInvalid);
}

TEST(Ledger, ReservesTheBlocksOfASparseCopy) {
    const TempDir dir;
    append_range(*open_ledger(dir.path(), kSmallSegmentBytes), 1, 2);
    const std::string path = dir.path(segment_name(1));
    // As a restored backup has it: the same bytes, holes for the zeros.
    ASSERT_EQ(::truncate(path.c_str(), 8192), 0);
    ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(kSmallSegmentBytes)), 0);
    struct stat status = {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    if (status.st_blocks * 512 >= static_cast<off_t>(kSmallSegmentBytes)) {
        GTEST_SKIP() << "the temporary directory's file system has no holes";
    }
    ASSERT_NE(open_ledger(dir.path(), kSmallSegmentBytes), nullptr);
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_GE(status.st_blocks * 512, static_cast<off_t>(kSmallSegmentBytes));
}

TEST(Ledger, RefusesOptionsOutOfRange) {
    const TempDir dir;
    for (const std::uint64_t bytes : {0ULL, 4096ULL, 8193ULL, 2ULL << 30U}) {
        const auto ledger = Ledger::open({.directory = dir.path(), .segment_bytes = bytes});
        ASSERT_FALSE(ledger.has_value()) << bytes;
        EXPECT_EQ(ledger.error().code, Errc::kInvalid);
    }
    const auto nowhere = Ledger::open({.directory = dir.path("no/such")});
    ASSERT_FALSE(nowhere.has_value());
    EXPECT_EQ(nowhere.error().sys_errno, ENOENT);
}

TEST(LedgerReader, FollowsTheWriter) {
    const FdLeakCheck leaks;
    const TempDir dir;
    const auto none = LedgerReader::open(dir.path("none"));
    ASSERT_FALSE(none.has_value());
    EXPECT_EQ(none.error().code, Errc::kNotFound);
    auto reader = LedgerReader::open(dir.path());
    LedgerRecord record;
    EXPECT_FALSE(reader->next(record).value()) << "no segment yet";
    const auto ledger = open_ledger(dir.path(), kTinySegmentBytes);
    EXPECT_FALSE(reader->next(record).value());
    std::uint64_t last = 0;
    for (const std::uint64_t until : {1U, 2U, 16U, 17U, 60U}) {
        append_range(*ledger, last + 1, until);
        for (std::uint64_t i = last + 1; i <= until; ++i) {
            ASSERT_TRUE(reader->next(record).value());
            ASSERT_EQ(record.sequence, i);
        }
        EXPECT_FALSE(reader->next(record).value());
        last = until;
    }
    EXPECT_EQ(reader->gap_records_count(), 0U);
}

}  // namespace
}  // namespace hako::meter::test
