#include "engine/missing_walls.h"

#include <utility>

#include <sys/wait.h>

#include <fmt/format.h>

#include "engine/engine.h"
#include "engine/observe/engine_log.h"
#include "engine/wire/keeper_protocol.h"
#include "engine/wire/walls.h"

namespace hako {

using observe::Level;

bool MissingWalls::accept(std::uint32_t walls_missing, std::string_view accepted) {
    const bool is_new = std::exchange(missing_, walls_missing) != walls_missing;
    // The settings' parser has refused what is no list of walls.
    const std::uint32_t refused =
        spawner::walls_only(walls_missing) & ~spawner::parse_walls(accepted).value_or(0);
    for (const spawner::WallSpec& spec : spawner::kWalls) {
        if (is_new && (walls_missing & spec.wall) != 0) {
            observe::log_line(
                (refused & spec.wall) != 0 ? Level::kError : Level::kWarning,
                "walls",
                "{}={}: {}; {}",
                spec.is_wall ? "missing" : "unknown",
                spec.name,
                spec.missing,
                spec.instead
            );
        }
    }
    if (refused == 0) {
        return true;
    }
    observe::log_line(
        Level::kError,
        "walls",
        "refusing to run functions without these walls: {}. To run trusted code all the same: "
        "--allow-missing-walls {} (key allow_missing_walls)",
        spawner::wall_names(refused),
        spawner::wall_names(spawner::walls_only(walls_missing))
    );
    return false;
}

std::string MissingWalls::json() const {
    std::string json;
    for (const spawner::WallSpec& spec : spawner::kWalls) {
        if ((missing_ & spec.wall) != 0) {
            // The table's texts need no escaping: tests/unit/wire/walls_test.cc.
            json += fmt::format(
                R"({}{{"Name":"{}","IsWall":{},"Missing":"{}","Instead":"{}"}})",
                json.empty() ? "" : ",",
                spec.name,
                spec.is_wall,
                spec.missing,
                spec.instead
            );
        }
    }
    return json;
}

int explain_no_spawner(const Error& error, int wait_status) {
    if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != spawner::kSpawnerExitNoNamespace) {
        observe::log_line(Level::kError, "spawner", "did not start: {}", error.what);
        return 1;
    }
    observe::log_line(
        Level::kError,
        "spawner",
        "no sandboxes without root on this machine: it forbids user namespaces to ordinary users. "
        "Start the engine as root, or allow them (hakod(8), WITHOUT ROOT)"
    );
    return kExitNoNamespace;
}

}  // namespace hako
