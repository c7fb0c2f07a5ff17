#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/meter/ledger_reader.h"
#include "engine/meter/ledger_record.h"

// Sums over the ledger for `hako bill`. Times are exact integer microseconds; only GB-seconds and
// money are floating point, computed once from exact sums.
namespace hako::meter {

/// Which records count; everything by default.
struct BillFilter {
    std::string function;                    // empty: all
    std::int64_t version = -1;               // -1: all, 0: $LATEST
    std::int64_t from_wall_us = 0;           // start of the invocation, inclusive
    std::int64_t until_wall_us = INT64_MAX;  // exclusive
};

/// Dollars; the defaults are AWS's list prices (x86, us-east-1).
struct Prices {
    double per_gb_s = 0.0000166667;
    double per_request = 0.0000002;
};

/// 128-bit sum of memory_mib * billed_us: 64 bits overflow after two million of the largest calls.
__extension__ using MibMicroseconds = unsigned __int128;

/// One function version, or the total.
struct BillRow {
    std::string function;
    std::uint32_t version = 0;
    std::uint64_t invocations_count = 0;
    std::uint64_t errors_count = 0;
    std::uint64_t cold_count = 0;
    std::uint64_t duration_us = 0;
    std::uint64_t billed_us = 0;
    std::uint64_t init_us = 0;
    std::uint64_t cpu_us = 0;
    std::uint64_t wait_us = 0;
    std::uint32_t memory_mib_max = 0;
    std::uint64_t memory_peak_bytes_max = 0;
    std::uint64_t duration_p50_us = 0;  // within 1/64 of the exact value
    std::uint64_t duration_p95_us = 0;
    MibMicroseconds billed_mib_us = 0;

    [[nodiscard]] double gb_seconds() const noexcept;
    [[nodiscard]] double cost(const Prices& prices) const noexcept;
};

struct Bill {
    std::vector<BillRow> rows;  // by function, then version
    BillRow total;              // function empty
    std::uint64_t gap_records_count = 0;
    std::uint64_t segments_missing_count = 0;
};

/// Reads `reader` to its end. Errors: those of LedgerReader::next.
[[nodiscard]] Result<Bill> summarise(LedgerReader& reader, const BillFilter& filter);

/// One record as a JSON object without a newline: the ledger's export.
[[nodiscard]] std::string record_json(const LedgerRecord& record);
/// One row as a JSON object without a newline.
[[nodiscard]] std::string row_json(const BillRow& row, const Prices& prices);
/// `{"Rows":[...],"Total":{...},"GapRecords":0,"SegmentsMissing":0}`
[[nodiscard]] std::string bill_json(const Bill& bill, const Prices& prices);
/// `$LATEST` or the number.
[[nodiscard]] std::string version_text(std::uint32_t version);

}  // namespace hako::meter
