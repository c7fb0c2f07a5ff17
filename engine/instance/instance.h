#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/dispatch/version_pool.h"
#include "engine/fiber/fiber.h"
#include "engine/instance/channel.h"
#include "engine/instance/spawner_link.h"
#include "engine/meter/cgroup_meter.h"
#include "engine/observe/log_collector.h"
#include "engine/ring/loop.h"

namespace hako::instance {

struct VersionRuntime;

/// One live sandbox of one function version. Owned by the manager; at any time it is in the hands
/// of one fiber: the one that starts it, the one whose invocation it runs, or the one that takes it
/// down.
struct Instance {
    enum class State : std::uint8_t { kStarting, kIdle, kBusy, kEnding };

    Instance(observe::FunctionLogs& logs, observe::LogHandle log_handle) : log(logs, log_handle) {}

    dispatch::InstanceId id = dispatch::kNoInstance;
    State state = State::kStarting;
    VersionRuntime* version = nullptr;
    Sandbox sandbox;
    Channel channel;
    ring::Watch doorbell_watch;
    ring::Watch log_watch;
    meter::CgroupMeter meter;
    observe::LogCollector log;
    std::string log_stream;
    std::optional<spawner::Gone> gone;  ///< set once the spawner has reported its end
    fiber::FiberId owner;               ///< unparked by the doorbell, by Gone, by a closed watch
    std::int64_t started_us = 0;
    std::int64_t acquired_us = 0;
    std::uint64_t cpu_seen_us = 0;  ///< CPU time already given to an invocation or to init
    std::int64_t idle_since_us = 0;
    ring::Timer freeze_timer;  ///< looks again after the grace period; see Manager::arm_freeze
    bool frozen = false;
    std::int64_t init_us = 0;  ///< told in the REPORT of the first invocation
    std::uint64_t invocation_count = 0;
    /// Times the doorbell woke us without an answer since the last one; over a bound the instance
    /// is a nuisance and ends.
    std::uint32_t idle_rings_count = 0;
    bool rings_too_much = false;
    ring::Timer log_timer;              ///< ends a pause in reading its pipe
    std::int64_t log_window_us = 0;     ///< since when `log_wakes_count` counts
    std::uint32_t log_wakes_count = 0;  ///< times its pipe woke us
    bool has_logged = false;  ///< has written to its pipe at least once: drain before each END line
    std::uint8_t open_watches_count = 0;
};

}  // namespace hako::instance
