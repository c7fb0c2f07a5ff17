#include "engine/instance/spawner_link.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include <sys/socket.h>

#include "engine/base/ensure.h"

namespace hako::instance {
namespace {

constexpr const char* kSpawnerLost = "the spawner went away";

}  // namespace

/// One packet of the spawner or the keeper with the descriptors that came along.
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

SpawnerLink::SpawnerLink(ring::Loop& loop, UniqueFd keeper, Callbacks callbacks)
    : loop_(loop), keeper_(std::move(keeper)), callbacks_(std::move(callbacks)) {}

Result<void> SpawnerLink::start() {
    TRY_ASSIGN(reader_, loop_.scheduler().spawn("spawner-link", [this] { spawner_loop(); }));
    TRY(loop_.scheduler().spawn("keeper-link", [this] { keeper_loop(); }));
    return {};
}

Result<void> SpawnerLink::await_up(std::int64_t deadline_us) {
    while (!up_) {
        if (lost_) {
            return fail(Errc::kClosed, "there is no spawner any more");
        }
        waiters_.push_back(loop_.scheduler().self());
        if (const Result<void> waited = loop_.park_until(deadline_us); !waited) {
            return fail(waited.error().code, "the spawner did not come back");
        }
    }
    return {};
}

void SpawnerLink::wake_waiters() {
    for (const fiber::FiberId waiter : waiters_) {
        loop_.scheduler().unpark(waiter);
    }
    waiters_.clear();
}

Result<Sandbox> SpawnerLink::acquire(
    spawner::Acquire request, std::int64_t deadline_us, AcquireFailure& failure
) {
    Pending pending;
    pending.fiber = loop_.scheduler().self();
    request.ticket = next_ticket_++;
    pending_.emplace(request.ticket, &pending);
    const std::uint32_t drops_count = drops_count_;
    const Result<void> sent = send(request);
    Result<void> waited{};
    while (sent && waited && !pending.answered && drops_count == drops_count_) {
        waited = loop_.park_until(deadline_us);
    }
    pending_.erase(request.ticket);
    if (drops_count != drops_count_) {
        // Also if it had answered: the sandbox is dead, and its id may name another one by now.
        return fail(Errc::kClosed, kSpawnerLost);
    }
    TRY(sent);
    if (!pending.answered) {
        TRY(waited);
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
    const std::shared_ptr<UniqueFd> socket = present_.socket;
    if (socket == nullptr) {
        return fail(Errc::kClosed, kSpawnerLost);
    }
    // A seqpacket goes whole or not at all, and the buffer is nearly always free: no need to go
    // through the ring.
    const ssize_t sent_bytes =
        ::send(socket->get(), &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent_bytes >= 0) {
        return {};
    }
    const Error error = errno_error("send to the spawner");
    if (error.sys_errno == EPIPE || error.sys_errno == ECONNRESET) {
        return fail(Errc::kClosed, kSpawnerLost);  // its end is on its way to the reader
    }
    if (error.sys_errno != EAGAIN) {
        return fail(error);
    }
    return loop_.send_all(socket->get(), std::as_bytes(std::span(&message, 1)), kNever);
}

// ---- the keeper's side ----

void SpawnerLink::keeper_loop() {
    for (;;) {
        Packet packet;
        if (!receive(keeper_.get(), packet) || !handle_keeper(packet)) {
            break;
        }
    }
    lost_ = true;
    if (present_.socket != nullptr) {
        (void)::shutdown(present_.socket->get(), SHUT_RDWR);  // the reader ends, and drops it
    }
    loop_.scheduler().unpark(reader_);
}

Result<void> SpawnerLink::handle_keeper(Packet& packet) {
    TRY_ASSIGN(const spawner::KeeperMessage message, packet.as<spawner::KeeperMessage>());
    if (message.op == spawner::KeeperOp::kGaveUp) {
        last_wait_status_ = message.previous_wait_status;
    }
    if (message.op != spawner::KeeperOp::kSpawnerBegun || packet.fds_count != 1) {
        return fail(Errc::kClosed, "the keeper has given up");
    }
    next_ = {
        .socket = std::make_shared<UniqueFd>(std::move(packet.fds[0])),
        .number = message.spawner_number,
        .pid = message.spawner_pid,
    };
    loop_.scheduler().unpark(reader_);
    return {};
}

// ---- the spawner's side ----

void SpawnerLink::spawner_loop() {
    for (;;) {
        while (next_.socket == nullptr && !lost_) {
            (void)loop_.scheduler().park(true);  // the keeper's fiber wakes it
        }
        if (lost_) {
            break;
        }
        present_ = std::exchange(next_, {});
        read_spawner();
        drop();
    }
    wake_waiters();
    callbacks_.on_lost();
}

void SpawnerLink::read_spawner() {
    for (;;) {
        Packet packet;
        if (!receive(present_.socket->get(), packet) || !handle(packet)) {
            return;
        }
    }
}

/// With its socket closed a spawner that is still alive (it broke the protocol) ends, too.
void SpawnerLink::drop() {
    ++drops_count_;
    up_ = false;
    present_.socket.reset();
    for (auto& [ticket, pending] : pending_) {
        loop_.scheduler().unpark(pending->fiber);
    }
    callbacks_.on_down();
}

Result<void> SpawnerLink::receive(int socket, Packet& packet) {
    iovec part{.iov_base = packet.bytes.data(), .iov_len = packet.bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * spawner::kAcquiredFdCount)> control{
    };
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    TRY_ASSIGN(packet.bytes_count, loop_.recvmsg(socket, message, kNever));
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
    return packet.bytes_count > 0 ? Result<void>{} : fail(Errc::kClosed, "end of the connection");
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
            up_ = true;
            wake_waiters();
            callbacks_.on_up(started_);
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
    // The keeper's first: else it would replace the spawner that ends. Fails if they were faster.
    (void)::shutdown(keeper_.get(), SHUT_RDWR);
    if (present_.socket != nullptr) {
        (void)::shutdown(present_.socket->get(), SHUT_RDWR);
    }
}

}  // namespace hako::instance
