#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "engine/wire/keeper_protocol.h"
#include "engine/wire/spawner_protocol.h"
#include "sandbox/zygote_protocol.h"

namespace hako::sandbox {

/// Which host ids a slot's worker and init have, for users and groups alike.
struct IdPlan {
    std::uint32_t base = 0x70000000;
    std::uint32_t init_offset = kSlotsMax;  // above all workers'
    bool is_shared = false;                 // there is one id only: ours

    [[nodiscard]] std::uint32_t worker(std::uint32_t slot) const noexcept {
        return is_shared ? 0 : base + slot;
    }
    [[nodiscard]] std::uint32_t init(std::uint32_t slot) const noexcept {
        return is_shared ? 0 : base + init_offset + slot;
    }
};

struct Settings {
    int engine_fd = -1;
    std::string code_dir;
    std::string cgroup = "hako";
    bool in_user_namespace = false;                 // we are root in one only
    std::optional<std::uint32_t> mapped_ids_count;  // we made it: from 1 on so many ids are ours
    std::string native_zygote;
    std::string python_zygote;
    std::string seccomp_bpf;
    std::string runtime_dir;
    IdPlan ids;
    std::uint32_t slots_max = 4096;
    std::uint32_t native_zygotes_count = 1;
    bool cpu_cap = false;        // CPU time limited to memory / 1769 MB of a core
    int engine_pid = 0;          // 0: our parent
    bool prefer_engine = false;  // the engine and we get a CPU weight above all sandboxes
    std::array<std::uint32_t, spawner::kRuntimeKindCount> pool_targets = {};
};

/// Exit codes of hako-spawner; each comes with one line on standard error.
enum ExitCode : int {
    kExitOk = 0,
    kExitUsage = 2,
    kExitNoNamespace = spawner::kSpawnerExitNoNamespace,  // not root, and no user namespace to be
                                                          // had that is of use
    kExitKernel = 4,    // a kernel feature is missing; the line names it
    kExitInUse = 5,     // another spawner holds the cgroup tree
    kExitSystem = 6,    // a system call failed at start
    kExitZygote = 7,    // the native zygote does not come up
    kExitProtocol = 8,  // the engine sent what it never sends
};

}  // namespace hako::sandbox
