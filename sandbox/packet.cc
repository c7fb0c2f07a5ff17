#include "sandbox/packet.h"

#include <cerrno>
#include <cstring>

#include <sys/socket.h>

namespace hako::sandbox {

Result<void> send_packet(
    int socket, std::span<const std::byte> bytes, std::span<const int> fds
) noexcept {
    iovec iov{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kPacketFdsMax)> control;
    msghdr message{};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    if (fds.size() > kPacketFdsMax) {
        return fail(Errc::kInvalid, "too many descriptors in a packet");
    }
    if (!fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    for (;;) {
        const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
        if (sent >= 0) {
            return {};
        }
        if (errno != EINTR) {
            return fail_errno("sendmsg");
        }
    }
}

Result<ReceivedPacket> receive_packet(int socket, std::span<std::byte> buffer) noexcept {
    iovec iov{.iov_base = buffer.data(), .iov_len = buffer.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kPacketFdsMax)> control;
    msghdr message{};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t got = 0;
    do {
        got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return fail_errno("recvmsg");
    }
    ReceivedPacket packet;
    packet.bytes = static_cast<std::size_t>(got);
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count && packet.fds_count < kPacketFdsMax; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
            packet.fds[packet.fds_count++] = UniqueFd(fd);
        }
    }
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        return fail(Errc::kProtocol, "packet larger than any known one");
    }
    return packet;
}

}  // namespace hako::sandbox
