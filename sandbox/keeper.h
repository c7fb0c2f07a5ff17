#pragma once

#include <string>
#include <vector>

#include "sandbox/cgroup.h"

namespace hako::sandbox {

struct KeeperOptions {
    int control_fd = -1;                 // to the engine; wire/keeper_protocol.h
    CgroupPlace cgroup;                  // the spawner's tree
    std::vector<std::string> arguments;  // of the spawner, without its --engine-fd
};

/// Starts the spawner as a child, and another one whenever it dies, until the engine goes away or
/// no spawner stays up. Before each start, and when it returns, every process of the last one is
/// dead and reaped: as their subreaper the keeper inherits them. Returns the exit code.
[[nodiscard]] int run_keeper(KeeperOptions options);

/// Tells the engine that there will be no spawner at all, as if one had ended with `exit_code`.
void give_up_at_once(int control_fd, int exit_code);

}  // namespace hako::sandbox
