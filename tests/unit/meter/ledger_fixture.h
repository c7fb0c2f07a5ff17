#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/meter/ledger.h"
#include "engine/meter/ledger_reader.h"
#include "tests/unit/meter/test_files.h"

namespace hako::meter::test {

/// The smallest segments with 16 and with 240 records.
inline constexpr std::uint64_t kTinySegmentBytes = 8192;
inline constexpr std::uint64_t kTinyRecords = 16;
inline constexpr std::uint64_t kSmallSegmentBytes = 65536;
inline constexpr std::uint64_t kSmallRecords = 240;

/// A number that depends on all of `value` (splitmix64), so that a record tells its own sums.
inline std::uint64_t mix(std::uint64_t value) {
    value += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27U)) * 0x94d049bb133111eb;
    return value ^ (value >> 31U);
}
inline std::uint64_t duration_of(std::uint64_t sequence) {
    return mix(sequence) % 900'000'000;
}
inline std::uint64_t cpu_of(std::uint64_t sequence) {
    return mix(~sequence) % 1'000'000;
}

/// The record that a test appends as number `sequence`.
inline LedgerRecord record_of(std::uint64_t sequence) {
    LedgerRecord record;
    record.start_wall_us = static_cast<std::int64_t>(sequence * 10);
    record.duration_us = duration_of(sequence);
    record.billed_us = duration_of(sequence) / 100'000 * 100'000 + 100'000;
    record.cpu_us = cpu_of(sequence);
    record.memory_mib = 128;
    record.set_function_name(sequence % 2 == 0 ? "even" : "odd");
    return record;
}

inline std::unique_ptr<Ledger> open_ledger(
    const std::string& directory, std::uint64_t segment_bytes
) {
    auto ledger = Ledger::open({.directory = directory, .segment_bytes = segment_bytes});
    EXPECT_TRUE(ledger.has_value()) << ledger.error().what << " " << ledger.error().sys_errno;
    return ledger ? std::move(*ledger) : nullptr;
}

/// Appends records `first` to `last`, making segments as they are wanted.
inline void append_range(Ledger& ledger, std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t sequence = first; sequence <= last; ++sequence) {
        LedgerRecord record = record_of(sequence);
        ASSERT_TRUE(ledger.append(record).has_value());
        ASSERT_EQ(record.sequence, sequence);
        if (ledger.wants_segment()) {
            ASSERT_TRUE(ledger.prepare_next().has_value());
        }
    }
}

struct ReadBack {
    std::vector<std::uint64_t> sequences;
    std::uint64_t gap_records_count = 0;
    std::uint64_t segments_missing_count = 0;
};

inline ReadBack read_back(const std::string& directory) {
    ReadBack result;
    auto reader = LedgerReader::open(directory);
    EXPECT_TRUE(reader.has_value());
    LedgerRecord record;
    while (reader) {
        const auto more = reader->next(record);
        EXPECT_TRUE(more.has_value()) << more.error().what;
        if (!more || !*more) {
            break;
        }
        EXPECT_EQ(record.duration_us, duration_of(record.sequence));
        result.sequences.push_back(record.sequence);
    }
    if (reader) {
        result.gap_records_count = reader->gap_records_count();
        result.segments_missing_count = reader->segments_missing_count();
    }
    return result;
}

inline std::vector<std::uint64_t> sequences(std::uint64_t first, std::uint64_t last) {
    std::vector<std::uint64_t> result;
    for (std::uint64_t i = first; i <= last; ++i) {
        result.push_back(i);
    }
    return result;
}

}  // namespace hako::meter::test
