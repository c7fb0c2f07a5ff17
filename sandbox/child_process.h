#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace hako::sandbox {

/// A privileged helper program of the spawner, at the other end of a SOCK_SEQPACKET pair. It is
/// killed when the spawner dies, and ends by itself when the socket closes.
struct ChildProcess {
    int pid = 0;  // ours until we reap it
    UniqueFd pidfd;
    UniqueFd socket;

    /// Starts `path` with `arguments` followed by "--control-fd 3", an empty environment, and no
    /// other descriptor but standard input (/dev/null), output and error. Errors: kSystem.
    [[nodiscard]] static Result<ChildProcess> start(
        const std::string& path, std::vector<std::string> arguments
    );
};

}  // namespace hako::sandbox
