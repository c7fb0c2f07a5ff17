#pragma once

#include <cstdint>

#include "engine/wire/spawner_protocol.h"
#include "sandbox/steps.h"

// What the spawner and its helpers (zygotes, namespace helper) say to one another: fixed structs
// over SOCK_SEQPACKET pairs, and one eventfd per sandbox on which its init reports. All are parts
// of one build, so there is no version.
namespace hako::sandbox {

/// The ids a sandbox's processes have inside; AWS's sbx_user1051.
inline constexpr std::uint32_t kInnerId = 993;
/// Slots and, above them, as many ids for the inits.
inline constexpr std::uint32_t kSlotsMax = 65536;
inline constexpr std::uint32_t kJoinFdsMax = 6;

/// Spawner -> zygote, with the descriptors of PlanFd followed by `join_fds_count` ones.
struct Plan {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    spawner::RuntimeKind runtime = spawner::RuntimeKind::kNative;
    std::uint32_t init_id = 0;    // host uid and gid of init; not mapped inside
    std::uint32_t shares_id = 0;  // there is one host id for all: init keeps it
    std::uint32_t join_fds_count = 0;
    std::uint32_t join_by_clone = 0;  // v2: the one join descriptor is for CLONE_INTO_CGROUP
};

enum PlanFd : std::uint32_t {
    kPlanChannel,
    kPlanDoorbell,
    kPlanLog,
    kPlanReport,
    kPlanUser,
    kPlanNet,
    kPlanFdCount
};

/// Zygote -> spawner. The first message of a zygote is a Made with slot kHello: it is ready.
struct Made {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    std::int32_t pid = 0;
    std::int32_t sys_errno = 0;
};
inline constexpr std::uint32_t kHello = UINT32_MAX;

/// Spawner -> namespace helper; the answer carries the descriptors asked for: net, then user.
struct NamespacesRequest {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    std::uint32_t want_user = 0;
    std::uint32_t host_id = 0;  // what kInnerId inside is outside
};
struct NamespacesAnswer {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    std::int32_t sys_errno = 0;
    std::uint32_t has_user = 0;
};

/// The eventfd's value is a sum of disjoint parts, because an eventfd adds what is written.
struct Report {
    static constexpr std::uint64_t kInitReady = 1U << 0U;
    static constexpr std::uint64_t kWorkerReady = 1U << 1U;
    static constexpr std::uint64_t kReady = kInitReady | kWorkerReady;
    static constexpr std::uint64_t kFailed = 1U << 2U;
    static constexpr std::uint64_t kExited = 1U << 3U;

    static constexpr std::uint64_t failed(Step step, int sys_errno) {
        return kFailed | (static_cast<std::uint64_t>(step) << 8U) |
               (static_cast<std::uint64_t>(sys_errno & 0xfff) << 16U);
    }
    static constexpr std::uint64_t exited(int wait_status) {
        return kExited | (static_cast<std::uint64_t>(wait_status & 0xffff) << 32U);
    }
    static constexpr Step step(std::uint64_t value) {
        return static_cast<Step>((value >> 8U) & 0xffU);
    }
    static constexpr int sys_errno(std::uint64_t value) {
        return static_cast<int>((value >> 16U) & 0xfffU);
    }
    static constexpr int wait_status(std::uint64_t value) {
        return static_cast<int>((value >> 32U) & 0xffffU);
    }
};

}  // namespace hako::sandbox
