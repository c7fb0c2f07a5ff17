#include "engine/meter/bill.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/core.h>
#include <fmt/format.h>

#include "engine/meter/histogram.h"

namespace hako::meter {
namespace {

struct Sums {
    BillRow row;
    Histogram duration_us;
};

bool matches(const LedgerRecord& record, const BillFilter& filter) {
    return (filter.function.empty() || record.function_name() == filter.function) &&
           (filter.version < 0 || record.version == filter.version) &&
           record.start_wall_us >= filter.from_wall_us &&
           record.start_wall_us < filter.until_wall_us;
}

void add(Sums& sums, const LedgerRecord& record) {
    BillRow& row = sums.row;
    ++row.invocations_count;
    row.errors_count += is_error(record.outcome) ? 1 : 0;
    row.cold_count += record.cold;
    row.duration_us += record.duration_us;
    row.billed_us += record.billed_us;
    row.init_us += record.init_us;
    row.cpu_us += record.cpu_us;
    row.wait_us += record.wait_us;
    row.memory_mib_max = std::max(row.memory_mib_max, record.memory_mib);
    row.memory_peak_bytes_max = std::max(row.memory_peak_bytes_max, record.memory_peak_bytes);
    row.billed_mib_us += MibMicroseconds{record.billed_us} * record.memory_mib;
    sums.duration_us.record(record.duration_us);
}

BillRow finish(Sums& sums) {
    sums.row.duration_p50_us = sums.duration_us.quantile(0.50);
    sums.row.duration_p95_us = sums.duration_us.quantile(0.95);
    return std::move(sums.row);
}

void append_escaped(std::string& out, std::string_view text) {
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
        } else {
            out += c;
        }
    }
}

std::string quoted(std::string_view text) {
    std::string out = "\"";
    append_escaped(out, text);
    out += '"';
    return out;
}

}  // namespace

double BillRow::gb_seconds() const noexcept {
    return static_cast<double>(billed_mib_us) / (1024.0 * 1e6);
}

double BillRow::cost(const Prices& prices) const noexcept {
    return gb_seconds() * prices.per_gb_s +
           static_cast<double>(invocations_count) * prices.per_request;
}

Result<Bill> summarise(LedgerReader& reader, const BillFilter& filter) {
    std::map<std::pair<std::string, std::uint32_t>, Sums, std::less<>> rows;
    Sums total;
    LedgerRecord record;
    while (true) {
        TRY_ASSIGN(const bool more, reader.next(record));
        if (!more) {
            break;
        }
        if (!matches(record, filter)) {
            continue;
        }
        Sums& sums = rows[{std::string(record.function_name()), record.version}];
        add(sums, record);
        add(total, record);
    }
    Bill bill;
    bill.rows.reserve(rows.size());
    for (auto& [key, sums] : rows) {
        sums.row.function = key.first;
        sums.row.version = key.second;
        bill.rows.push_back(finish(sums));
    }
    bill.total = finish(total);
    bill.gap_records_count = reader.gap_records_count();
    bill.segments_missing_count = reader.segments_missing_count();
    return bill;
}

std::string version_text(std::uint32_t version) {
    return version == 0 ? "$LATEST" : fmt::format("{}", version);
}

std::string record_json(const LedgerRecord& record) {
    const auto id = record.request_id.text();
    return fmt::format(
        R"({{"Sequence":{},"StartWallUs":{},"RequestId":"{}","FunctionName":{},"Version":"{}",)"
        R"("FunctionVersionId":{},"SandboxId":{},"Outcome":"{}","Cold":{},"InvocationType":{},)"
        R"("Attempt":{},"DurationUs":{},"BilledUs":{},"InitUs":{},"CpuUs":{},"WaitUs":{},)"
        R"("MemoryMib":{},"MemoryPeakBytes":{},"IncrementMs":{},"EventBytes":{},)"
        R"("ResponseBytes":{}}})",
        record.sequence,
        record.start_wall_us,
        std::string_view(id.data(), id.size()),
        quoted(record.function_name()),
        version_text(record.version),
        record.function_version_id,
        record.sandbox_id,
        outcome_name(record.outcome),
        record.cold != 0,
        record.invocation_type,
        record.attempt,
        record.duration_us,
        record.billed_us,
        record.init_us,
        record.cpu_us,
        record.wait_us,
        record.memory_mib,
        record.memory_peak_bytes,
        record.increment_ms,
        record.event_bytes,
        record.response_bytes
    );
}

std::string row_json(const BillRow& row, const Prices& prices) {
    return fmt::format(
        R"({{"FunctionName":{},"Version":"{}","Invocations":{},"Errors":{},"ColdStarts":{},)"
        R"("DurationUs":{},"BilledUs":{},"InitUs":{},"CpuUs":{},"WaitUs":{},"MemoryMib":{},)"
        R"("MemoryPeakBytes":{},"DurationP50Us":{},"DurationP95Us":{},"GbSeconds":{:.9f},)"
        R"("Cost":{:.9f}}})",
        quoted(row.function),
        version_text(row.version),
        row.invocations_count,
        row.errors_count,
        row.cold_count,
        row.duration_us,
        row.billed_us,
        row.init_us,
        row.cpu_us,
        row.wait_us,
        row.memory_mib_max,
        row.memory_peak_bytes_max,
        row.duration_p50_us,
        row.duration_p95_us,
        row.gb_seconds(),
        row.cost(prices)
    );
}

std::string bill_json(const Bill& bill, const Prices& prices) {
    std::string out = R"({"Rows":[)";
    for (const BillRow& row : bill.rows) {
        out += out.back() == '[' ? "" : ",";
        out += row_json(row, prices);
    }
    out += fmt::format(
        R"(],"Total":{},"GapRecords":{},"SegmentsMissing":{}}})",
        row_json(bill.total, prices),
        bill.gap_records_count,
        bill.segments_missing_count
    );
    return out;
}

}  // namespace hako::meter
