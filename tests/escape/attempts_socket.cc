#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/escape/attempts.h"

// Other address families, other machines, and the host's own services.
namespace hako::escape {
namespace {

template <int Family, int Type, int Protocol>
long open_socket(const char*) {
    return ::socket(Family, Type | SOCK_CLOEXEC, Protocol);
}

/// The name of a host socket: abstract behind `@`, else a path.
long connect_unix(const char* name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t bytes = std::strlen(name);
    if (bytes >= sizeof(address.sun_path)) {
        errno = EINVAL;
        return -1;
    }
    std::memcpy(address.sun_path, name, bytes);
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + bytes);
    return fd < 0 ? -1 : ::connect(fd, reinterpret_cast<const sockaddr*>(&address), length);
}

/// "ADDRESS:PORT". Within a second loopback has refused; without a route nothing leaves at all. No
/// answer counts as a success: a packet has left.
long connect_tcp(const char* where) {
    char text[64] = {};
    std::strncpy(text, where, sizeof(text) - 1);
    char* const colon = std::strrchr(text, ':');
    if (colon == nullptr) {
        errno = EINVAL;
        return -1;
    }
    *colon = '\0';
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::strtoul(colon + 1, nullptr, 10)));
    ::inet_pton(AF_INET, text, &address.sin_addr);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    const int done = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    if (done == 0 || errno != EINPROGRESS) {
        return done;
    }
    pollfd waiting{.fd = fd, .events = POLLOUT, .revents = 0};
    int error = 0;
    socklen_t bytes = sizeof(error);
    (void)::poll(&waiting, 1, 1'000);
    (void)::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    errno = error;
    return error == 0 ? 0 : -1;
}

long send_to_internet(const char*) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(53);
    ::inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    return ::sendto(fd, "x", 1, 0, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

template <int Level, int Option>
long set_option(const char*) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int value[32] = {1};
    return ::setsockopt(fd, Level, Option, value, sizeof(value));
}

long mark_packets(const char*) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return ::setsockopt(fd, SOL_SOCKET, SO_MARK, "\1\0\0\0", 4);
}

/// Says to be init: only a process with rights may lie about its id.
long forge_credentials(const char*) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
        return -1;
    }
    char byte = 'x';
    iovec data{.iov_base = &byte, .iov_len = 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_CREDENTIALS;
    header->cmsg_len = CMSG_LEN(sizeof(ucred));
    const ucred credentials{.pid = 1, .uid = ::getuid(), .gid = ::getgid()};
    std::memcpy(CMSG_DATA(header), &credentials, sizeof(credentials));
    return ::sendmsg(pair[0], &message, MSG_NOSIGNAL);
}

constexpr int kNetfilter = NETLINK_NETFILTER;

constexpr std::array kAttempts = {
    Attempt{"raw-socket", open_socket<AF_INET, SOCK_RAW, IPPROTO_ICMP>},
    Attempt{"raw6-socket", open_socket<AF_INET6, SOCK_RAW, IPPROTO_ICMPV6>},
    Attempt{"packet-socket", open_socket<AF_PACKET, SOCK_RAW, 0>},
    Attempt{"netlink-route", open_socket<AF_NETLINK, SOCK_RAW, NETLINK_ROUTE>},
    Attempt{"netlink-netfilter", open_socket<AF_NETLINK, SOCK_RAW, kNetfilter>},
    Attempt{"netlink-uevent", open_socket<AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT>},
    Attempt{"netlink-audit", open_socket<AF_NETLINK, SOCK_RAW, NETLINK_AUDIT>},
    Attempt{"vsock", open_socket<AF_VSOCK, SOCK_STREAM, 0>},
    Attempt{"alg", open_socket<AF_ALG, SOCK_SEQPACKET, 0>},
    Attempt{"key-socket", open_socket<AF_KEY, SOCK_RAW, 2>},
    Attempt{"xdp-socket", open_socket<AF_XDP, SOCK_RAW, 0>},
    Attempt{"can-socket", open_socket<AF_CAN, SOCK_RAW, 1>},
    Attempt{"tipc-socket", open_socket<AF_TIPC, SOCK_SEQPACKET, 0>},
    Attempt{"sctp-socket", open_socket<AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP>},
    Attempt{"tcp-socket", open_socket<AF_INET, SOCK_STREAM, 0>},
    Attempt{"unix-socket", open_socket<AF_UNIX, SOCK_STREAM, 0>},
    Attempt{"connect-unix", connect_unix},
    Attempt{"connect-tcp", connect_tcp},
    Attempt{"send-udp", send_to_internet},
    Attempt{"iptables", set_option<IPPROTO_IP, 64>},
    Attempt{"tcp-repair", set_option<IPPROTO_TCP, TCP_REPAIR>},
    Attempt{"transparent", set_option<IPPROTO_IP, IP_TRANSPARENT>},
    Attempt{"socket-mark", mark_packets},
    Attempt{"forge-credentials", forge_credentials},
};

}  // namespace

std::span<const Attempt> socket_attempts() {
    return kAttempts;
}

}  // namespace hako::escape
