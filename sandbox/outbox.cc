#include "sandbox/outbox.h"

#include <cerrno>

namespace hako::sandbox {

Result<void> Outbox::flush(int socket) {
    while (!waiting_.empty()) {
        const Packet& packet = waiting_.front();
        std::array<int, kPacketFdsMax> fds{};
        for (std::size_t i = 0; i < packet.fds.size(); ++i) {
            fds[i] = packet.fds[i].get();
        }
        const auto sent = send_packet(
            socket,
            std::span(packet.bytes).first(packet.length),
            std::span(fds).first(packet.fds.size())
        );
        if (!sent && (sent.error().sys_errno == EAGAIN || sent.error().sys_errno == ETOOMANYREFS)) {
            return {};  // the loop comes back when the engine has read something
        }
        TRY(sent);
        waiting_.pop_front();
    }
    return {};
}

}  // namespace hako::sandbox
