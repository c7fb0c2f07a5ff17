#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "engine/client/connection.h"

namespace hako::client {
namespace {

constexpr std::size_t kQueueBytes = 256 * 1024;
// Above this a copy into the queue costs more than a system call of its own.
constexpr std::size_t kCopyBytesMax = 32 * 1024;
// How often a sender looks again whether it may read, while another thread holds the receive lock.
constexpr int kRecheckMs = 5;

/// One sendmsg of both, without waiting.
ssize_t send_parts(int fd, std::string_view first, std::string_view second) noexcept {
    std::array<iovec, 2> parts{};
    std::size_t part_count = 0;
    for (const std::string_view part : {first, second}) {
        if (!part.empty()) {
            // sendmsg only reads; the struct has no const form.
            parts[part_count++] = {const_cast<char*>(part.data()), part.size()};
        }
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = part_count;
    return ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

std::unexpected<hako_client_error> send_failure(int sys_errno) noexcept {
    if (sys_errno == EPIPE || sys_errno == ECONNRESET) {
        return failure(HAKO_CLIENT_ECLOSED, "the engine closed the connection");
    }
    return system_failure(sys_errno, "send");
}

}  // namespace

void Connection::append(std::string_view bytes) noexcept {
    const std::size_t at = queued_bytes_.load(std::memory_order_relaxed);
    ENSURE(at + bytes.size() <= kQueueBytes, "the caller made room in the queue");
    if (!bytes.empty()) {
        std::memcpy(queue_.get() + at, bytes.data(), bytes.size());
        queued_bytes_.store(at + bytes.size(), std::memory_order_relaxed);
    }
}

Outcome<std::uint64_t> Connection::submit(const OutgoingFrame& frame) {
    const std::lock_guard lock(send_mutex_);
    return submit_locked(frame, Holds::kSendLock);
}

Outcome<std::uint64_t> Connection::submit_locked(const OutgoingFrame& frame, Holds holds) {
    if (is_send_broken_) {
        return failure(HAKO_CLIENT_ECLOSED, "the connection broke earlier");
    }
    std::size_t meta_bytes = frame.fixed.size();
    for (const std::string_view text : frame.texts) {
        meta_bytes += text.size();
    }
    if (meta_bytes > wire::kMetaBytesMax) {
        return failure(
            HAKO_CLIENT_EINVALID,
            "request: name, qualifier and context or JSON: at most 65528 bytes"
        );
    }
    if (frame.payload.size() > wire::kControlPayloadBytesMax) {
        return failure(HAKO_CLIENT_EINVALID, "payload: at most 52428800 bytes");
    }
    if (queue_ == nullptr) {
        queue_ = std::make_unique_for_overwrite<char[]>(kQueueBytes);
    }
    const bool copies_payload = frame.payload.size() <= kCopyBytesMax;
    const std::size_t queue_bytes =
        wire::kFrameHeaderBytes + meta_bytes + (copies_payload ? frame.payload.size() : 0);
    if (queued_bytes_.load(std::memory_order_relaxed) + queue_bytes > kQueueBytes) {
        TRY(send_queued({}, holds));
    }
    const wire::FrameHeader header{
        .type = frame.type,
        .flags = frame.flags,
        .correlation = correlation_next_,
        .meta_bytes = static_cast<std::uint32_t>(meta_bytes),
        .payload_bytes = static_cast<std::uint32_t>(frame.payload.size()),
    };
    std::array<char, sizeof(header)> header_bytes;
    std::memcpy(header_bytes.data(), &header, sizeof(header));
    append({header_bytes.data(), header_bytes.size()});
    append(frame.fixed);
    for (const std::string_view text : frame.texts) {
        append(text);
    }
    in_flight_count_.fetch_add(1, std::memory_order_relaxed);
    if (copies_payload) {
        append(frame.payload);
        return correlation_next_++;
    }
    auto sent = send_queued(frame.payload, holds);
    if (!sent) {
        is_send_broken_ = true;  // the frame ends short of its announced length
        return std::unexpected(sent.error());
    }
    return correlation_next_++;
}

Outcome<void> Connection::flush() {
    const std::lock_guard lock(send_mutex_);
    return send_queued({}, Holds::kSendLock);
}

/// Sends the queue and `tail` behind it. What of the queue did not leave stays queued.
Outcome<void> Connection::send_queued(std::string_view tail, Holds holds) {
    if (is_send_broken_) {
        return failure(HAKO_CLIENT_ECLOSED, "the connection broke earlier");
    }
    std::string_view queued(queue_.get(), queued_bytes_.load(std::memory_order_relaxed));
    std::int64_t until_us = -1;
    Outcome<void> outcome;
    while (outcome && !(queued.empty() && tail.empty())) {
        const ssize_t sent = send_parts(socket_.get(), queued, tail);
        const int sys_errno = errno;
        if (sent >= 0) {
            const auto sent_bytes = static_cast<std::size_t>(sent);
            const std::size_t from_queue = std::min(sent_bytes, queued.size());
            queued.remove_prefix(from_queue);
            tail.remove_prefix(sent_bytes - from_queue);
        } else if (sys_errno == EAGAIN) {
            until_us = until_us < 0 ? deadline_us() : until_us;
            outcome = await_writable(until_us, holds);
        } else if (sys_errno != EINTR) {
            is_send_broken_ = true;
            outcome = send_failure(sys_errno);
        }
    }
    const std::size_t left_bytes = is_send_broken_ ? 0 : queued.size();
    if (left_bytes > 0) {
        std::memmove(queue_.get(), queued.data(), left_bytes);
    }
    queued_bytes_.store(left_bytes, std::memory_order_relaxed);
    return outcome;
}

/// Waits until the socket takes bytes again. Reads answers meanwhile when no other thread does: an
/// engine that cannot get rid of its answers stops reading requests.
Outcome<void> Connection::await_writable(std::int64_t until_us, Holds holds) {
    std::unique_lock lock(receive_mutex_, std::defer_lock);
    const bool may_read = holds == Holds::kBothLocks || lock.try_lock();
    pollfd waited{
        .fd = socket_.get(),
        .events = static_cast<short>(may_read && !is_receive_broken_ ? POLLIN | POLLOUT : POLLOUT),
        .revents = 0,
    };
    const int wait_ms = poll_wait_ms(until_us);
    const bool rechecks = !may_read && (wait_ms < 0 || wait_ms > kRecheckMs);
    const int ready = ::poll(&waited, 1, rechecks ? kRecheckMs : wait_ms);
    if (ready < 0 && errno != EINTR) {
        return system_failure(errno, "poll");
    }
    if (ready == 0 && !rechecks) {
        return failure(HAKO_CLIENT_ETIMEOUT, "time ran out while sending");
    }
    if (may_read && (waited.revents & POLLIN) != 0) {
        return drain_socket();
    }
    return {};
}

}  // namespace hako::client
