#pragma once

#include <sys/types.h>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace hako::startup {

/// The spawner's privileged keeper as a child of the engine, started before anything else exists.
/// It starts the spawner, and a new one should that die (engine/wire/keeper_protocol.h).
class SpawnerProcess {
public:
    /// Runs `path` with `arguments` (argv[1..]); "--keeper-fd" and its number are added. Its own
    /// process group: a terminal's Ctrl-C is for the engine to handle. Errors: kSystem.
    [[nodiscard]] static Result<SpawnerProcess> start(
        const std::string& path, std::vector<std::string> arguments
    );

    /// The engine's end of the keeper's control socket; once.
    [[nodiscard]] UniqueFd take_socket() noexcept { return std::move(socket_); }
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// Waits until it has ended, with the spawner and all sandboxes, and reaps it. False: it has
    /// not within `timeout_ms`.
    [[nodiscard]] bool join(int timeout_ms);

private:
    UniqueFd socket_;
    UniqueFd pidfd_;
    pid_t pid_ = -1;  // for messages only: signals go by pidfd
};

}  // namespace hako::startup
