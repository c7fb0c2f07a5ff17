#include "engine/instance/spawner_link.h"

#include <cstddef>
#include <cstring>
#include <span>

#include <sys/socket.h>

#include "engine/base/ensure.h"

namespace hako::instance {

/// One packet of the spawner with the descriptors that came along.
struct SpawnerLink::Packet {
    alignas(8) std::array<std::byte, spawner::kPacketBytesMax> bytes{};
    std::size_t bytes_count = 0;
    std::array<UniqueFd, spawner::kAcquiredFdCount> fds;
    std::size_t fds_count = 0;

    template <typename T>
    [[nodiscard]] Result<T> as() const {
        if (bytes_count != sizeof(T)) {
            return fail(Errc::kProtocol, "spawner packet of an unexpected size");
        }
        T message;
        std::memcpy(&message, bytes.data(), sizeof(T));
        return message;
    }
};

SpawnerLink::SpawnerLink(ring::Loop& loop, UniqueFd socket, Callbacks callbacks)
    : loop_(loop), socket_(std::move(socket)), callbacks_(std::move(callbacks)) {}

Result<void> SpawnerLink::start() {
    TRY(loop_.scheduler().spawn("spawner-link", [this] { read_loop(); }));
    return {};
}

Result<spawner::Started> SpawnerLink::await_started(std::int64_t deadline_us) {
    started_waiter_ = loop_.scheduler().self();
    while (!has_started_ && !lost_) {
        TRY(loop_.park_until(deadline_us));
    }
    started_waiter_ = {};
    if (!has_started_) {
        return fail(Errc::kClosed, "the spawner ended before it was ready");
    }
    return started_;
}

Result<Sandbox> SpawnerLink::acquire(
    spawner::Acquire request, std::int64_t deadline_us, AcquireFailure& failure
) {
    Pending pending;
    pending.fiber = loop_.scheduler().self();
    request.ticket = next_ticket_++;
    pending_.emplace(request.ticket, &pending);
    const Result<void> sent = send(request);
    Result<void> waited{};
    while (sent && waited && !pending.answered && !lost_) {
        waited = loop_.park_until(deadline_us);
    }
    pending_.erase(request.ticket);
    TRY(sent);
    if (!pending.answered) {
        TRY(waited);
        return fail(Errc::kClosed, "the spawner went away");
    }
    if (pending.answer.sys_errno != 0) {
        failure.sys_errno = pending.answer.sys_errno;
        std::memcpy(failure.step.data(), pending.answer.step, failure.step.size());
        failure.step.back() = '\0';
        return fail(sys_error(pending.answer.sys_errno, "the spawner could not make the sandbox"));
    }
    return Sandbox{.sandbox_id = pending.answer.sandbox_id, .fds = std::move(pending.fds)};
}

Result<void> SpawnerLink::destroy(std::uint64_t sandbox_id) {
    return send(spawner::Destroy{.sandbox_id = sandbox_id});
}

template <typename T>
Result<void> SpawnerLink::send(const T& message) {
    if (lost_) {
        return fail(Errc::kClosed, "the spawner went away");
    }
    // A seqpacket goes whole or not at all, and the buffer is nearly always free: no need to go
    // through the ring.
    const ssize_t sent_bytes =
        ::send(socket_.get(), &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent_bytes >= 0) {
        return {};
    }
    const Error error = errno_error("send to the spawner");
    if (error.sys_errno != EAGAIN) {
        return fail(error);
    }
    return loop_.send_all(socket_.get(), std::as_bytes(std::span(&message, 1)), kNever);
}

void SpawnerLink::read_loop() {
    for (;;) {
        Packet packet;
        iovec part{.iov_base = packet.bytes.data(), .iov_len = packet.bytes.size()};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * spawner::kAcquiredFdCount)>
            control{};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const Result<std::uint32_t> got = loop_.recvmsg(socket_.get(), message, kNever);
        if (!got || *got == 0) {
            break;
        }
        packet.bytes_count = *got;
        for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
             header = CMSG_NXTHDR(&message, header)) {
            if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
                continue;
            }
            const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (std::size_t i = 0; i < count && packet.fds_count < packet.fds.size(); ++i) {
                int fd = -1;
                std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
                packet.fds[packet.fds_count++].reset(fd);
            }
        }
        if (!handle(packet)) {
            break;
        }
    }
    lose();
}

Result<void> SpawnerLink::handle(Packet& packet) {
    if (packet.bytes_count < sizeof(spawner::Op)) {
        return fail(Errc::kProtocol, "spawner packet without an operation");
    }
    spawner::Op op{};
    std::memcpy(&op, packet.bytes.data(), sizeof(op));
    switch (op) {
        case spawner::Op::kStarted: {
            TRY_ASSIGN(started_, packet.as<spawner::Started>());
            if (started_.protocol_version != spawner::kProtocolVersion) {
                return fail(Errc::kProtocol, "the spawner speaks another protocol version");
            }
            has_started_ = true;
            loop_.scheduler().unpark(started_waiter_);
            return {};
        }
        case spawner::Op::kAcquired:
            return handle_acquired(packet);
        case spawner::Op::kGone: {
            TRY_ASSIGN(const spawner::Gone gone, packet.as<spawner::Gone>());
            callbacks_.on_gone(gone);
            return {};
        }
        default:
            return fail(Errc::kProtocol, "unknown operation from the spawner");
    }
}

Result<void> SpawnerLink::handle_acquired(Packet& packet) {
    TRY_ASSIGN(const spawner::Acquired answer, packet.as<spawner::Acquired>());
    const auto found = pending_.find(answer.ticket);
    if (found == pending_.end()) {
        // Whoever asked has given up (deadline, cancel): the sandbox must not live on without an
        // owner.
        return answer.sys_errno == 0 ? destroy(answer.sandbox_id) : Result<void>{};
    }
    Pending& pending = *found->second;
    pending.answer = answer;
    std::size_t fd_index = 0;
    for (std::uint32_t i = 0; i < spawner::kAcquiredFdCount; ++i) {
        if ((answer.fds_mask & (1U << i)) != 0) {
            if (fd_index >= packet.fds_count) {
                return fail(Errc::kProtocol, "the spawner sent fewer descriptors than it said");
            }
            pending.fds[i] = std::move(packet.fds[fd_index++]);
        }
    }
    pending.answered = true;
    loop_.scheduler().unpark(pending.fiber);
    return {};
}

void SpawnerLink::close() noexcept {
    (void)::shutdown(socket_.get(), SHUT_RDWR);  // fails if the spawner was first
}

void SpawnerLink::lose() {
    if (lost_) {
        return;
    }
    lost_ = true;
    loop_.scheduler().unpark(started_waiter_);
    for (auto& [ticket, pending] : pending_) {
        loop_.scheduler().unpark(pending->fiber);
    }
    callbacks_.on_lost();
}

}  // namespace hako::instance
