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
    const CgroupMounts::Mount mount{.path = cpu->mount, .controllers_mask = cpu->controllers_mask};
    const std::string own = find_own_cgroup(mount, version_);
    // A spawner that was started again by an engine that is in the leaf already came from nowhere
    // else.
    preferred_from_ = leaf == own ? cpu->base : own;
    if (is_delegated_ && ::access((preferred_from_ + "/cgroup.procs").c_str(), W_OK) != 0) {
        return fail(Errc::kUnsupported, "not allowed to go back to where it came from");
    }
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
            (void)write_text(cpu->base + "/cgroup.procs", std::to_string(pid));
        }
    }
    (void)::rmdir(leaf.c_str());  // or at the next start
}

}  // namespace hako::sandbox
