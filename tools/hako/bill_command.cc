#include <cstdint>
#include <ctime>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <CLI/App.hpp>

#include "engine/meter/bill.h"
#include "tools/hako/output.h"

namespace hako::cli {
namespace {

struct BillArguments {
    std::string state = default_state_directory();
    std::string function;
    std::string version;
    std::string from;
    std::string until;
    meter::Prices prices;
    bool records = false;
};

/// "2017-12-14" or "2017-12-14T10:00:00Z" (UTC) in microseconds since 1970.
std::int64_t parse_time(const std::string& option, const std::string& text) {
    std::tm parts{};
    const char* end = ::strptime(text.c_str(), "%Y-%m-%d", &parts);
    if (end != nullptr && *end == 'T') {
        end = ::strptime(end, "T%H:%M:%SZ", &parts);
    }
    if (end == nullptr || *end != '\0') {
        throw Failure(
            Exit::kUsage,
            fmt::format("{}: must be YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ, not \"{}\"", option, text)
        );
    }
    return std::int64_t{::timegm(&parts)} * 1'000'000;
}

std::int64_t parse_version(const std::string& text) {
    if (text == "$LATEST") {
        return 0;
    }
    std::size_t used = 0;
    try {
        const long version = std::stol(text, &used);
        if (used == text.size() && version > 0) {
            return version;
        }
    } catch (const std::logic_error&) {
        used = 0;  // not a number, or one too large: the same answer as for "1x"
    }
    throw Failure(
        Exit::kUsage, fmt::format("--version: must be $LATEST or a number, not \"{}\"", text)
    );
}

meter::BillFilter filter_of(const BillArguments& arguments) {
    meter::BillFilter filter{.function = arguments.function};
    if (!arguments.version.empty()) {
        filter.version = parse_version(arguments.version);
    }
    if (!arguments.from.empty()) {
        filter.from_wall_us = parse_time("--from", arguments.from);
    }
    if (!arguments.until.empty()) {
        filter.until_wall_us = parse_time("--until", arguments.until);
    }
    return filter;
}

Failure ledger_failure(const std::string& directory, const Error& error) {
    return {
        Exit::kUsage,
        fmt::format("ledger {}: {} ({})", directory, error.what, errc_name(error.code))
    };
}

bool counts(const meter::LedgerRecord& record, const meter::BillFilter& filter) {
    return (filter.function.empty() || filter.function == record.function_name()) &&
           (filter.version < 0 || filter.version == std::int64_t{record.version}) &&
           record.start_wall_us >= filter.from_wall_us &&
           record.start_wall_us < filter.until_wall_us;
}

void print_records(
    meter::LedgerReader& reader, const meter::BillFilter& filter, const std::string& directory
) {
    for (;;) {
        meter::LedgerRecord record;
        const auto found = reader.next(record);
        if (!found) {
            throw ledger_failure(directory, found.error());
        }
        if (!*found) {
            return;
        }
        if (counts(record, filter)) {
            write_out(meter::record_json(record) + "\n");
        }
    }
}

void add_row(Table& table, const meter::BillRow& row, const meter::Prices& prices, bool is_total) {
    table.add({
        is_total ? "total" : row.function,
        is_total ? "" : meter::version_text(row.version),
        fmt::format("{}", row.invocations_count),
        fmt::format("{}", row.errors_count),
        fmt::format("{}", row.cold_count),
        milliseconds_text(row.duration_us),
        milliseconds_text(row.billed_us),
        milliseconds_text(row.init_us),
        milliseconds_text(row.cpu_us),
        bytes_text(row.memory_peak_bytes_max),
        fmt::format("{:.6f}", row.gb_seconds()),
        fmt::format("{:.9f}", row.cost(prices)),
    });
}

void print_table(const Context& context, const meter::Bill& bill, const meter::Prices& prices) {
    Table table({
        {.title = "FUNCTION"},
        {.title = "VERSION"},
        {.title = "CALLS", .align = Align::kRight},
        {.title = "ERRORS", .align = Align::kRight},
        {.title = "COLD", .align = Align::kRight},
        {.title = "DURATION", .align = Align::kRight},
        {.title = "BILLED", .align = Align::kRight},
        {.title = "INIT", .align = Align::kRight},
        {.title = "CPU", .align = Align::kRight},
        {.title = "PEAK", .align = Align::kRight},
        {.title = "GB-SECONDS", .align = Align::kRight},
        {.title = "DOLLARS", .align = Align::kRight},
    });
    for (const meter::BillRow& row : bill.rows) {
        add_row(table, row, prices, false);
    }
    add_row(table, bill.total, prices, true);
    table.print(context);
    if (bill.gap_records_count > 0 || bill.segments_missing_count > 0) {
        print_error(
            context,
            fmt::format(
                "the ledger has {} unreadable records and {} missing files",
                bill.gap_records_count,
                bill.segments_missing_count
            )
        );
    }
}

Exit bill(const Context& context, const BillArguments& arguments) {
    const meter::BillFilter filter = filter_of(arguments);
    const std::string directory = arguments.state + "/ledger";
    auto reader = meter::LedgerReader::open(directory);
    if (!reader) {
        throw ledger_failure(directory, reader.error());
    }
    if (arguments.records) {
        print_records(*reader, filter, directory);
        return Exit::kOk;
    }
    const auto summed = meter::summarise(*reader, filter);
    if (!summed) {
        throw ledger_failure(directory, summed.error());
    }
    if (context.json) {
        write_out(meter::bill_json(*summed, arguments.prices) + "\n");
    } else {
        print_table(context, *summed, arguments.prices);
    }
    return Exit::kOk;
}

}  // namespace

void add_bill_command(CLI::App& root, Context& context) {
    CLI::App* command = root.add_subcommand("bill", "Sum the ledger by function and version");
    auto arguments = std::make_shared<BillArguments>();
    command->add_option("--state", arguments->state, "State directory of the engine")
        ->type_name("DIR")
        ->capture_default_str();
    command->add_option("--function", arguments->function, "Only this function")->type_name("NAME");
    command->add_option("--version", arguments->version, "Only this version")->type_name("VERSION");
    command->add_option("--from", arguments->from, "Invocations that began then or later (UTC)")
        ->type_name("TIME");
    command->add_option("--until", arguments->until, "Invocations that began before (UTC)")
        ->type_name("TIME");
    command->add_flag("--records", arguments->records, "Every record as a line of JSON, no sums");
    command->add_option("--price-gb-second", arguments->prices.per_gb_s, "Dollars per GB-second")
        ->capture_default_str();
    command->add_option("--price-request", arguments->prices.per_request, "Dollars per request")
        ->capture_default_str();
    command->callback([&context, arguments]() {
        context.run = [&context, arguments]() { return bill(context, *arguments); };
    });
}

}  // namespace hako::cli
