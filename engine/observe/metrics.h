#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "engine/meter/histogram.h"
#include "engine/meter/ledger_record.h"

namespace hako::observe {

/// The engine's counters since its start: plain numbers of the loop thread. Sums come from the same
/// record that goes to the ledger, so they agree with it to the microsecond.
struct Metrics {
    // From records.
    std::uint64_t invocations_count = 0;
    std::array<std::uint64_t, meter::kOutcomeCount> outcomes_count = {};
    std::uint64_t cold_starts_count = 0;
    std::uint64_t duration_sum_us = 0;
    std::uint64_t billed_sum_us = 0;
    std::uint64_t init_sum_us = 0;
    std::uint64_t cpu_sum_us = 0;
    std::uint64_t event_bytes = 0;
    std::uint64_t response_bytes = 0;
    meter::Histogram duration_us;
    meter::Histogram wait_us;
    meter::Histogram init_us;  // cold starts only
    // Set by their owners.
    std::uint64_t throttles_count = 0;
    std::uint64_t log_dropped_bytes = 0;
    std::uint64_t in_flight_count = 0;
    std::uint64_t instances_count = 0;
    std::uint64_t instances_idle_count = 0;
    std::uint64_t connections_count = 0;       // of the frame socket
    std::uint64_t http_connections_count = 0;  // of the HTTP front door
    std::int64_t start_us = 0;  // CLOCK_MONOTONIC

    void record(const meter::LedgerRecord& record) noexcept;
    /// One JSON object; `now_us` gives the uptime.
    [[nodiscard]] std::string to_json(std::int64_t now_us) const;
    /// The same in Prometheus' text format (0.0.4); times in seconds.
    [[nodiscard]] std::string to_prometheus(std::int64_t now_us) const;
};

}  // namespace hako::observe
