#include <vector>

#include "engine/base/ensure.h"
#include "engine/meter/crc32c.h"
#include "engine/meter/ledger.h"
#include "engine/meter/ledger_reader.h"
#include "engine/meter/ledger_segment.h"
#include "tests/fuzz/fuzz.h"

// Ledger files as power loss, a bad disk or a stranger may leave them: up to three segments whose
// headers and records come from the input, with right or wrong checksums. Reading must end and give
// only records that carry their checksum; an engine that opens the directory either refuses it or
// can append.

namespace {

using namespace hako;
using namespace hako::meter;

constexpr std::uint64_t kTinyBytes = kSegmentBytesMin;

SegmentHeader make_header(fuzz::Input& input, std::uint64_t number, std::uint64_t first_sequence) {
    SegmentHeader header{
        .number = number, .first_sequence = first_sequence, .records_count_max = 16
    };
    const auto flags = input.take<std::uint8_t>();
    if ((flags & 1U) != 0) {
        header.first_sequence = input.take<std::uint64_t>();
    }
    if ((flags & 2U) != 0) {
        header.records_count_max = input.take<std::uint64_t>();
    }
    if ((flags & 4U) != 0) {
        header.version = input.take<std::uint8_t>();
        header.record_bytes = input.take<std::uint16_t>();
    }
    header.crc32c =
        crc32c(std::as_bytes(std::span(&header, 1)).first(offsetof(SegmentHeader, crc32c)));
    if ((flags & 8U) != 0) {
        header.crc32c ^= input.take<std::uint32_t>();
    }
    return header;
}

LedgerRecord make_record(fuzz::Input& input, std::uint64_t sequence) {
    LedgerRecord record;
    const auto flags = input.take<std::uint8_t>();
    if ((flags & 1U) != 0) {
        return record;  // an empty slot
    }
    record.sequence = sequence;
    record.outcome = static_cast<Outcome>(input.take<std::uint8_t>());
    record.duration_us = input.take<std::uint64_t>();
    if ((flags & 2U) != 0) {
        record.sequence = input.take<std::uint64_t>();
    }
    record.crc32c = record.compute_crc();
    if ((flags & 4U) != 0) {
        record.crc32c ^= input.take<std::uint32_t>();
    }
    return record;
}

/// Returns the bytes of the file: a header page, then records; shorter than it should be if the
/// input says so.
std::string make_segment(fuzz::Input& input, std::uint64_t number, std::uint64_t& sequence) {
    const SegmentHeader header = make_header(input, number, sequence);
    std::string file(kSegmentHeaderBytes, '\0');
    std::memcpy(file.data(), &header, sizeof(header));
    for (int i = 0; i < 16; ++i) {
        const LedgerRecord record = make_record(input, header.first_sequence + unsigned(i));
        file.append(reinterpret_cast<const char*>(&record), sizeof(record));
    }
    sequence = header.first_sequence + 16;
    const auto cut = input.take<std::uint8_t>();
    file.resize(file.size() - std::min<std::size_t>(file.size(), cut > 128 ? cut * 33U : 0U));
    return file;
}

std::uint64_t read_all(const std::string& directory) {
    auto reader = LedgerReader::open(directory);
    ENSURE(reader.has_value(), "the directory is there");
    std::uint64_t last_sequence = 0;
    std::uint64_t count = 0;
    LedgerRecord record;
    while (true) {
        const Result<bool> more = reader->next(record);
        if (!more || !*more) {
            break;
        }
        ENSURE(record.crc32c == record.compute_crc(), "a record carries its checksum");
        ENSURE(++count <= 4 * 16, "no more records than the files have");
        fuzz::touch(outcome_name(record.outcome));
        fuzz::touch(record.function_name());
        last_sequence = record.sequence;
    }
    return last_sequence;
}

void append_one(const std::string& directory) {
    auto ledger = Ledger::open({.directory = directory, .segment_bytes = kTinyBytes});
    if (!ledger) {
        ENSURE(ledger.error().what[0] != '\0', "a refusal names the step");
        return;
    }
    LedgerRecord record;
    record.set_function_name("fuzz");
    if ((*ledger)->wants_segment()) {
        ENSURE((*ledger)->prepare_next().has_value(), "there is room for a segment");
    }
    ENSURE((*ledger)->append(record).has_value(), "an opened ledger takes a record");
    ENSURE(record.sequence != 0 && record.crc32c == record.compute_crc(), "the record is whole");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    const std::string& directory = fuzz::scratch_dir();
    fuzz::empty_directory(directory);
    fuzz::Input input(data, bytes);
    std::uint64_t number = 1 + input.take<std::uint8_t>() % 3;
    std::uint64_t sequence = 1;
    for (int i = 0; i < 3 && !input.empty(); ++i) {
        fuzz::write_file(
            directory + "/" + segment_name(number), make_segment(input, number, sequence)
        );
        number += 1 + input.take<std::uint8_t>() / 200;  // mostly the next one
    }
    (void)read_all(directory);
    append_one(directory);
    (void)read_all(directory);
    return 0;
}
