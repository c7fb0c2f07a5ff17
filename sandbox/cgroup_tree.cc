#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/wire/spawner_protocol.h"
#include "sandbox/cgroup_files.h"
#include "sandbox/syscalls.h"

namespace hako::sandbox {
namespace {

constexpr std::array<ControlFileSpec, kControlFileCount> kFiles = {{
    {Controller::kMemory, "memory.limit_in_bytes", "memory.max"},
    {Controller::kMemory, "memory.memsw.limit_in_bytes", "memory.swap.max"},
    {Controller::kCpu, "cpu.shares", "cpu.weight"},
    {Controller::kPids, "pids.max", "pids.max"},
    {Controller::kFreezer, "freezer.state", "cgroup.freeze"},
    {Controller::kCpuacct, "cpuacct.usage", "cpu.stat"},
    {Controller::kMemory, "memory.max_usage_in_bytes", "memory.peak"},
    {Controller::kMemory, "memory.oom_control", "memory.events"},
    {Controller::kCpu, "cpu.cfs_quota_us", "cpu.max"},
    {Controller::kCpu, "cpu.cfs_period_us", "cpu.max"},
}};

// An empty cgroup that stays frozen keeps the v1 freezer's static key on: freezing any other one
// then takes 9 us instead of 97 (KERNEL.md).
constexpr const char* kAnchor = "anchor";

constexpr std::int64_t kThawAgainUs = 100'000;

// v2: where processes go that are in the way in an inner node.
constexpr const char* kProcessesLeaf = "engine";

bool write_at(int dir, const std::string& path, std::string_view text) noexcept {
    const UniqueFd fd(::openat(dir, path.c_str(), O_WRONLY | O_CLOEXEC));
    return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// v2 wants no processes in inner nodes: ours, if they are in the way, move to a leaf beside.
bool move_processes_to_leaf(int dir) {
    if (::mkdirat(dir, kProcessesLeaf, 0755) != 0 && errno != EEXIST) {
        return false;
    }
    const UniqueFd procs(::openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC));
    std::array<char, 65536> buffer;
    const ssize_t got = procs ? ::read(procs.get(), buffer.data(), buffer.size()) : -1;
    std::string_view text(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        // It may have ended.
        (void)write_at(dir, std::string(kProcessesLeaf) + "/cgroup.procs", text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return got >= 0;
}

void enable_v2_controllers(int dir) {
    // Memory first: it alone is refused where processes are (EBUSY). cpu or pids would be granted,
    // make this a threaded subtree, and nothing below could take a sandbox or the memory
    // controller.
    for (const std::string_view name : {"+memory", "+cpu", "+pids"}) {
        if (!write_at(dir, "cgroup.subtree_control", name) && errno == EBUSY &&
            move_processes_to_leaf(dir)) {
            // Still refused: the controller's files are missing below, which `features` tells.
            (void)write_at(dir, "cgroup.subtree_control", name);
        }
    }
}

/// Makes every component of `name` below `base` and opens the last one.
Result<Hierarchy> open_hierarchy(
    const CgroupMounts::Mount& mount, const std::string& base, const std::string& name, int version
) {
    Hierarchy hierarchy{
        .path = base,
        .base = base,
        .mount = mount.path,
        .tree_dir = {},
        .controllers_mask = mount.controllers_mask,
    };
    UniqueFd dir(::open(base.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::string_view rest = name;
    while (dir && !rest.empty()) {
        const std::string part(rest.substr(0, rest.find('/')));
        rest.remove_prefix(std::min(part.size() + 1, rest.size()));
        if (version == 2) {
            enable_v2_controllers(dir.get());
        }
        if (::mkdirat(dir.get(), part.c_str(), 0755) != 0 && errno != EEXIST) {
            return fail_errno("mkdir cgroup tree");
        }
        dir.reset(::openat(dir.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        hierarchy.path += "/" + part;
    }
    if (!dir) {
        return fail_errno("open cgroup tree");
    }
    if (version == 2) {
        enable_v2_controllers(dir.get());
    }
    hierarchy.tree_dir = std::move(dir);
    return hierarchy;
}

/// Where a delegated tree may be, in this order: below the cgroup we are in (a systemd unit with
/// Delegate=, one that an administrator made and put us into), or below the mount point, where
/// `name` then leads to a directory that was given to this user.
std::vector<std::string> delegated_bases(const CgroupMounts::Mount& mount, int version) {
    std::string own = find_own_cgroup(mount, version);
    const std::string above = own.substr(0, own.rfind('/'));
    // v2: a spawner before us made room by moving everybody, and so us, to a leaf.
    if (version == 2 && own == above + "/" + kProcessesLeaf && ::access(above.c_str(), W_OK) == 0) {
        own = above;
    }
    return own == mount.path ? std::vector{own} : std::vector{own, mount.path};
}

/// Whether the tree could be made: the last part of its path that exists is ours to write to.
bool may_make(const std::string& base, const std::string& name) {
    std::string path = base + "/" + name;
    while (path.size() > base.size() && ::access(path.c_str(), F_OK) != 0) {
        path.resize(path.rfind('/'));
    }
    return ::access(path.c_str(), W_OK | X_OK) == 0;
}

std::string find_delegated_base(
    const CgroupMounts::Mount& mount, const std::string& name, int version
) {
    for (const std::string& base : delegated_bases(mount, version)) {
        if (may_make(base, name)) {
            return base;
        }
    }
    return {};
}

std::set<std::string> list_leaves(const Hierarchy& hierarchy) {
    std::set<std::string> leaves;
    const int fd = ::openat(hierarchy.tree_dir.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* dir = fd < 0 ? nullptr : ::fdopendir(fd);
    if (dir == nullptr) {
        return leaves;
    }
    while (const dirent* entry = ::readdir(dir)) {
        if (std::string_view(entry->d_name).starts_with(kLeafPrefix)) {
            leaves.insert(entry->d_name);
        }
    }
    ::closedir(dir);
    return leaves;
}

struct Leaf {
    const CgroupTree& tree;
    const std::string& name;
};

/// Kills every process of `leaf` by pidfd and waits until each is gone.
bool kill_leaf(const Hierarchy& hierarchy, const Leaf& leaf, std::int64_t deadline_us) {
    for (;;) {
        // Each time round: an engine that has not heard yet of its spawner's death may have frozen
        // an idle instance since.
        thaw_and_kill_leaf(leaf.tree, leaf.name);
        const std::vector<int> pids = read_leaf_pids(hierarchy, leaf.name);
        if (pids.empty()) {
            return true;
        }
        for (const int pid : pids) {
            const UniqueFd pidfd(sys::pidfd_open(pid));
            const std::int64_t left_us = deadline_us - now_us();
            if (left_us <= 0) {
                return false;
            }
            if (!pidfd || sys::pidfd_kill(pidfd.get()) != 0) {
                continue;  // ended meanwhile; the list is read again
            }
            pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
            const std::int64_t wait_us = std::min(left_us, kThawAgainUs);
            (void)::poll(&ended, 1, static_cast<int>(wait_us / 1000));  // the list tells
        }
    }
}

/// rmdir, again while the kernel still holds dead processes' references.
bool remove_leaf(const Hierarchy& hierarchy, const std::string& leaf, std::int64_t deadline_us) {
    while (::unlinkat(hierarchy.tree_dir.get(), leaf.c_str(), AT_REMOVEDIR) != 0) {
        if (errno != EBUSY || now_us() > deadline_us) {
            return errno == ENOENT;
        }
        (void)::poll(nullptr, 0, 1);
    }
    return true;
}

}  // namespace

const ControlFileSpec& spec_of(ControlFile file) noexcept {
    return kFiles[static_cast<std::size_t>(file)];
}

std::vector<int> read_leaf_pids(const Hierarchy& hierarchy, const std::string& leaf) {
    std::vector<int> pids;
    std::ifstream file(hierarchy.path + "/" + leaf + "/cgroup.procs");
    for (int pid = 0; file >> pid;) {
        if (pid > 0) {
            pids.push_back(pid);
        }
    }
    return pids;
}

void thaw_and_kill_leaf(const CgroupTree& tree, const std::string& leaf) noexcept {
    // Failures leave the processes to the SIGKILL of the caller.
    const UniqueFd freezer = tree.open_in(leaf, ControlFile::kFreezer, O_WRONLY);
    if (tree.hierarchies().empty()) {
        return;
    }
    if (tree.version() == 1) {
        (void)!::write(freezer.get(), "THAWED", 6);
        return;
    }
    (void)write_at(tree.hierarchies().front().tree_dir.get(), leaf + "/cgroup.kill", "1");
    (void)!::write(freezer.get(), "0", 1);
}

UniqueFd CgroupTree::open_in(const std::string& leaf, ControlFile file, int flags) const noexcept {
    const ControlFileSpec& spec = spec_of(file);
    const std::uint32_t wanted = 1U << static_cast<std::uint32_t>(spec.controller);
    for (const Hierarchy& hierarchy : hierarchies_) {
        if ((hierarchy.controllers_mask & wanted) != 0) {
            const std::string path = leaf + "/" + (version_ == 1 ? spec.v1 : spec.v2);
            return UniqueFd(::openat(hierarchy.tree_dir.get(), path.c_str(), flags | O_CLOEXEC));
        }
    }
    return {};
}

Result<void> CgroupTree::add_hierarchies(const CgroupMounts& mounts, const CgroupPlace& place) {
    for (CgroupMounts::Mount mount : mounts.mounts) {
        std::string base = mount.path;
        if (place.is_delegated) {
            base = find_delegated_base(mount, place.name, mounts.version);
            if (base.empty()) {
                continue;
            }
            if (mounts.version == 2) {
                mount.controllers_mask = read_v2_controllers(base);
            }
        }
        auto hierarchy = open_hierarchy(mount, base, place.name, mounts.version);
        if (hierarchy) {
            hierarchies_.push_back(std::move(*hierarchy));
        } else if (!place.is_delegated) {
            return fail(hierarchy.error());
        }  // else without it, which `features` tells
    }
    return {};
}

Result<CgroupTree> CgroupTree::open(const CgroupPlace& place) {
    TRY_ASSIGN(const CgroupMounts mounts, find_cgroup_mounts());
    if (mounts.version == 0 && !place.is_delegated) {
        return fail(Errc::kUnsupported, "no cgroup controllers");
    }
    CgroupTree tree;
    tree.is_delegated_ = place.is_delegated;
    TRY(tree.add_hierarchies(mounts, place));
    if (tree.hierarchies_.empty()) {
        return tree;
    }
    tree.version_ = mounts.version;
    // Two spawners on one tree would kill each other's sandboxes.
    if (::flock(tree.hierarchies_.front().tree_dir.get(), LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? fail(Errc::kExists, "cgroup tree in use by another spawner")
                                    : fail_errno("lock cgroup tree");
    }
    TRY(tree.probe_features());
    return tree;
}

std::uint64_t survey_cgroups(const CgroupPlace& place) {
    namespace wire = spawner;
    const auto mounts = find_cgroup_mounts();
    std::uint32_t mask = 0;
    for (const CgroupMounts::Mount& mount : mounts ? mounts->mounts : CgroupMounts{}.mounts) {
        const std::string base = place.is_delegated
                                     ? find_delegated_base(mount, place.name, mounts->version)
                                     : mount.path;
        if (!base.empty() && may_make(base, place.name)) {
            mask |= mounts->version == 2 ? read_v2_controllers(base) : mount.controllers_mask;
        }
    }
    struct Row {
        Controller controller;
        std::uint64_t feature;
    };
    constexpr std::array kRows = {
        Row{Controller::kMemory, wire::kFeatureMemoryController},
        Row{Controller::kCpu, wire::kFeatureCpuController},
        Row{Controller::kPids, wire::kFeaturePidsController},
        Row{Controller::kFreezer, wire::kFeatureFreezer},
        Row{Controller::kCpuacct, wire::kFeatureCpuTime},
    };
    std::uint64_t features = 0;
    for (const Row& row : kRows) {
        if ((mask & (1U << static_cast<std::uint32_t>(row.controller))) != 0) {
            features |= row.feature;
        }
    }
    return features;
}

Result<void> CgroupTree::probe_features() {
    namespace wire = spawner;
    constexpr const char* kProbe = "probe";
    features_ = version_ == 1 ? wire::kFeatureCgroupV1 : wire::kFeatureCgroupV2;
    for (const Hierarchy& hierarchy : hierarchies_) {
        if (::mkdirat(hierarchy.tree_dir.get(), kProbe, 0755) != 0 && errno != EEXIST) {
            return fail_errno("mkdir cgroup");
        }
        if (version_ == 1 && (hierarchy.controllers_mask & (1U << 4U)) != 0 &&
            (::mkdirat(hierarchy.tree_dir.get(), kAnchor, 0755) == 0 || errno == EEXIST)) {
            // Only costs time if it fails.
            (void
            )write_at(hierarchy.tree_dir.get(), std::string(kAnchor) + "/freezer.state", "FROZEN");
        }
    }
    struct Probe {
        ControlFile file;
        int flags;
        std::uint64_t feature;
    };
    constexpr std::array kProbes = {
        Probe{ControlFile::kMemoryLimit, O_WRONLY, wire::kFeatureMemoryController},
        Probe{ControlFile::kCpuWeight, O_WRONLY, wire::kFeatureCpuController},
        Probe{ControlFile::kPidsMax, O_WRONLY, wire::kFeaturePidsController},
        Probe{ControlFile::kFreezer, O_WRONLY, wire::kFeatureFreezer},
        Probe{ControlFile::kCpuUsage, O_RDONLY, wire::kFeatureCpuTime},
        Probe{ControlFile::kSwapLimit, O_WRONLY, wire::kFeatureSwapLimit},
        Probe{ControlFile::kMemoryPeak, O_RDWR, wire::kFeatureMemoryPeakReset},
    };
    for (const Probe& probe : kProbes) {
        const UniqueFd fd = open_in(kProbe, probe.file, probe.flags);
        // Root may open memory.peak for writing although it is 0444 and, before Linux 6.12, refuses
        // the write: only a reset that worked says that there is one.
        const bool resets = probe.file == ControlFile::kMemoryPeak;
        if (fd && (!resets || ::pwrite(fd.get(), "0", 1, 0) == 1)) {
            features_ |= probe.feature;
        }
    }
    for (const Hierarchy& hierarchy : hierarchies_) {
        (void)::unlinkat(hierarchy.tree_dir.get(), kProbe, AT_REMOVEDIR);  // or at the next start
    }
    return {};
}

Result<std::uint32_t> CgroupTree::remove_leftovers(std::int64_t deadline_us) {
    std::set<std::string> leaves;
    for (const Hierarchy& hierarchy : hierarchies_) {
        leaves.merge(list_leaves(hierarchy));
    }
    for (const std::string& leaf : leaves) {
        for (const Hierarchy& hierarchy : hierarchies_) {
            if (!kill_leaf(hierarchy, {.tree = *this, .name = leaf}, deadline_us) ||
                !remove_leaf(hierarchy, leaf, deadline_us)) {
                return fail(Errc::kTimeout, "remove leftover sandboxes");
            }
        }
    }
    return static_cast<std::uint32_t>(leaves.size());
}

void CgroupTree::remove_tree() noexcept {
    give_back_preferred();
    // What is not empty stays for the next start to clean.
    for (const Hierarchy& hierarchy : hierarchies_) {
        (void)::unlinkat(hierarchy.tree_dir.get(), kAnchor, AT_REMOVEDIR);
        (void)::rmdir(hierarchy.path.c_str());
    }
}

}  // namespace hako::sandbox
