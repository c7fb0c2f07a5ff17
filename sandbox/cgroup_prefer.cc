#include <cerrno>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/cgroup_files.h"

// CPU for the engine ahead of functions, and the hard cap of those.
namespace hako::sandbox {
namespace {

constexpr std::uint32_t kCpuBit = 1U << static_cast<std::uint32_t>(Controller::kCpu);

const Hierarchy* find_cpu_hierarchy(const std::vector<Hierarchy>& hierarchies) {
    for (const Hierarchy& hierarchy : hierarchies) {
        if ((hierarchy.controllers_mask & kCpuBit) != 0) {
            return &hierarchy;
        }
    }
    return nullptr;
}

bool write_text(const std::string& path, const std::string& text) noexcept {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// Beside our tree, not in it: there it would share the weight of all functions together.
std::string preferred_path(const Hierarchy& cpu) {
    return cpu.path + "-engine";
}

/// The cgroup we are in, as a path below the hierarchy's mount: "ID:CONTROLLERS:PATH", on v2
/// "0::PATH" (proc_pid_cgroup(5)).
std::string read_own_cgroup(int version) {
    std::ifstream file("/proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (second == std::string::npos) {
            continue;
        }
        const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
        if (version == 2 ? line.starts_with("0::") : names.find(",cpu,") != std::string::npos) {
            return line.substr(second + 1);
        }
    }
    return "/";
}

}  // namespace

bool CgroupTree::enable_cpu_cap() noexcept {
    // Our own tree's file: the root of a v2 hierarchy has none.
    caps_cpu_ = static_cast<bool>(open_in(".", ControlFile::kCpuQuota, O_WRONLY));
    return caps_cpu_;
}

Result<void> CgroupTree::prefer(std::initializer_list<int> pids) {
    const Hierarchy* cpu = find_cpu_hierarchy(hierarchies_);
    if (cpu == nullptr) {
        return fail(Errc::kUnsupported, "no CPU controller");
    }
    const std::string leaf = preferred_path(*cpu);
    if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST) {
        return fail_errno("mkdir the engine's cgroup");
    }
    // Ten times what all functions together have (the default).
    if (!write_text(
            leaf + (version_ == 1 ? "/cpu.shares" : "/cpu.weight"), version_ == 1 ? "10240" : "1000"
        )) {
        const Error error = errno_error("the engine's CPU weight");
        give_back_preferred();
        return fail(error);
    }
    const std::string mount = cpu->path.substr(0, cpu->path.size() - name_.size() - 1);
    const std::string own = read_own_cgroup(version_);
    // A spawner that was started again by an engine that is in the leaf already came from nowhere
    // else.
    preferred_from_ = leaf == mount + own ? mount : mount + own;
    for (const int pid : pids) {
        if (!write_text(leaf + "/cgroup.procs", std::to_string(pid))) {
            const Error error = errno_error("enter the engine's cgroup");
            give_back_preferred();
            return fail(error);
        }
    }
    return {};
}

void CgroupTree::give_back_preferred() noexcept {
    const Hierarchy* cpu = find_cpu_hierarchy(hierarchies_);
    if (cpu == nullptr) {
        return;
    }
    const std::string leaf = preferred_path(*cpu);
    std::ifstream pids(leaf + "/cgroup.procs");
    for (int pid = 0; pids >> pid;) {
        // Where it came from may be gone; the root of the hierarchy takes everybody. One that has
        // ended needs no place.
        if (preferred_from_.empty() ||
            !write_text(preferred_from_ + "/cgroup.procs", std::to_string(pid))) {
            const std::string root = cpu->path.substr(0, cpu->path.size() - name_.size());
            (void)write_text(root + "cgroup.procs", std::to_string(pid));
        }
    }
    (void)::rmdir(leaf.c_str());  // or at the next start
}

}  // namespace hako::sandbox
