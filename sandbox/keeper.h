#pragma once

#include <string>
#include <vector>

namespace hako::sandbox {

struct KeeperOptions {
    int control_fd = -1;                 // to the engine; wire/keeper_protocol.h
    std::string cgroup;                  // the spawner's tree
    std::vector<std::string> arguments;  // of the spawner, without its --engine-fd
};

/// Starts the spawner as a child, and another one whenever it dies, until the engine goes away or
/// no spawner stays up. Before each start, and when it returns, every process of the last one is
/// dead and reaped: as their subreaper the keeper inherits them. Returns the exit code.
[[nodiscard]] int run_keeper(KeeperOptions options);

}  // namespace hako::sandbox
