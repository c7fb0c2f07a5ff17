#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/load/histogram.h"
#include "engine/base/result.h"

// The floors: what the same job costs with nothing of hako in it, in the same run and placement.
namespace hako::bench {

enum class WorkerLink : std::uint8_t {
    kStream,  ///< relay and worker talk over an AF_UNIX stream
    kFutex    ///< over shared memory and two futexes, as hako's channel does
};

struct ChainPlan {
    WorkerLink link = WorkerLink::kStream;
    std::uint32_t payload_bytes = 64;
    std::uint64_t count = 100'000;
    std::uint64_t warmup_count = 10'000;
    int cpu = -1;  ///< all three processes on it; -1: where the kernel puts them
    std::int64_t spin_us =
        0;  ///< kFutex: both sides of the link look for so long before they sleep
};

struct FloorOutcome {
    Histogram latency;
    double seconds = 0;
};

/// Client, relay and echo worker, three processes, one request at a time.
[[nodiscard]] Result<FloorOutcome> run_chain(const ChainPlan& plan);

struct PipelinePlan {
    std::uint32_t in_flight = 32;
    bool is_batched = false;  ///< relay and one worker pass on whatever they read, many at a time
    std::uint32_t worker_count =
        1;  ///< a worker has one request at a time, as a function instance has
    std::uint32_t payload_bytes = 64;
    std::uint64_t count = 1'000'000;
    std::uint64_t warmup_count = 10'000;
    int cpu = -1;
};

/// The same three kinds of process with `in_flight` requests outstanding at the client.
[[nodiscard]] Result<FloorOutcome> run_pipeline(const PipelinePlan& plan);

struct PythonPlan {
    std::string python = "/usr/bin/python3";
    std::string script;   ///< python_loop.py
    std::string handler;  ///< the file with `handler(event, context)`
    std::uint32_t payload_bytes = 64;
    std::uint64_t count = 20'000;
    std::uint64_t warmup_count = 1'000;
    int cpu = -1;
};

/// A bare Python loop around the handler at the other end of a socket pair.
[[nodiscard]] Result<FloorOutcome> run_python(const PythonPlan& plan);

struct SpawnPlan {
    std::vector<std::string> command;  ///< must write at least a byte to standard output
    std::uint32_t count = 200;
    std::uint32_t warmup_count = 10;
    bool use_fork = false;  ///< fork and exec in place of posix_spawn
    int cpu = -1;
};

/// Start of a program to its first byte; reaped outside the measured time.
[[nodiscard]] Result<FloorOutcome> run_spawn(const SpawnPlan& plan);

struct RelayPlan {
    std::uint64_t mib = 200;
    int cpu = -1;
};

struct RelayOutcome {
    std::uint64_t bytes = 0;
    double seconds = 0;
};

/// One process writes, one reads and writes on, we read, over AF_UNIX streams: the floor of a
/// streamed response.
[[nodiscard]] Result<RelayOutcome> run_relay(const RelayPlan& plan);

}  // namespace hako::bench
