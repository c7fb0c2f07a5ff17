#include "sandbox/walls.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <vector>

#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/wire/walls.h"
#include "sandbox/probe.h"

namespace hako::sandbox {
namespace {

/// Whether a zygote will be rid of the groups that this process is in beside its own.
bool try_leave_groups() {
    if (::setgroups(0, nullptr) == 0) {
        return true;
    }
    std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
    const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
    return count >= 0 &&
           std::ranges::all_of(groups, [](gid_t group) { return group == ::getegid(); });
}

/// Whether a crashing function starts no program of the host: core_pattern names a file, or the
/// limit can be 1, with which the kernel starts none (core(5) knows only 0, which a pipe ignores).
bool try_limit_cores() {
    std::ifstream file("/proc/sys/kernel/core_pattern");
    const rlimit one{.rlim_cur = 1, .rlim_max = 1};
    return file.peek() != '|' || ::setrlimit(RLIMIT_CORE, &one) == 0;
}

/// Whether our id is not the machine's root: root's files would be ours then.
bool is_not_root_outside() {
    struct stat info{};
    return ::stat("/proc/sys/kernel/core_pattern", &info) == 0 && info.st_uid != ::geteuid();
}

}  // namespace

std::uint32_t find_missing_walls(const Settings& settings, std::uint64_t features) {
    using namespace spawner;
    struct Row {
        Wall wall;
        bool holds;
    };
    const std::array rows = {
        Row{kWallNotRoot, !settings.ids.is_shared || is_not_root_outside()},
        Row{kWallOwnIds, !settings.ids.is_shared},
        Row{kWallGroups, try_in_child(try_leave_groups)},
        Row{kWallCoreHandler, try_in_child(try_limit_cores)},
        Row{kWallMemoryLimit, (features & kFeatureMemoryController) != 0},
        Row{kWallCpuShare, (features & kFeatureCpuController) != 0},
        Row{kWallProcessCount, (features & kFeaturePidsController) != 0},
        Row{kWallFreezer, (features & kFeatureFreezer) != 0},
        Row{kWallCpuTime, (features & kFeatureCpuTime) != 0},
    };
    std::uint32_t missing = 0;
    for (const Row& row : rows) {
        missing |= row.holds ? 0U : row.wall;
    }
    return missing;
}

}  // namespace hako::sandbox
