#pragma once

#include <cstdint>
#include <string>

#include "bench/load/histogram.h"
#include "engine/base/result.h"

namespace hako::bench {

/// What to send. Closed loop: each connection keeps `in_flight` requests outstanding. Open loop
/// (`rate_per_s` > 0): request i is due at start + i / rate whatever the answers do, and its
/// latency counts from that instant, so a stall shows in every request it delayed (no coordinated
/// omission); `in_flight` then only bounds what is outstanding.
struct LoadPlan {
    std::string socket_path;
    std::string function;
    std::uint32_t connections = 1;
    std::uint32_t in_flight = 1;  ///< per connection, 1..kInFlightMax
    std::uint32_t payload_bytes = 64;
    std::uint64_t count = 0;       ///< requests to measure; 0: go by `duration_ms`
    std::int64_t duration_ms = 0;  ///< used if `count` is 0
    std::uint64_t warmup_count = 0;
    double rate_per_s = 0;
    std::int64_t stall_ms = 30'000;  ///< no answer at all for so long is an error
};
inline constexpr std::uint32_t kInFlightMax = 65'536;
inline constexpr std::uint32_t kConnectionsMax = 4096;

struct LoadOutcome {
    Histogram latency;
    std::uint64_t error_count =
        0;  ///< answers with a bad status, a function error, another payload
    std::string first_error;
    double seconds = 0;  ///< from the end of the warm-up to the last answer
};

/// Runs `plan` to its end. Errors: kInvalid (a field out of range), kClosed, kTimeout, kProtocol,
/// kSystem.
[[nodiscard]] Result<LoadOutcome> run_load(const LoadPlan& plan);

}  // namespace hako::bench
