#include "sandbox/probe.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <sstream>

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/id_map.h"
#include "engine/wire/walls.h"
#include "sandbox/cgroup.h"
#include "sandbox/syscalls.h"

namespace hako::sandbox {
namespace {

struct Field {
    const char* name;
    bool KernelFeatures::* member;
    bool (*try_it)();  // in a child process of its own, or null
    bool required;
};

template <int Flag>
bool try_unshare() {
    return ::unshare(Flag) == 0;
}

bool try_mount_api() {
    // All below it, too: without root they cannot be taken apart.
    constexpr unsigned kFlags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
    const int tree = sys::open_tree(AT_FDCWD, "/", kFlags);
    return tree >= 0 && sys::mount_setattr(tree, MOUNT_ATTR_RDONLY) == 0;
}

bool try_seccomp() {
    const std::uint32_t action = SECCOMP_RET_KILL_PROCESS;
    return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0U, &action) == 0;
}

bool try_mount_proc() {
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("proc", "/proc", "proc", MS_NOSUID, "subset=pid") == 0;
}

/// In a pid namespace: without root only the one who owns that may mount its processes.
bool try_proc_subset() {
    return ::unshare(CLONE_NEWNS | CLONE_NEWPID) == 0 && try_in_child(try_mount_proc);
}

bool try_clone3() {
    return ::syscall(SYS_clone3, nullptr, 0U) < 0 && errno == EINVAL;
}

bool try_pidfd() {
    return sys::pidfd_open(::getpid()) >= 0;
}

bool try_close_range() {
    return sys::close_from(1000) == 0;
}

bool try_memfd_noexec() {
    return ::memfd_create("probe", MFD_CLOEXEC | 0x0008U /* MFD_NOEXEC_SEAL */) >= 0;
}

using F = KernelFeatures;
constexpr std::array kFields = {
    Field{"root", &F::root, nullptr, false},
    Field{"user_namespace", &F::user_namespace, try_unshare<CLONE_NEWUSER>, true},
    Field{"pid_namespace", &F::pid_namespace, try_unshare<CLONE_NEWPID>, true},
    Field{"mount_namespace", &F::mount_namespace, try_unshare<CLONE_NEWNS>, true},
    Field{"ipc_namespace", &F::ipc_namespace, try_unshare<CLONE_NEWIPC>, true},
    Field{"uts_namespace", &F::uts_namespace, try_unshare<CLONE_NEWUTS>, true},
    Field{"net_namespace", &F::net_namespace, try_unshare<CLONE_NEWNET>, true},
    Field{"cgroup_namespace", &F::cgroup_namespace, try_unshare<CLONE_NEWCGROUP>, true},
    Field{"clone3", &F::clone3, try_clone3, true},
    Field{"pidfd", &F::pidfd, try_pidfd, true},
    Field{"close_range", &F::close_range, try_close_range, true},
    Field{"mount_api", &F::mount_api, try_mount_api, true},
    Field{"seccomp_filter", &F::seccomp_filter, try_seccomp, true},
    Field{"proc_subset", &F::proc_subset, try_proc_subset, true},
    Field{"memfd_noexec", &F::memfd_noexec, try_memfd_noexec, false},
};

}  // namespace

bool try_in_child(bool (*try_it)()) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::_exit(try_it() ? 0 : 1);
    }
    int status = 1;
    return pid > 0 && ::waitpid(pid, &status, 0) == pid && status == 0;
}

KernelFeatures probe_kernel() {
    KernelFeatures features;
    features.root = ::geteuid() == 0 && !is_in_user_namespace();
    for (const Field& field : kFields) {
        if (field.try_it != nullptr) {
            features.*field.member = try_in_child(field.try_it);
        }
    }
    constexpr unsigned kAskVersion = 1U;  // LANDLOCK_CREATE_RULESET_VERSION
    constexpr long kCreateRuleset = 444;
    const long abi = ::syscall(kCreateRuleset, nullptr, 0UL, kAskVersion);
    features.landlock_abi = abi > 0 ? static_cast<int>(abi) : 0;
    if (const auto mounts = find_cgroup_mounts()) {
        features.cgroup_version = mounts->version;
        constexpr std::array kNames = {"cpu", "cpuacct", "memory", "pids", "freezer"};
        for (const auto& mount : mounts->mounts) {
            for (std::size_t i = 0; i < kNames.size(); ++i) {
                if ((mount.controllers_mask & (1U << i)) != 0) {
                    features.cgroup_controllers += features.cgroup_controllers.empty() ? "" : ",";
                    features.cgroup_controllers += kNames[i];
                }
            }
        }
    }
    return features;
}

const char* find_missing(const KernelFeatures& features) noexcept {
    for (const Field& field : kFields) {
        if (field.required && !(features.*field.member)) {
            return field.name;
        }
    }
    return features.root && features.cgroup_version == 0 ? "cgroup controllers" : nullptr;
}

std::string to_json(const KernelFeatures& features, std::uint32_t walls_missing) {
    std::ostringstream json;
    json << std::boolalpha << '{';
    for (const Field& field : kFields) {
        json << '"' << field.name << "\": " << features.*field.member << ", ";
    }
    json << "\"landlock_abi\": " << features.landlock_abi
         << ", \"cgroup_version\": " << features.cgroup_version << ", \"cgroup_controllers\": \""
         << features.cgroup_controllers << "\", \"walls_missing\": [";
    const char* separator = "";
    for (const spawner::WallSpec& spec : spawner::kWalls) {
        if ((walls_missing & spec.wall) != 0) {
            json << separator << '"' << spec.name << '"';
            separator = ", ";
        }
    }
    json << "], \"missing\": ";
    if (const char* missing = find_missing(features)) {
        json << '"' << missing << '"';
    } else {
        json << "null";
    }
    json << '}';
    return json.str();
}

}  // namespace hako::sandbox
