#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

// One interface over cgroup v1 (a hierarchy per controller) and v2 (one for all): a tree of ours
// with one leaf per sandbox. The two versions differ in a table of file names (cgroup.cc).
namespace hako::sandbox {

enum class Controller : std::uint8_t { kCpu, kCpuacct, kMemory, kPids, kFreezer };
inline constexpr std::size_t kControllerCount = 5;

enum class ControlFile : std::uint8_t {
    kMemoryLimit,
    kSwapLimit,
    kCpuWeight,
    kPidsMax,
    kFreezer,
    kCpuUsage,
    kMemoryPeak,
    kOomKills,
    kCpuQuota,
    kCpuPeriod,
};
inline constexpr std::size_t kControlFileCount = 10;

struct CgroupUsage {
    std::uint64_t cpu_ns = 0;
    std::uint64_t memory_peak_bytes = 0;
    std::uint32_t oom_kill_count = 0;
};

/// Where the tree of a spawner goes.
struct CgroupPlace {
    std::string name;           // one or more components
    bool is_delegated = false;  // not root: only where this user may write, and without the rest
};

/// One hierarchy we use, and which controllers it carries.
struct Hierarchy {
    std::string path;   // of our tree in it
    std::string base;   // what `path` is below: the mount point, or what was delegated
    std::string mount;  // where the hierarchy is mounted
    UniqueFd tree_dir;
    std::uint32_t controllers_mask = 0;
};

/// Where the controllers are; found in /proc/self/mountinfo.
struct CgroupMounts {
    int version = 0;  // 1 or 2; 0: no usable controller
    struct Mount {
        std::string path;
        std::uint32_t controllers_mask = 0;
    };
    std::vector<Mount> mounts;
};
[[nodiscard]] Result<CgroupMounts> find_cgroup_mounts();
/// The directory of the cgroup that this process is in.
[[nodiscard]] std::string find_own_cgroup(const CgroupMounts::Mount& mount, int version);
/// Controllers that `directory` of a v2 hierarchy offers.
[[nodiscard]] std::uint32_t read_v2_controllers(const std::string& directory);
/// Feature bits for the controllers that a tree at `place` would get; changes nothing.
[[nodiscard]] std::uint64_t survey_cgroups(const CgroupPlace& place);

class CgroupTree;

/// The leaf of one sandbox. Holds descriptors for joining and for limits, so that an Acquire costs
/// three writes. Removing it is explicit, because it can be busy.
class Cgroup {
public:
    Cgroup() = default;
    Cgroup(Cgroup&&) = default;
    Cgroup& operator=(Cgroup&&) = default;

    /// v1: `tasks` files the child writes "0" to. v2: one directory for CLONE_INTO_CGROUP.
    [[nodiscard]] std::span<const UniqueFd> join_fds() const noexcept { return join_fds_; }
    /// The sandbox has joined; the descriptors are not needed any more.
    void drop_join_fds() noexcept { join_fds_.clear(); }
    /// Memory without swap; CPU weight, and quota if the tree caps, in proportion to it. Errors:
    /// kSystem.
    [[nodiscard]] Result<void> set_limits(std::uint32_t memory_mib) noexcept;
    /// Opens a control file; empty if this kernel has none.
    [[nodiscard]] UniqueFd open_file(ControlFile file, int flags) const noexcept;
    [[nodiscard]] CgroupUsage read_usage() const noexcept;
    /// Makes frozen processes able to die; v2 also kills them.
    void thaw_and_kill() const noexcept;
    /// The processes in it, as seen from here.
    [[nodiscard]] std::vector<int> read_pids() const;
    /// Removes the leaf from every hierarchy. False: still busy, ask again. Errors: kSystem.
    [[nodiscard]] Result<bool> remove() noexcept;
    [[nodiscard]] explicit operator bool() const noexcept { return tree_ != nullptr; }

private:
    friend class CgroupTree;
    [[nodiscard]] Result<void> set_cpu_limits(std::uint32_t memory_mib) noexcept;
    const CgroupTree* tree_ = nullptr;
    std::string name_;
    std::vector<UniqueFd> join_fds_;
    UniqueFd memory_limit_;
    UniqueFd swap_limit_;
    UniqueFd cpu_weight_;
    UniqueFd cpu_quota_;
};

class CgroupTree {
public:
    /// Makes (or takes over) the tree `name`, relative to each hierarchy's mount point, and locks
    /// it. A delegated one leaves out the hierarchies in which there is no place to write to, if it
    /// must all of them (version 0). Errors: kExists (another spawner uses it), kUnsupported (no
    /// controller at all), kSystem.
    [[nodiscard]] static Result<CgroupTree> open(const CgroupPlace& place);
    [[nodiscard]] static Result<CgroupTree> open(const std::string& name) {
        return open(CgroupPlace{.name = name});
    }

    /// kFeature* bits of the wire protocol.
    [[nodiscard]] std::uint64_t features() const noexcept { return features_; }
    [[nodiscard]] int version() const noexcept { return version_; }
    /// Leaves made from now on get a CPU quota besides their weight: memory / 1769 MB of a core.
    /// False: this kernel has no CPU bandwidth control.
    [[nodiscard]] bool enable_cpu_cap() noexcept;
    [[nodiscard]] bool caps_cpu() const noexcept { return caps_cpu_; }
    /// Moves processes into a cgroup beside the tree with ten times its CPU weight, so that they
    /// run at once however many sandboxes are busy. `remove_tree` moves them back. Errors:
    /// kUnsupported (no CPU controller, or no way back), kSystem.
    [[nodiscard]] Result<void> prefer(std::initializer_list<int> pids);
    /// Kills and removes what a crashed run left. Returns how many sandboxes that were.
    [[nodiscard]] Result<std::uint32_t> remove_leftovers(std::int64_t deadline_us);
    /// The tree must not move while its leaves live.
    [[nodiscard]] Result<Cgroup> make(std::uint32_t slot) const;
    /// Removes the tree itself, when all leaves are gone.
    void remove_tree() noexcept;

    [[nodiscard]] const std::vector<Hierarchy>& hierarchies() const noexcept {
        return hierarchies_;
    }
    /// Opens `leaf`/file in the hierarchy that carries the file's controller.
    [[nodiscard]] UniqueFd open_in(const std::string& leaf, ControlFile file, int flags)
        const noexcept;

private:
    [[nodiscard]] Result<void> add_hierarchies(
        const CgroupMounts& mounts, const CgroupPlace& place
    );
    [[nodiscard]] Result<void> probe_features();
    void give_back_preferred() noexcept;
    int version_ = 0;  // 0: no hierarchy at all
    bool is_delegated_ = false;
    bool caps_cpu_ = false;
    std::string preferred_from_;  // directory of the cgroup they came from
    std::uint64_t features_ = 0;
    std::vector<Hierarchy> hierarchies_;
};

}  // namespace hako::sandbox
