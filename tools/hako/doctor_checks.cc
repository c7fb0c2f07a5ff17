#include "tools/hako/doctor_checks.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>

#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "engine/base/unique_fd.h"

namespace hako::cli {
namespace {

namespace fs = std::filesystem;

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::string first_program(std::initializer_list<const char*> places) {
    std::error_code error;
    const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
    for (const char* place : places) {
        const fs::path candidate = folder / place;
        if (::access(candidate.c_str(), X_OK) == 0) {
            return candidate.lexically_normal().string();
        }
    }
    return {};
}

/// A file of the cgroup this process is in, in the hierarchy of `controller` (v1) or the only one.
std::string own_cgroup_path(int version, std::string_view controller) {
    std::ifstream memberships("/proc/self/cgroup");
    for (std::string line; std::getline(memberships, line);) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            continue;
        }
        const std::string list = "," + line.substr(first + 1, second - first - 1) + ",";
        const bool is_it = version == 2
                               ? list == ",,"
                               : list.find(fmt::format(",{},", controller)) != std::string::npos;
        if (is_it) {
            const std::string root = version == 2 ? std::string("/sys/fs/cgroup")
                                                  : fmt::format("/sys/fs/cgroup/{}", controller);
            const std::string own = root + line.substr(second + 1);
            // In a container the path may be that of the host: then the mount is our own cgroup.
            return ::access(own.c_str(), F_OK) == 0 ? own : root;
        }
    }
    return {};
}

/// Whether the file's mode has a write bit: root may open anything, so access() says nothing.
bool has_write_bit(const std::string& path) {
    struct stat status = {};
    return ::stat(path.c_str(), &status) == 0 && (status.st_mode & S_IWUSR) != 0;
}

struct RingProbe {
    int setup_errno = 0;
    bool defer_taskrun = false;
    std::uint32_t last_op = 0;

    [[nodiscard]] bool has_op(std::uint32_t op) const { return setup_errno == 0 && last_op >= op; }
};

UniqueFd set_up_ring(std::uint32_t flags) {
    io_uring_params params{};
    params.flags = flags;
    return UniqueFd(static_cast<int>(::syscall(SYS_io_uring_setup, 4U, &params)));
}

RingProbe probe_ring() {
    RingProbe result;
    const UniqueFd ring = set_up_ring(0);
    if (!ring) {
        result.setup_errno = errno;
        return result;
    }
    result.defer_taskrun =
        static_cast<bool>(set_up_ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN));
    constexpr std::uint32_t kOpsMax = 256;
    alignas(io_uring_probe)
        std::array<char, sizeof(io_uring_probe) + kOpsMax * sizeof(io_uring_probe_op)>
            memory{};
    if (::syscall(
            SYS_io_uring_register, ring.get(), IORING_REGISTER_PROBE, memory.data(), kOpsMax
        ) == 0) {
        io_uring_probe probe{};
        std::memcpy(&probe, memory.data(), sizeof(probe));
        result.last_op = probe.last_op;
    }
    return result;
}

/// Kernel limits that hako fills when it runs many sandboxes.
struct Limit {
    const char* name;
    const char* path;
    std::uint64_t wanted;
    const char* instead;
};
constexpr std::array kLimits = {
    Limit{
        "user.max_user_namespaces",
        "/proc/sys/user/max_user_namespaces",
        4096,
        "each sandbox holds one: no more sandboxes than that"
    },
    Limit{
        "user.max_net_namespaces",
        "/proc/sys/user/max_net_namespaces",
        4096,
        "each sandbox holds one: no more sandboxes than that"
    },
    Limit{
        "vm.max_map_count",
        "/proc/sys/vm/max_map_count",
        65530,
        "each fiber stack and channel holds mappings: fewer requests at a time"
    },
    Limit{
        "kernel.pid_max",
        "/proc/sys/kernel/pid_max",
        32768,
        "each sandbox holds at least two processes: fewer sandboxes"
    },
    Limit{
        "kernel.threads-max",
        "/proc/sys/kernel/threads-max",
        16384,
        "each sandbox holds at least two processes: fewer sandboxes"
    },
    Limit{
        "fs.nr_open",
        "/proc/sys/fs/nr_open",
        65536,
        "a live sandbox holds a dozen descriptors: fewer sandboxes"
    },
};

std::optional<std::uint64_t> read_number(const char* path) {
    const std::string line = first_line(path);
    char* end = nullptr;
    const std::uint64_t value = std::strtoull(line.c_str(), &end, 10);
    return end == line.c_str() ? std::nullopt : std::optional(value);
}

}  // namespace

Programs find_programs() {
    Programs found;
    found.engine = first_program(
        {"hakod", "../libexec/hako/hakod", "../libexec/hakod", "../sbin/hakod", "../../engine/hakod"
        }
    );
    const char* named = std::getenv("HAKO_SPAWNER");
    found.spawner =
        named != nullptr && *named != '\0'
            ? std::string(named)
            : first_program(
                  {"../libexec/hako/hako-spawner", "../../sandbox/hako-spawner", "hako-spawner"}
              );
    found.native_zygote = first_program(
        {"../libexec/hako/hako-zygote", "../../runtime-shim/native/hako-zygote", "hako-zygote"}
    );
    found.python_zygote = first_program(
        {"../libexec/hako/hako-zygote-python",
         "../../runtime-shim/python/hako-zygote-python",
         "hako-zygote-python"}
    );
    return found;
}

void check_programs(const Programs& programs, std::vector<DoctorCheck>& checks) {
    const auto add = [&checks](
                         const char* name, const std::string& path, bool needed, const char* instead
                     ) { checks.push_back({name, !path.empty(), needed, path, instead}); };
    add("hakod", programs.engine, true, "nothing: it is the engine");
    add("hako-spawner", programs.spawner, true, "nothing: it builds the sandboxes");
    add("hako-zygote", programs.native_zygote, true, "nothing: native functions start from it");
    add("hako-zygote-python", programs.python_zygote, false, "Python functions fail to start");
}

void check_ring(std::vector<DoctorCheck>& checks) {
    const RingProbe ring = probe_ring();
    constexpr std::uint32_t kOpFutexWake = 52;  // Linux 6.7; Debian 12's header ends before it
    checks.push_back(
        {"io_uring",
         ring.setup_errno == 0,
         true,
         ring.setup_errno == 0 ? fmt::format("operations 0..{}", ring.last_op)
                               : std::string(std::strerror(ring.setup_errno)),
         "nothing: it is the engine's event loop (see kernel.io_uring_disabled)"}
    );
    checks.push_back(
        {"io_uring defer_taskrun",
         ring.defer_taskrun,
         false,
         "",
         "completions interrupt the engine: some microseconds more for each"}
    );
    // Multishot accept came with the kernel that has IORING_OP_SOCKET, multishot poll before it.
    checks.push_back(
        {"io_uring multishot",
         ring.has_op(IORING_OP_SOCKET),
         false,
         "",
         "accepts and polls are asked for one by one"}
    );
    checks.push_back(
        {"io_uring futex", ring.has_op(kOpFutexWake), false, "", "one futex(2) call for each wake"}
    );
}

void check_cgroup_files(int cgroup_version, std::vector<DoctorCheck>& checks) {
    if (cgroup_version == 0) {
        return;  // there is none to look at; the probe has said so
    }
    const std::string own = own_cgroup_path(cgroup_version, "memory");
    const bool is_delegated = !own.empty() && ::access(own.c_str(), W_OK) == 0;
    checks.push_back(
        {"delegated cgroup",
         is_delegated,
         false,
         own,
         "this user cannot make cgroups here: without root, functions have no limits"}
    );
    // v2 files that every cgroup but the root has.
    const bool peak = cgroup_version == 1 ? has_write_bit(own + "/memory.max_usage_in_bytes")
                                          : has_write_bit(own + "/memory.peak");
    checks.push_back(
        {"memory peak reset",
         peak,
         false,
         "",
         "peak memory is that of the instance, not of the one invocation"}
    );
}

void check_kernel_files(std::vector<DoctorCheck>& checks) {
    const std::string debian = first_line("/proc/sys/kernel/unprivileged_userns_clone");
    const std::string apparmor =
        first_line("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    const auto most = read_number("/proc/sys/user/max_user_namespaces");
    checks.push_back(
        {"unprivileged user namespaces",
         debian != "0" && apparmor != "1" && most.value_or(0) > 0,
         false,
         "",
         "nothing as root; an ordinary user can build no sandbox"}
    );
    checks.push_back(
        {"newuidmap, newgidmap",
         ::access("/usr/bin/newuidmap", X_OK) == 0 && ::access("/usr/bin/newgidmap", X_OK) == 0,
         false,
         "/usr/bin",
         "nothing as root; else sandboxes share the engine's user id (package uidmap)"}
    );
    checks.push_back(
        {"cpu_dma_latency",
         ::access("/dev/cpu_dma_latency", W_OK) == 0,
         false,
         "/dev/cpu_dma_latency",
         "an idle processor wakes later: slower first calls after a pause"}
    );
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_IDMAP;
    attributes.userns_fd = static_cast<std::uint64_t>(std::numeric_limits<int>::max());
    // A kernel that knows the flag looks for the descriptor, which is none.
    (void)::syscall(SYS_mount_setattr, AT_FDCWD, "/", 0U, &attributes, sizeof(attributes));
    const int idmap_errno = errno;
    checks.push_back(
        {"idmapped mounts",
         idmap_errno == EBADF,
         false,
         idmap_errno == EPERM ? "only root can tell" : "",
         "code is mounted with the owner it has on disk, readable for all"}
    );
}

void check_limits(std::vector<DoctorCheck>& checks) {
    rlimit descriptors{};
    const bool is_known = ::getrlimit(RLIMIT_NOFILE, &descriptors) == 0;
    constexpr rlim_t kWanted = 65536;
    const bool may_raise = ::geteuid() == 0;
    checks.push_back(
        {"RLIMIT_NOFILE",
         is_known && (descriptors.rlim_max >= kWanted || may_raise),
         false,
         fmt::format("{} (hard)", descriptors.rlim_max),
         fmt::format("a live sandbox holds a dozen: below {} fewer sandboxes", kWanted)}
    );
    for (const Limit& limit : kLimits) {
        const auto value = read_number(limit.path);
        checks.push_back(
            {limit.name,
             value.value_or(0) >= limit.wanted,
             false,
             value ? fmt::format("{}", *value) : std::string("not there"),
             fmt::format("below {}: {}", limit.wanted, limit.instead)}
        );
    }
}

}  // namespace hako::cli
