#include <fstream>
#include <sstream>

#include "sandbox/cgroup.h"

namespace hako::sandbox {
namespace {

constexpr std::array<std::string_view, kControllerCount> kNames = {
    "cpu", "cpuacct", "memory", "pids", "freezer"
};

constexpr std::uint32_t bit(Controller controller) {
    return 1U << static_cast<std::uint32_t>(controller);
}

/// Controllers named in `text`, separated by `separator`.
std::uint32_t parse_controllers(const std::string& text, char separator) {
    std::uint32_t mask = 0;
    std::istringstream words(text);
    for (std::string word; std::getline(words, word, separator);) {
        for (std::size_t i = 0; i < kNames.size(); ++i) {
            if (word == kNames[i]) {
                mask |= 1U << i;
            }
        }
    }
    return mask;
}

/// One line of mountinfo: fields, " - ", type, source, super options (proc(5)).
struct MountLine {
    std::string path;
    std::string type;
    std::string options;
};

MountLine parse_line(const std::string& line) {
    MountLine mount;
    std::istringstream fields(line);
    std::string word;
    for (int i = 0; i < 5 && fields >> word; ++i) {
        if (i == 4) {
            mount.path = word;
        }
    }
    while (fields >> word && word != "-") {
    }
    fields >> mount.type >> word >> mount.options;
    return mount;
}

/// A line of /proc/self/cgroup is "ID:CONTROLLERS:PATH", on v2 "0::PATH" (proc_pid_cgroup(5)).
bool is_line_of(std::string_view controllers, std::uint32_t mask, int version) {
    return version == 2 ? controllers.empty()
                        : (parse_controllers(std::string(controllers), ',') & mask) != 0;
}

}  // namespace

std::uint32_t read_v2_controllers(const std::string& directory) {
    std::ifstream file(directory + "/cgroup.controllers");
    std::string text;
    std::getline(file, text);
    std::uint32_t mask = parse_controllers(text, ' ');
    if (mask != 0) {
        // CPU time and freezing are part of every v2 cgroup, without a controller.
        mask |= bit(Controller::kCpuacct) | bit(Controller::kFreezer);
    }
    return mask;
}

std::string find_own_cgroup(const CgroupMounts::Mount& mount, int version) {
    std::ifstream file("/proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (second == std::string::npos) {
            continue;
        }
        const auto controllers = std::string_view(line).substr(first + 1, second - first - 1);
        if (is_line_of(controllers, mount.controllers_mask, version)) {
            const std::string path = line.substr(second + 1);
            return path == "/" ? mount.path : mount.path + path;
        }
    }
    return mount.path;
}

Result<CgroupMounts> find_cgroup_mounts() {
    std::ifstream file("/proc/self/mountinfo");
    if (!file) {
        return fail_errno("open mountinfo");
    }
    CgroupMounts v1{.version = 1, .mounts = {}};
    CgroupMounts v2{.version = 2, .mounts = {}};
    std::uint32_t seen = 0;
    for (std::string line; std::getline(file, line);) {
        const MountLine mount = parse_line(line);
        if (mount.type == "cgroup") {
            const std::uint32_t mask = parse_controllers(mount.options, ',') & ~seen;
            if (mask != 0) {
                seen |= mask;
                v1.mounts.push_back({.path = mount.path, .controllers_mask = mask});
            }
        } else if (mount.type == "cgroup2" && v2.mounts.empty()) {
            const std::uint32_t mask = read_v2_controllers(mount.path);
            if (mask != 0) {
                v2.mounts.push_back({.path = mount.path, .controllers_mask = mask});
            }
        }
    }
    // A host is v2 where v2 has the memory controller; hybrid hosts keep it on v1.
    const bool memory_on_v2 =
        !v2.mounts.empty() && (v2.mounts.front().controllers_mask & bit(Controller::kMemory)) != 0;
    if (memory_on_v2 || v1.mounts.empty()) {
        return v2.mounts.empty() ? CgroupMounts{} : v2;
    }
    return v1;
}

}  // namespace hako::sandbox
