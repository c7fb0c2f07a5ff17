#include "engine/client/connection.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "engine/base/clock.h"

namespace hako::client {

int poll_wait_ms(std::int64_t until_us) noexcept {
    if (until_us == kNever) {
        return -1;
    }
    const std::int64_t left_us = until_us - now_us();
    return static_cast<int>(std::clamp<std::int64_t>((left_us + 999) / 1000, 0, INT_MAX));
}

Connection::Connection(UniqueFd socket) : socket_(std::move(socket)) {}

Outcome<std::unique_ptr<Connection>> Connection::connect(const char* path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t path_bytes = path == nullptr ? 0 : std::strlen(path);
    if (path_bytes == 0 || path_bytes >= sizeof(address.sun_path)) {
        return failure(HAKO_CLIENT_EINVALID, "socket path: must have 1 to 107 bytes");
    }
    std::memcpy(address.sun_path, path, path_bytes);
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) {
        return system_failure(errno, "socket");
    }
    // The generic address type is what the call takes for every family.
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    int outcome = 0;
    do {
        outcome = ::connect(socket.get(), generic, sizeof(address));
    } while (outcome != 0 && errno == EINTR);
    if (outcome != 0) {
        return system_failure(errno, path);
    }
    return std::make_unique<Connection>(std::move(socket));
}

void Connection::set_timeout(std::int64_t timeout_us) noexcept {
    timeout_us_ = timeout_us;
    // The kernel's own timer saves a poll() per wait; read_some checks the exact deadline.
    const std::int64_t kernel_us = std::max<std::int64_t>(timeout_us, 0);
    const timeval wait{
        .tv_sec = static_cast<time_t>(kernel_us / 1'000'000),
        .tv_usec = static_cast<suseconds_t>(kernel_us % 1'000'000),
    };
    // Fails only for a descriptor that is no socket, which then fails louder when it is used.
    (void)::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
}

void Connection::shutdown() noexcept {
    (void)::shutdown(socket_.get(), SHUT_RDWR);  // ENOTCONN: already what was asked for
}

std::int64_t Connection::deadline_us() const noexcept {
    return timeout_us_ < 0 ? kNever : now_us() + timeout_us_;
}

Outcome<IncomingFrame> Connection::call(const OutgoingFrame& frame, const PartSink& sink) {
    const std::lock_guard receive_lock(receive_mutex_);
    const std::int64_t until_us = deadline_us();
    received_.release_taken();
    std::unique_lock send_lock(send_mutex_);
    const auto correlation = submit_locked(frame, Holds::kBothLocks);
    send_lock.unlock();
    if (!correlation && correlation.error().code != HAKO_CLIENT_ECLOSED) {
        return std::unexpected(correlation.error());
    }
    // After ECLOSED read on as well: an Error frame may say why.
    return await_call(correlation.value_or(0), until_us, sink);
}

Outcome<IncomingFrame> Connection::await_call(
    std::uint64_t correlation, std::int64_t until_us, const PartSink& sink
) {
    for (;;) {
        auto incoming = next_frame(until_us);
        if (!incoming) {
            if (incoming.error().code == HAKO_CLIENT_ETIMEOUT) {
                abandon(correlation);
            }
            return incoming;
        }
        const bool is_ours = correlation != 0 && incoming->header.correlation == correlation;
        const bool is_part = is_stream_frame(incoming->header.type);
        if (is_ours && !is_part) {
            in_flight_count_.fetch_sub(1, std::memory_order_relaxed);
            return incoming;
        }
        if (!is_part) {
            keep(*incoming);
            continue;
        }
        if (!is_ours || !sink) {
            is_receive_broken_ = true;
            return failure(
                HAKO_CLIENT_EPROTOCOL, "bad frame from the engine: a part of no streamed answer"
            );
        }
        if (auto taken = sink(*incoming); !taken) {
            abandon(correlation);
            return std::unexpected(taken.error());
        }
        received_.release_taken();
        until_us = deadline_us();
    }
}

/// What still comes of this request is dropped.
void Connection::abandon(std::uint64_t correlation) {
    if (correlation != 0) {
        abandoned_.push_back(correlation);
        in_flight_count_.fetch_sub(1, std::memory_order_relaxed);
    }
}

/// Keeps an answer that `call` does not wait for. Its header, meta data and payload lie side by
/// side in the receive buffer.
void Connection::keep(const IncomingFrame& frame) {
    const char* start = frame.meta.data() - wire::kFrameHeaderBytes;
    const char* end = frame.payload.data() + frame.payload.size();
    kept_.emplace_back(start, end);
    received_.release_taken();
}

}  // namespace hako::client
