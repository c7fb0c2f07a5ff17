#include "engine/observe/metrics.h"

#include <fmt/core.h>

namespace hako::observe {
namespace {

std::string histogram_json(const meter::Histogram& histogram) {
    return fmt::format(
        R"({{"Count":{},"Sum":{},"Min":{},"P50":{},"P90":{},"P99":{},"P999":{},"Max":{}}})",
        histogram.count(),
        histogram.sum(),
        histogram.min(),
        histogram.quantile(0.50),
        histogram.quantile(0.90),
        histogram.quantile(0.99),
        histogram.quantile(0.999),
        histogram.max()
    );
}

}  // namespace

void Metrics::record(const meter::LedgerRecord& record) noexcept {
    ++invocations_count;
    const auto outcome = static_cast<std::size_t>(record.outcome);
    if (outcome < outcomes_count.size()) {
        ++outcomes_count[outcome];
    }
    duration_sum_us += record.duration_us;
    billed_sum_us += record.billed_us;
    init_sum_us += record.init_us;
    cpu_sum_us += record.cpu_us;
    event_bytes += record.event_bytes;
    response_bytes += record.response_bytes;
    duration_us.record(record.duration_us);
    wait_us.record(record.wait_us);
    if (record.cold != 0) {
        ++cold_starts_count;
        init_us.record(record.init_us);
    }
}

std::string Metrics::to_json(std::int64_t now_us) const {
    std::string outcomes;
    for (std::size_t i = 0; i < outcomes_count.size(); ++i) {
        outcomes += fmt::format(
            R"({}"{}":{})",
            outcomes.empty() ? "" : ",",
            meter::outcome_name(static_cast<meter::Outcome>(i)),
            outcomes_count[i]
        );
    }
    return fmt::format(
        R"({{"UptimeUs":{},"Invocations":{},"Outcomes":{{{}}},"ColdStarts":{},"Throttles":{},)"
        R"("InFlight":{},"Instances":{},"InstancesIdle":{},"Connections":{},"HttpConnections":{},"DurationSumUs":{},)"
        R"("BilledSumUs":{},"InitSumUs":{},"CpuSumUs":{},"EventBytes":{},"ResponseBytes":{},)"
        R"("LogDroppedBytes":{},"DurationUs":{},"WaitUs":{},"InitUs":{}}})",
        now_us - start_us,
        invocations_count,
        outcomes,
        cold_starts_count,
        throttles_count,
        in_flight_count,
        instances_count,
        instances_idle_count,
        connections_count,
        http_connections_count,
        duration_sum_us,
        billed_sum_us,
        init_sum_us,
        cpu_sum_us,
        event_bytes,
        response_bytes,
        log_dropped_bytes,
        histogram_json(duration_us),
        histogram_json(wait_us),
        histogram_json(init_us)
    );
}

}  // namespace hako::observe
