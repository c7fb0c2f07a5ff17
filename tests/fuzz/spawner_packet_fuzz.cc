#include <array>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/ensure.h"
#include "sandbox/packet.h"
#include "tests/fuzz/fuzz.h"

// Packets with descriptors as spawner and zygotes receive them. Each step of the input sends one:
// how many descriptors, in how many control messages, how much room the receiver has. No descriptor
// may stay open, and the next packet must be whole.

namespace {

using namespace hako;
using sandbox::kPacketFdsMax;

struct World {
    World() {
        int fds[2] = {-1, -1};
        const int made = ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds);
        ENSURE(made == 0, "a socket pair can be made");
        near.reset(fds[0]);
        far.reset(fds[1]);
        null.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    UniqueFd near;
    UniqueFd far;
    UniqueFd null;
};

/// The lowest free number: moves up if something is left open below it.
int lowest_free_fd(const World& world) {
    const UniqueFd probe(::fcntl(world.null.get(), F_DUPFD_CLOEXEC, 0));
    return probe.get();
}

/// As send_packet, but also what it would not send: more descriptors, credentials beside them.
bool send_raw(const World& world, std::string_view text, std::size_t fds_count, bool credentials) {
    constexpr std::size_t kFdsMax = 64;
    std::array<int, kFdsMax> fds;
    fds.fill(world.null.get());
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(fds)) + CMSG_SPACE(sizeof(ucred))> control{
    };
    iovec part{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    std::size_t used_bytes = 0;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (fds_count > 0) {
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds_count * sizeof(int));
        std::memcpy(CMSG_DATA(header), fds.data(), fds_count * sizeof(int));
        used_bytes += CMSG_SPACE(fds_count * sizeof(int));
    }
    if (credentials) {
        header = reinterpret_cast<cmsghdr*>(control.data() + used_bytes);
        const ucred self{.pid = ::getpid(), .uid = ::getuid(), .gid = ::getgid()};
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_CREDENTIALS;
        header->cmsg_len = CMSG_LEN(sizeof(self));
        std::memcpy(CMSG_DATA(header), &self, sizeof(self));
        used_bytes += CMSG_SPACE(sizeof(self));
    }
    message.msg_controllen = used_bytes;
    message.msg_control = used_bytes > 0 ? control.data() : nullptr;
    return ::sendmsg(world.far.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

void exchange(const World& world, fuzz::Input& input) {
    const std::size_t fds_count = input.take<std::uint8_t>() % 65;
    const auto options = input.take<std::uint8_t>();
    const std::size_t room_bytes = 1 + input.take<std::uint8_t>();
    const std::string_view text = input.take_text();
    const int pass_credentials = (options & 2U) != 0 ? 1 : 0;
    ENSURE(
        ::setsockopt(
            world.near.get(), SOL_SOCKET, SO_PASSCRED, &pass_credentials, sizeof(pass_credentials)
        ) == 0,
        "SO_PASSCRED can be set"
    );
    if (!send_raw(world, text, fds_count, (options & 1U) != 0)) {
        return;  // the kernel did not take it: nothing to receive
    }
    std::string buffer(room_bytes, '\0');
    const auto packet =
        sandbox::receive_packet(world.near.get(), std::as_writable_bytes(std::span(buffer)));
    if (!packet) {
        const bool fits = text.size() <= room_bytes && fds_count < kPacketFdsMax;
        ENSURE(packet.error().code == Errc::kProtocol, "the peer is alive");
        ENSURE(!fits || pass_credentials != 0, "what fits is received");
        return;
    }
    ENSURE(packet->fds_count == fds_count, "all descriptors arrive, or none");
    ENSURE(std::string_view(buffer).substr(0, packet->bytes) == text, "all bytes arrive");
    for (std::size_t i = 0; i < packet->fds_count; ++i) {
        const int flags = ::fcntl(packet->fds[i].get(), F_GETFD);
        ENSURE(flags >= 0 && (flags & FD_CLOEXEC) != 0, "received descriptors are close-on-exec");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    static const World world;
    const int free_before = lowest_free_fd(world);
    fuzz::Input input(data, bytes);
    while (!input.empty()) {
        exchange(world, input);
        ENSURE(lowest_free_fd(world) == free_before, "no descriptor stays open");
    }
    return 0;
}
