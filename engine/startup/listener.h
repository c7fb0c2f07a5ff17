#pragma once

#include <sys/types.h>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace hako::startup {

/// Listening sockets that systemd passed to this process (sd_listen_fds(3)): empty without
/// LISTEN_PID/LISTEN_FDS for us. The variables are removed, so that children do not see them.
/// Errors: kInvalid (not listening stream sockets).
[[nodiscard]] Result<std::vector<UniqueFd>> take_activated_listeners();

struct ListenerOptions {
    std::string path;
    mode_t mode = 0660;
    uid_t uid = static_cast<uid_t>(-1);  ///< new owner of the socket file; -1: unchanged
    gid_t gid = static_cast<gid_t>(-1);
};

/// Binds and listens on a Unix stream socket. A file left by a dead engine is replaced; a socket
/// that answers is not. The folder is made if missing. Errors: kExists (another process serves it),
/// kLimit (path over 107 bytes), kInvalid (something that is not a socket lies there), kSystem.
[[nodiscard]] Result<UniqueFd> open_unix_listener(const ListenerOptions& options);

}  // namespace hako::startup
