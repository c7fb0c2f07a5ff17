#include <algorithm>
#include <cerrno>
#include <span>
#include <string>

#include <poll.h>
#include <sys/socket.h>

#include "engine/base/clock.h"
#include "engine/client/connection.h"

namespace hako::client {
namespace {

// Left of a timeout below which the kernel's own receive timer would overrun the deadline.
constexpr std::int64_t kSlackUs = 1000;

wire::FrameHeader header_of(std::string_view bytes) {
    using Bytes = std::span<const char, wire::kFrameHeaderBytes>;
    return wire::read_header(std::as_bytes(Bytes(bytes.data(), wire::kFrameHeaderBytes)));
}

/// Views into one whole frame.
IncomingFrame frame_of(std::string_view bytes) {
    const wire::FrameHeader header = header_of(bytes);
    bytes.remove_prefix(wire::kFrameHeaderBytes);
    return {header, bytes.substr(0, header.meta_bytes), bytes.substr(header.meta_bytes)};
}

bool is_answer(wire::FrameType type) {
    return type == wire::FrameType::kPong || type == wire::FrameType::kInvokeResult ||
           type == wire::FrameType::kControlResult || is_stream_frame(type);
}

}  // namespace

bool is_stream_frame(wire::FrameType type) noexcept {
    return type == wire::FrameType::kStreamBegin || type == wire::FrameType::kStreamPart;
}

Outcome<IncomingFrame> Connection::receive() {
    const std::lock_guard lock(receive_mutex_);
    received_.release_taken();
    if (!kept_.empty()) {
        kept_current_ = std::move(kept_.front());
        kept_.pop_front();
        in_flight_count_.fetch_sub(1, std::memory_order_relaxed);
        return frame_of({kept_current_.data(), kept_current_.size()});
    }
    auto incoming = next_frame(deadline_us());
    if (incoming && is_stream_frame(incoming->header.type)) {
        is_receive_broken_ = true;
        return failure(
            HAKO_CLIENT_EPROTOCOL, "bad frame from the engine: a part of no streamed answer"
        );
    }
    if (incoming) {
        in_flight_count_.fetch_sub(1, std::memory_order_relaxed);
    }
    return incoming;
}

Outcome<IncomingFrame> Connection::next_frame(std::int64_t until_us) {
    if (is_receive_broken_) {
        return failure(HAKO_CLIENT_ECLOSED, "the connection broke earlier");
    }
    IncomingFrame frame;
    for (;;) {
        TRY_ASSIGN(const bool complete, take_frame(frame));
        if (!complete) {
            // Sending may have to read, and so may have completed a frame.
            TRY_ASSIGN(const bool was_sending, flush_before_waiting());
            if (!was_sending) {
                TRY(read_some(until_us));
            }
        } else if (!drop_abandoned(frame.header)) {
            return frame;
        } else {
            received_.release_taken();
        }
    }
}

/// True if a whole frame was pending and is now in `frame`.
Outcome<bool> Connection::take_frame(IncomingFrame& frame) {
    const std::string_view pending = received_.pending();
    if (pending.size() < wire::kFrameHeaderBytes) {
        missing_bytes_ = wire::kFrameHeaderBytes - pending.size();
        return false;
    }
    const wire::FrameHeader header = header_of(pending);
    auto fault = wire::check_header(header, false);
    if (!fault && header.type != wire::FrameType::kError && !is_answer(header.type)) {
        fault =
            wire::FrameFault{"type: an engine may only send answers (2, 4, 6, 8, 9) and Error (7)"};
    }
    if (fault) {
        is_receive_broken_ = true;
        return failure(
            HAKO_CLIENT_EPROTOCOL, "bad frame from the engine: " + std::string(fault->text)
        );
    }
    const std::size_t frame_bytes =
        std::size_t{wire::kFrameHeaderBytes} + header.meta_bytes + header.payload_bytes;
    if (pending.size() < frame_bytes) {
        missing_bytes_ = frame_bytes - pending.size();
        return false;
    }
    frame = frame_of(received_.take(frame_bytes));
    if (header.type == wire::FrameType::kError) {
        is_receive_broken_ = true;
        return failure(HAKO_CLIENT_EPROTOCOL, "the engine refused: " + std::string(frame.payload));
    }
    return true;
}

Outcome<void> Connection::read_some(std::int64_t until_us) {
    const std::span<char> room = received_.room(missing_bytes_);
    bool uses_kernel_timer =
        until_us == kNever || (timeout_us_ > 0 && until_us - now_us() > timeout_us_ - kSlackUs);
    for (;;) {
        const int flags = uses_kernel_timer ? 0 : MSG_DONTWAIT;
        const ssize_t bytes = ::recv(socket_.get(), room.data(), room.size(), flags);
        if (bytes > 0) {
            received_.added(static_cast<std::size_t>(bytes));
            return {};
        }
        const int sys_errno = errno;
        if (bytes == 0 || sys_errno == ECONNRESET) {
            return end_of_stream();
        }
        uses_kernel_timer = uses_kernel_timer && until_us == kNever;
        if (sys_errno == EINTR) {
            continue;
        }
        if (sys_errno != EAGAIN) {
            return system_failure(sys_errno, "recv");
        }
        const int wait_ms = poll_wait_ms(until_us);
        if (wait_ms == 0) {
            return failure(HAKO_CLIENT_ETIMEOUT, "time ran out while waiting for an answer");
        }
        pollfd waited{.fd = socket_.get(), .events = POLLIN, .revents = 0};
        if (::poll(&waited, 1, wait_ms) < 0 && errno != EINTR) {
            return system_failure(errno, "poll");
        }
    }
}

/// What is queued must leave before this thread waits; true if something was. A closed send half is
/// no failure here: the answers, or the Error frame that says why, can still be read.
Outcome<bool> Connection::flush_before_waiting() {
    if (queued_bytes_.load(std::memory_order_relaxed) == 0) {
        return false;
    }
    const std::unique_lock lock(send_mutex_, std::try_to_lock);
    if (!lock.owns_lock()) {
        return false;  // its holder is sending
    }
    auto sent = send_queued({}, Holds::kBothLocks);
    if (!sent && sent.error().code != HAKO_CLIENT_ECLOSED) {
        return std::unexpected(sent.error());
    }
    return true;
}

/// Reads what has arrived, without waiting, so that a blocked sender gets on.
Outcome<void> Connection::drain_socket() {
    const std::span<char> room = received_.room(1);
    const ssize_t bytes = ::recv(socket_.get(), room.data(), room.size(), MSG_DONTWAIT);
    if (bytes > 0) {
        received_.added(static_cast<std::size_t>(bytes));
        return {};
    }
    const int sys_errno = errno;
    if (bytes < 0 && (sys_errno == EAGAIN || sys_errno == EINTR)) {
        return {};
    }
    // The receive half finds the end itself, after the answers that came before it.
    return failure(HAKO_CLIENT_ECLOSED, "the engine closed the connection");
}

std::unexpected<hako_client_error> Connection::end_of_stream() {
    is_receive_broken_ = true;
    return failure(
        HAKO_CLIENT_ECLOSED,
        received_.pending().empty() ? "the engine closed the connection"
                                    : "the engine closed the connection in the middle of a frame"
    );
}

bool Connection::drop_abandoned(const wire::FrameHeader& header) {
    const auto found = std::ranges::find(abandoned_, header.correlation);
    if (found == abandoned_.end()) {
        return false;
    }
    if (!is_stream_frame(header.type)) {
        abandoned_.erase(found);
    }
    return true;
}

}  // namespace hako::client
