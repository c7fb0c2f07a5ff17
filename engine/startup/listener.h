#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace hako::startup {

/// A listening socket, and whether somebody else goes on listening on it when we stop.
struct Listener {
    UniqueFd fd;
    bool is_shared = false;
};

/// What systemd passed to this process, by what is to be spoken there.
struct ActivatedListeners {
    std::vector<Listener> frame;
    std::vector<Listener> http;  ///< TCP sockets, and those with `http` in their name
};

/// Listening sockets that systemd passed to this process (sd_listen_fds_with_names(3)): none
/// without LISTEN_PID/LISTEN_FDS for us. The variables are removed, so that children do not see
/// them. Errors: kInvalid (not listening stream sockets).
[[nodiscard]] Result<ActivatedListeners> take_activated_listeners();

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

/// Binds and listens on a TCP address. `falls_back`: all addresses of both families were meant, and
/// a machine without IPv6 has those of IPv4. Errors: kExists (the port is taken), kSystem.
[[nodiscard]] Result<UniqueFd> open_tcp_listener(
    const sockaddr_storage& address, socklen_t address_bytes, bool falls_back
);

}  // namespace hako::startup
