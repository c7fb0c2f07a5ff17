#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// The walls around a sandbox that can be missing: because the engine was started without root, or
// on a machine that lacks something. The spawner finds out by trying and says so in its Started;
// the engine decides whether to run functions all the same. A wall that always holds where
// sandboxes can be built at all (namespaces, seccomp, no capabilities, no_new_privs) is not here.
namespace hako::spawner {

/// Bits of `Started::walls_missing`.
enum Wall : std::uint32_t {
    kWallOwnIds = 1U << 0U,
    kWallGroups = 1U << 1U,
    kWallCoreHandler = 1U << 2U,
    kWallMemoryLimit = 1U << 3U,
    kWallCpuShare = 1U << 4U,
    kWallProcessCount = 1U << 5U,
    kWallFreezer = 1U << 6U,
    kWallCpuTime = 1U << 7U,
    kWallNotRoot = 1U << 8U,
};

struct WallSpec {
    Wall wall;
    std::string_view name;     // as in settings, status and JSON
    bool is_wall;              // else a measure: functions run without it, unasked
    std::string_view missing;  // what is not there
    std::string_view instead;  // what that means, and what is done instead
};

inline constexpr std::array kWalls = {
    WallSpec{
        kWallNotRoot,
        "not-root",
        true,
        "outside of their user namespace sandboxes are root",
        "the engine was started by root as root of a user namespace: start it as root or as "
        "another "
        "user"
    },
    WallSpec{
        kWallOwnIds,
        "own-ids",
        true,
        "no user ids of their own for sandboxes",
        "all run as the engine's user, apart from one another by namespaces only; limits that the "
        "kernel counts by user are shared (newuidmap, newgidmap and a line of 2 or more ids in "
        "/etc/subuid and /etc/subgid give each its own)"
    },
    WallSpec{
        kWallGroups,
        "groups",
        true,
        "sandboxes keep the engine's supplementary groups",
        "what in /usr only those groups may read, functions may read"
    },
    WallSpec{
        kWallCoreHandler,
        "core-handler",
        true,
        "a crash starts the host's core handler",
        "core_pattern is a pipe and the hard limit of core files is 0: raise it to 1 or more"
    },
    WallSpec{
        kWallMemoryLimit,
        "memory-limit",
        true,
        "no memory limit",
        "a function takes what the machine has, and goes first when that runs out; REPORT says Max "
        "Memory Used: 0 MB"
    },
    WallSpec{
        kWallCpuShare,
        "cpu-share",
        true,
        "no CPU share in proportion to memory",
        "all processes compete as equals, the engine among them"
    },
    WallSpec{
        kWallProcessCount,
        "process-count",
        true,
        "no count of processes by cgroup",
        "RLIMIT_NPROC alone bounds them: 1024 for each sandbox on Linux 5.14 and later"
    },
    WallSpec{
        kWallFreezer,
        "freezer",
        true,
        "no freezer",
        "what a function leaves running goes on between invocations, until its instance ends; "
        "nothing is stopped by signals instead, which functions could see and undo"
    },
    WallSpec{
        kWallCpuTime,
        "cpu-time",
        false,
        "no CPU time of invocations",
        "the ledger and the bill say 0; duration is measured as ever"
    },
};

[[nodiscard]] constexpr const WallSpec* find_wall(std::string_view name) noexcept {
    for (const WallSpec& spec : kWalls) {
        if (spec.name == name) {
            return &spec;
        }
    }
    return nullptr;
}

/// Those of `mask` that are walls, not measures.
[[nodiscard]] constexpr std::uint32_t walls_only(std::uint32_t mask) noexcept {
    std::uint32_t walls = 0;
    for (const WallSpec& spec : kWalls) {
        walls |= spec.is_wall ? mask & spec.wall : 0;
    }
    return walls;
}

/// Names of the walls in `mask`, in the table's order, between commas.
[[nodiscard]] inline std::string wall_names(std::uint32_t mask) {
    std::string names;
    for (const WallSpec& spec : kWalls) {
        if ((mask & spec.wall) != 0) {
            names += names.empty() ? "" : ",";
            names += spec.name;
        }
    }
    return names;
}

/// The mask that "own-ids,freezer", "all" or "" stand for; nothing if a name is unknown.
[[nodiscard]] constexpr std::optional<std::uint32_t> parse_walls(std::string_view text) noexcept {
    if (text == "all") {
        return UINT32_MAX;
    }
    std::uint32_t mask = 0;
    while (!text.empty()) {
        const std::size_t end = text.find(',') < text.size() ? text.find(',') : text.size();
        const WallSpec* spec = find_wall(text.substr(0, end));
        if (spec == nullptr || end + 1 == text.size()) {
            return std::nullopt;
        }
        mask |= spec->wall;
        text.remove_prefix(end < text.size() ? end + 1 : end);
    }
    return mask;
}

}  // namespace hako::spawner
