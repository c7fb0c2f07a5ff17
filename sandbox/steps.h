#pragma once

#include <cstdint>
#include <string_view>

namespace hako::sandbox {

/// Every step of building a sandbox, in order, by one name for logs, errors, tests and docs.
enum class Step : std::uint8_t {
    kNone,
    // spawner, before
    kSlot,
    kMakeCgroup,
    kMakeChannel,
    kMakePipe,
    kMakeNamespaces,
    kSendPlan,
    kClone,
    // init (pid 1), still with the zygote's rights
    kJoinCgroups,
    kUnshareCgroup,
    kJoinNet,
    kMountProc,
    kMountTmp,
    kInitIds,
    kJoinUser,
    kDropBounding,
    kLockSecurebits,
    kForkWorker,
    // init, confining itself
    kInitDropCapabilities,
    kInitDescriptors,
    kInitPdeathsig,
    kInitRseq,
    kInitSeccomp,
    // worker (pid 2)
    kWorkerIds,
    kWorkerDropCapabilities,
    kWorkerDescriptors,
    kWorkerSession,
    kWorkerSeccomp,
    // spawner, when it is acquired
    kOpenCode,
    kEnterMounts,
    kMountCode,
    kOpenLayers,
    kMountLayers,
    kResizeTmp,
    kSetLimits,
    kZygoteGone,
    kReadyTimeout,
    kCount
};

/// Stable name of `step`; at most 40 characters.
[[nodiscard]] std::string_view step_name(Step step) noexcept;

}  // namespace hako::sandbox
