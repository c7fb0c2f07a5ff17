#include "engine/startup/listener.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace hako::startup {
namespace {

constexpr int kListenFdsStart = 3;  // SD_LISTEN_FDS_START
constexpr int kBacklog = 4096;

int environment_number(const char* name) {
    const char* text = std::getenv(name);
    int number = -1;
    if (text != nullptr) {
        (void)std::from_chars(text, text + std::strlen(text), number);  // stays -1 if it is none
    }
    return number;
}

bool is_listening_stream(int fd) {
    int type = 0;
    int listening = 0;
    socklen_t bytes = sizeof(int);
    return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_STREAM &&
           ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) == 0 && listening == 1;
}

bool is_unix(int fd) {
    int family = 0;
    socklen_t bytes = sizeof(family);
    return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &bytes) == 0 && family == AF_UNIX;
}

Result<UniqueFd> unix_socket() {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
        return fail_errno("socket");
    }
    return fd;
}

// For a moment after an engine was killed the kernel still holds its ring, and through it the
// listening socket, which takes connections that nobody will ever serve.
bool is_served(int connected_fd) {
    ucred peer{};
    socklen_t bytes = sizeof(peer);
    return ::getsockopt(connected_fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0 ||
           ::kill(peer.pid, 0) == 0 || errno != ESRCH;
}

// A socket file nobody listens on is what a killed engine leaves behind.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0) {
        return {};  // nothing there
    }
    if (!S_ISSOCK(info.st_mode)) {
        return fail(Errc::kInvalid, "a file that is not a socket is in the way");
    }
    TRY_ASSIGN(const UniqueFd probe, unix_socket());
    const int rc =
        ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    const Error refusal = errno_error("connect to the socket in the way");
    if (rc == 0 ? is_served(probe.get()) : refusal.sys_errno == EAGAIN) {
        return fail(Errc::kExists, "another process serves this socket");
    }
    if (rc != 0 && refusal.sys_errno != ECONNREFUSED) {
        return fail(refusal);
    }
    if (::unlink(path.c_str()) != 0) {
        return fail_errno("unlink the stale socket");
    }
    return {};
}

}  // namespace

Result<ActivatedListeners> take_activated_listeners() {
    ActivatedListeners listeners;
    const bool ours = environment_number("LISTEN_PID") == static_cast<int>(::getpid());
    const int count = environment_number("LISTEN_FDS");
    const char* names_text = std::getenv("LISTEN_FDNAMES");
    const std::string names = names_text == nullptr ? "" : names_text;
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
        (void)::unsetenv(name);  // only fails on an empty name
    }
    if (!ours) {
        return listeners;
    }
    std::string_view rest = names;
    for (int fd = kListenFdsStart; fd < kListenFdsStart + count; ++fd) {
        const std::string_view name = rest.substr(0, rest.find(':'));
        rest.remove_prefix(std::min(rest.size(), name.size() + 1));
        if (!is_listening_stream(fd)) {
            return fail(Errc::kInvalid, "LISTEN_FDS: not a listening stream socket");
        }
        if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
            return fail_errno("LISTEN_FDS: fcntl");
        }
        const bool is_http = !is_unix(fd) || name.contains("http");
        (is_http ? listeners.http : listeners.frame)
            .push_back({.fd = UniqueFd(fd), .is_shared = true});
    }
    return listeners;
}

Result<UniqueFd> open_unix_listener(const ListenerOptions& options) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (options.path.size() >= sizeof(address.sun_path)) {
        return fail(Errc::kLimit, "socket: a path of at most 107 bytes");
    }
    std::memcpy(address.sun_path, options.path.data(), options.path.size());
    std::error_code made;
    const auto parent = std::filesystem::path(options.path).parent_path();
    if (!parent.empty()) {
        std::filesystem::create_directories(parent, made);
    }
    if (made) {
        return fail(sys_error(made.value(), "make the socket's folder"));
    }
    TRY(remove_stale(options.path, address));
    TRY_ASSIGN(UniqueFd listener, unix_socket());
    // Nobody may connect before mode and owner are set: bind makes the file with the umask's mode.
    const mode_t old_mask = ::umask(0777);
    const int bound =
        ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    const Error error = errno_error("bind");
    ::umask(old_mask);
    if (bound != 0) {
        return fail(error);
    }
    if (::chown(options.path.c_str(), options.uid, options.gid) != 0 ||
        ::chmod(options.path.c_str(), options.mode) != 0) {
        return fail_errno("set owner and mode of the socket");
    }
    if (::listen(listener.get(), kBacklog) != 0) {
        return fail_errno("listen");
    }
    return listener;
}

Result<UniqueFd> open_tcp_listener(
    const sockaddr_storage& address, socklen_t address_bytes, bool falls_back
) {
    const int family = address.ss_family;
    UniqueFd listener(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener && errno == EAFNOSUPPORT && falls_back) {
        sockaddr_in any{};
        any.sin_family = AF_INET;
        any.sin_port = reinterpret_cast<const sockaddr_in6&>(address).sin6_port;
        sockaddr_storage v4{};
        std::memcpy(&v4, &any, sizeof(any));
        return open_tcp_listener(v4, sizeof(any), false);
    }
    if (!listener) {
        return fail_errno("socket");
    }
    // Connections of an engine that has just ended must not keep the next one from its port.
    constexpr int kOn = 1;
    const int v6_only = falls_back ? 0 : 1;
    if (::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &kOn, sizeof(kOn)) != 0 ||
        (family == AF_INET6 &&
         ::setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) != 0)) {
        return fail_errno("setsockopt");
    }
    if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), address_bytes) != 0) {
        const Error error = errno_error("bind");
        return error.sys_errno == EADDRINUSE
                   ? fail({.code = Errc::kExists, .sys_errno = EADDRINUSE, .what = "bind"})
                   : fail(error);
    }
    if (::listen(listener.get(), kBacklog) != 0) {
        return fail_errno("listen");
    }
    return listener;
}

}  // namespace hako::startup
