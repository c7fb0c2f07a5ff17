#pragma once

#include <span>

#include <linux/filter.h>
#include <sys/types.h>

#include "engine/base/result.h"

namespace hako::sandbox {

/// What the engine may call once it serves: sandbox/policy/engine.policy, compiled when hako was
/// built.
[[nodiscard]] std::span<const sock_filter> engine_filter() noexcept;

/// Gives up every right of this process, for good: groups, ids (if root: to `uid` and `gid`, which
/// may be 0 in a user namespace only), all
/// capability sets, core dumps and ptrace by its own uid, new privileges; then the filter, on all
/// threads. Call it once everything that needs rights is open, at best before there are threads:
/// others lose their ids, capabilities and the right to new privileges too, but keep their bounding
/// sets, which are then of no use. Errors: kSystem, with the step.
[[nodiscard]] Result<void> confine_engine(uid_t uid, gid_t gid);

}  // namespace hako::sandbox
