#pragma once

#include <cstdint>

#include "engine/base/mapping.h"
#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/wire/spawner_protocol.h"
#include "sandbox/cgroup.h"
#include "sandbox/settings.h"
#include "sandbox/steps.h"
#include "sandbox/zygote_protocol.h"

namespace hako::sandbox {

/// kFree -> kMaking -> kBlank -> kAcquired -> kRemoving -> kFree; kMaking and kBlank may go
/// straight to kRemoving. In kRemoving every process is reaped and only the cgroup is left.
enum class RecordState : std::uint8_t { kFree, kMaking, kBlank, kAcquired, kRemoving };

/// Why something about a sandbox did not work.
struct StepError {
    Step step = Step::kNone;
    int sys_errno = 0;
};

/// One slot: a sandbox in whatever state, and everything the spawner owns of it. The host ids
/// follow from the slot, so a slot is free again only after complete removal.
struct Record {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;  // times the slot was used
    RecordState state = RecordState::kFree;
    spawner::RuntimeKind runtime = spawner::RuntimeKind::kNative;
    spawner::GoneReason reason = spawner::kGoneExited;
    bool kill_sent = false;
    bool was_acquired = false;                // the engine is owed a Gone
    std::uint32_t zygote_index = UINT32_MAX;  // who has the plan
    std::uint64_t report_value = 0;
    std::int64_t deadline_us = 0;  // of becoming ready
    StepError error;
    int wait_status = 0;
    CgroupUsage usage;
    int init_pid = 0;  // ours until we reap it

    UniqueFd user_namespace;  // kept by the slot: nothing of a sandbox stays in it
    UniqueFd pidfd;
    UniqueFd report;
    UniqueFd net;  // these two only until the plan is sent
    UniqueFd log_write;
    UniqueFd channel;
    UniqueFd doorbell;
    UniqueFd log_read;
    Mapping header;  // the channel's first page
    Cgroup cgroup;

    [[nodiscard]] std::uint64_t id() const noexcept {
        return (std::uint64_t{generation} << 32U) | slot;
    }
    /// Everything but the slot's own things.
    void clear_resources() noexcept;
};

/// The spawner's side of a new sandbox: cgroup leaf, channel, doorbell, log pipe, report eventfd.
[[nodiscard]] StepError make_resources(Record& record, const CgroupTree& tree, const IdPlan& ids);

/// Gives a blank its code, layers and limits, and tells its worker. `code_dir` and `own_mounts` are
/// the directory of code packages and the spawner's own mount namespace.
[[nodiscard]] StepError specialise(
    Record& record, const spawner::Acquire& request, int code_dir, int own_mounts
);

}  // namespace hako::sandbox
