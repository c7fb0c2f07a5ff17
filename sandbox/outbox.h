#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <deque>
#include <span>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/wire/spawner_protocol.h"
#include "sandbox/packet.h"

namespace hako::sandbox {

/// Packets to the engine that its full socket did not take yet: the spawner never blocks on it.
class Outbox {
public:
    /// Sends now, or keeps the packet and its descriptors for flush(). Errors: kSystem (the engine
    /// is gone).
    template <typename T>
    [[nodiscard]] Result<void> send(int socket, const T& value, std::vector<UniqueFd> fds = {}) {
        static_assert(sizeof(T) <= spawner::kPacketBytesMax);
        Packet packet{.bytes = {}, .length = sizeof(T), .fds = std::move(fds)};
        std::memcpy(packet.bytes.data(), &value, sizeof(T));
        waiting_.push_back(std::move(packet));
        return flush(socket);
    }
    [[nodiscard]] Result<void> flush(int socket);
    [[nodiscard]] std::size_t size() const noexcept { return waiting_.size(); }
    [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }

private:
    struct Packet {
        std::array<std::byte, spawner::kPacketBytesMax> bytes;
        std::size_t length;
        std::vector<UniqueFd> fds;
    };
    std::deque<Packet> waiting_;
};

}  // namespace hako::sandbox
