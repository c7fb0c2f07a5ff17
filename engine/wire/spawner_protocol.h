#pragma once

#include <cstdint>

// What engine and spawner say to one another over a SOCK_SEQPACKET pair: one fixed-size struct per
// packet, host byte order, descriptors by SCM_RIGHTS. The spawner checks every field of every
// request (`validate`); an invalid one ends the connection, because the engine never sends one.
namespace hako::spawner {

inline constexpr std::uint32_t kProtocolVersion = 2;
inline constexpr std::uint32_t kCodeIdBytes = 64;  // lower-case hex SHA-256, no terminator
inline constexpr std::uint32_t kMemoryMibMin = 128;
inline constexpr std::uint32_t kMemoryMibMax = 32768;
inline constexpr std::uint32_t kTmpMibMin = 512;
inline constexpr std::uint32_t kTmpMibMax = 10240;

/// Which kind of blank a sandbox starts from.
enum class RuntimeKind : std::uint32_t { kNative = 0, kExecutable = 1, kPython = 2 };
inline constexpr std::uint32_t kRuntimeKindCount = 3;

enum class Op : std::uint32_t {
    // engine -> spawner
    kAcquire = 1,
    kDestroy = 2,
    kPoolTarget = 3,
    kStats = 4,
    // spawner -> engine
    kStarted = 101,   // once, when the pools may be used: features and pool sizes
    kAcquired = 102,  // answer to kAcquire, with descriptors
    kGone =
        103,  // a sandbox that was acquired has ended, for whatever reason; sent once per sandbox
    kStatsAnswer = 104,
};

/// Takes a blank of `runtime` and gives it its code, layers and limits. Answer: Acquired with the
/// same ticket.
struct Acquire {
    Op op = Op::kAcquire;
    RuntimeKind runtime = RuntimeKind::kNative;
    std::uint64_t ticket = 0;
    std::uint32_t memory_mib = 0;  // kMemoryMibMin..kMemoryMibMax
    std::uint32_t tmp_mib = 0;     // kTmpMibMin..kTmpMibMax
    char code_id[kCodeIdBytes] = {};
    char layers_id[kCodeIdBytes] = {};  // what goes to /opt; all NUL: nothing
};

[[nodiscard]] inline bool has_layers(const Acquire& request) noexcept {
    return request.layers_id[0] != '\0';
}

/// Kills everything in the sandbox. Answer: Gone. Unknown ids are ignored (the Gone is already
/// under way).
struct Destroy {
    Op op = Op::kDestroy;
    std::uint32_t reserved = 0;
    std::uint64_t sandbox_id = 0;
};

/// How many blanks of `runtime` to keep ready.
struct PoolTarget {
    Op op = Op::kPoolTarget;
    RuntimeKind runtime = RuntimeKind::kNative;
    std::uint32_t blanks_count = 0;
    std::uint32_t reserved = 0;
};

struct StatsRequest {
    Op op = Op::kStats;
    std::uint32_t reserved = 0;
};

/// What the spawner found at start; bits of `features`.
enum Feature : std::uint64_t {
    kFeatureCgroupV1 = 1U << 0U,
    kFeatureCgroupV2 = 1U << 1U,
    kFeatureMemoryController = 1U << 2U,
    kFeatureCpuController = 1U << 3U,
    kFeaturePidsController = 1U << 4U,
    kFeatureFreezer = 1U << 5U,
    kFeatureMemoryPeakReset = 1U << 6U,  // writing to the memory_peak descriptor resets it
    kFeatureNetNamespace = 1U << 7U,
    kFeatureSwapLimit = 1U << 8U,
    kFeaturePython = 1U << 9U,          // the Python zygote is up
    kFeatureUserNamespace = 1U << 10U,  // all is built in a user namespace, without root
    kFeatureCpuTime = 1U << 11U,
};

struct Started {
    Op op = Op::kStarted;
    std::uint32_t protocol_version = kProtocolVersion;
    std::uint64_t features = 0;
    std::uint32_t leftovers_removed_count = 0;  // sandboxes of a crashed run that were cleaned up
    std::uint32_t walls_missing = 0;            // bits of Wall (walls.h)
};

/// Descriptors that come with a successful Acquired, in this order. An absent one is not sent and
/// its bit is not set.
enum AcquiredFd : std::uint32_t {
    kFdChannel = 0,   // memfd, HAKO_CHANNEL_BYTES, sealed against resizing
    kFdDoorbell = 1,  // eventfd the worker rings
    kFdLogPipe = 2,   // non-blocking read end of the function's stdout and stderr
    kFdCpuUsage = 3,  // v1 cpuacct.usage (nanoseconds) or v2 cpu.stat
    kFdMemoryPeak =
        4,  // v1 memory.max_usage_in_bytes or v2 memory.peak, read-write if it can be reset
    kFdFreezer = 5,  // v1 freezer.state or v2 cgroup.freeze, writable
};
inline constexpr std::uint32_t kAcquiredFdCount = 6;

struct Acquired {
    Op op = Op::kAcquired;
    std::int32_t sys_errno = 0;  // 0: it worked
    std::uint64_t ticket = 0;
    std::uint64_t sandbox_id = 0;
    std::uint32_t fds_mask = 0;  // bit i: descriptor AcquiredFd(i) is attached
    std::uint32_t blanks_left_count = 0;
    char step[48] = {};  // which step failed
};

enum GoneReason : std::uint32_t {
    kGoneExited = 0,       // the runtime process ended by itself: wait_status says how
    kGoneDestroyed = 1,    // we were asked to
    kGoneSetupFailed = 2,  // specialising it failed: step and sys_errno
    kGoneSpawnerLost = 3,  // never sent: the engine's own, for the sandboxes of a dead spawner
};

struct Gone {
    Op op = Op::kGone;
    GoneReason reason = kGoneExited;
    std::uint64_t sandbox_id = 0;
    std::int32_t wait_status = 0;  // as of waitpid(2), of the runtime process
    std::int32_t sys_errno = 0;
    std::uint32_t oom_kill_count = 0;
    std::uint32_t reserved = 0;
    std::uint64_t cpu_ns = 0;
    std::uint64_t memory_peak_bytes = 0;
    char step[48] = {};
};

struct StatsAnswer {
    Op op = Op::kStatsAnswer;
    std::uint32_t blanks_count[kRuntimeKindCount] = {};
    std::uint32_t live_count = 0;  // acquired and not gone
    std::uint32_t reserved = 0;
    std::uint64_t made_count = 0;
    std::uint64_t destroyed_count = 0;
};

inline constexpr std::uint32_t kPacketBytesMax = 256;
static_assert(sizeof(Acquire) == 152 && sizeof(Acquired) == 80 && sizeof(Gone) == 96);

}  // namespace hako::spawner
