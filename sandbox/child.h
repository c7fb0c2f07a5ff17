#pragma once

#include <array>
#include <span>

#include <linux/filter.h>

#include "sandbox/zygote.h"
#include "sandbox/zygote_protocol.h"

namespace hako::sandbox {

/// All that the code after the clone needs; made before it, because nothing may allocate there.
struct ChildContext {
    Plan plan;
    std::array<int, kPlanFdCount> fds{};
    std::array<int, kJoinFdsMax> join_fds{};
    std::span<const sock_filter> worker_filter;
    std::span<const sock_filter> init_filter;
    const ZygoteHooks* hooks = nullptr;
    int spawner_pidfd = -1;
    bool in_user_namespace = false;
};

/// The life of a sandbox's pid 1, from right behind the clone. Forks the worker.
[[noreturn]] void run_init(const ChildContext& context) noexcept;

}  // namespace hako::sandbox
