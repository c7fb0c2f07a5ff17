#pragma once

#include <cstdint>
#include <string>

#include "bench/load/histogram.h"
#include "engine/base/result.h"

namespace hako::bench {

/// First calls: makes `count` functions of one code package, calls each once and deletes them, in
/// batches so that no engine limit on functions or warm instances is met.
struct ColdPlan {
    std::string socket_path;
    std::string package_path;  ///< the zip that CreateFunction gets
    std::string create_json;   ///< CreateFunction's request; @NAME@ becomes the function's name
    std::string name_prefix = "bench-cold-";
    std::uint32_t count = 100;
    std::uint32_t payload_bytes = 64;
    std::int64_t gap_ms = 20;  ///< before each call: time for the pool of blank sandboxes to refill
    std::int64_t stall_ms = 30'000;
};

struct ColdOutcome {
    Histogram latency;   ///< request sent to answer received, client side
    Histogram init;      ///< what the engine reported as init duration
    Histogram duration;  ///< what the engine reported as duration
    std::uint64_t error_count = 0;
    std::uint64_t cold_count = 0;  ///< answers with an init duration: these were really cold
    std::string first_error;
};

/// Errors: kInvalid, kClosed, kTimeout, kProtocol (also: a Control request refused), kSystem.
[[nodiscard]] Result<ColdOutcome> run_cold(const ColdPlan& plan);

}  // namespace hako::bench
