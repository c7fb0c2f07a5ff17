#include "bench/floors/stream.h"

#include <cerrno>

#include <sys/socket.h>
#include <unistd.h>

namespace hako::bench {

Result<StreamPair> StreamPair::make() {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        return fail_errno("socketpair");
    }
    return StreamPair{.near = UniqueFd(fds[0]), .far = UniqueFd(fds[1])};
}

Result<void> write_all(int fd, std::span<const char> bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0) {
            return fail_errno("send");
        }
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
    return {};
}

Result<void> read_all(int fd, std::span<char> bytes) {
    while (!bytes.empty()) {
        const ssize_t got = read(fd, bytes.data(), bytes.size());
        if (got < 0) {
            return fail_errno("read");
        }
        if (got == 0) {
            return fail(Errc::kClosed, "read: end of stream");
        }
        bytes = bytes.subspan(static_cast<std::size_t>(got));
    }
    return {};
}

}  // namespace hako::bench
