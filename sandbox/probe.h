#pragma once

#include <cstdint>
#include <string>

namespace hako::sandbox {

/// What this kernel offers to this process; found once at start by trying, in a child process.
struct KernelFeatures {
    bool root = false;  // of the machine, not of a user namespace
    bool user_namespace = false;
    bool pid_namespace = false;
    bool mount_namespace = false;
    bool ipc_namespace = false;
    bool uts_namespace = false;
    bool net_namespace = false;
    bool cgroup_namespace = false;
    bool clone3 = false;
    bool pidfd = false;
    bool close_range = false;
    bool mount_api = false;  // open_tree and mount_setattr: detached read-only mounts
    bool seccomp_filter = false;
    bool proc_subset = false;  // proc with subset=pid
    bool memfd_noexec = false;
    int landlock_abi = 0;  // 0: none
    int cgroup_version = 0;
    std::string cgroup_controllers;  // comma-separated
};

[[nodiscard]] KernelFeatures probe_kernel();
/// Whether `try_it` returns true, tried in a child so that nothing of it changes us.
[[nodiscard]] bool try_in_child(bool (*try_it)());
/// The name of a required feature that is missing, or null.
[[nodiscard]] const char* find_missing(const KernelFeatures& features) noexcept;
/// `walls_missing`: bits of spawner::Wall.
[[nodiscard]] std::string to_json(const KernelFeatures& features, std::uint32_t walls_missing);

}  // namespace hako::sandbox
