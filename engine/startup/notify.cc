#include "engine/startup/notify.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace hako::startup {

Notifier::Notifier() {
    const char* path = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path == nullptr || (path[0] != '/' && path[0] != '@') ||
        std::strlen(path) >= sizeof(address.sun_path)) {
        return;
    }
    const std::size_t path_bytes = std::strlen(path);
    std::memcpy(address.sun_path, path, path_bytes);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';  // an abstract name
    }
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto address_bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_bytes);
    if (fd_ >= 0 &&
        ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), address_bytes) != 0) {
        ::close(fd_);
        fd_ = -1;
    }
    (void)::unsetenv("NOTIFY_SOCKET");  // children are not to speak for us
}

Notifier::~Notifier() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

void Notifier::send(std::string_view lines) const noexcept {
    if (fd_ >= 0) {
        (void
        )::send(fd_, lines.data(), lines.size(), MSG_NOSIGNAL | MSG_DONTWAIT);  // see the header
    }
}

}  // namespace hako::startup
