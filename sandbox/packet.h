#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

// One packet with descriptors over a SOCK_SEQPACKET socket, both ways. Never allocates.
namespace hako::sandbox {

inline constexpr std::size_t kPacketFdsMax = 32;

struct ReceivedPacket {
    std::size_t bytes = 0;  // 0: the peer closed its end
    std::size_t fds_count = 0;
    std::array<UniqueFd, kPacketFdsMax> fds;
};

/// Sends `bytes` as one packet. Errors: kSystem (EAGAIN if the socket is non-blocking and full).
[[nodiscard]] Result<void> send_packet(
    int socket, std::span<const std::byte> bytes, std::span<const int> fds
) noexcept;

/// Receives one packet into `buffer`; its descriptors are close-on-exec. Errors: kSystem, kProtocol
/// if the packet or its descriptors did not fit.
[[nodiscard]] Result<ReceivedPacket> receive_packet(
    int socket, std::span<std::byte> buffer
) noexcept;

template <typename T>
[[nodiscard]] Result<void> send_struct(int socket, const T& value, std::span<const int> fds = {}) {
    return send_packet(socket, std::as_bytes(std::span(&value, 1)), fds);
}

}  // namespace hako::sandbox
