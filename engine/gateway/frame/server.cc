#include "engine/gateway/frame/server.h"

#include <sys/socket.h>

#include "engine/gateway/frame/connection.h"
#include "engine/observe/engine_log.h"

namespace hako::gateway {

FrameServer::FrameServer(FrameServices services, const FrameLimits& limits)
    : services_(std::move(services)), limits_(limits) {}

FrameServer::~FrameServer() = default;

Result<void> FrameServer::serve(UniqueFd listener, bool shared) {
    const int fd = listener.get();
    listeners_.push_back({.fd = std::move(listener), .shared = shared});
    TRY_ASSIGN(
        const fiber::FiberId acceptor,
        services_.loop.scheduler().spawn(
            "frame-accept",
            [this, fd] {
                const Result<void> ended = services_.loop.accept_loop(fd, [this](UniqueFd socket) {
                    on_connection(std::move(socket));
                });
                if (!ended && ended.error().code != Errc::kCancelled) {
                    observe::log_line(
                        observe::Level::kError,
                        "frame",
                        "accepting ended step={:?} errno={}",
                        ended.error().what,
                        ended.error().sys_errno
                    );
                }
            }
        )
    );
    acceptors_.push_back(acceptor);
    return {};
}

void FrameServer::on_connection(UniqueFd socket) {
    if (draining_ || connections_.size() >= limits_.connections_max) {
        // No frame was read, so there is none to answer: closing says it.
        observe::log_line(
            observe::Level::kWarning,
            "frame",
            "connection refused connections={} connections_max={}",
            connections_.size(),
            limits_.connections_max
        );
        return;
    }
    auto made = std::make_unique<FrameConnection>(*this, std::move(socket));
    if (made->start()) {
        FrameConnection* connection = made.get();
        connections_.emplace(connection, std::move(made));
    }
}

void FrameServer::forget(FrameConnection& connection) {
    // Later: the caller is one of its own functions.
    services_.loop.defer([this, gone = &connection] { connections_.erase(gone); });
}

void FrameServer::stop_accepting() {
    draining_ = true;
    for (const fiber::FiberId acceptor : acceptors_) {
        services_.loop.scheduler().cancel(acceptor);
    }
    acceptors_.clear();
    for (const Listener& listener : listeners_) {
        if (!listener.shared) {
            // At once: the ring keeps the socket alive for a while after we have let go of it.
            (void)::shutdown(listener.fd.get(), SHUT_RDWR);  // cannot fail on a listening socket
        }
    }
    for (auto& [connection, owned] : connections_) {
        connection->stop_reading();
    }
}

std::uint32_t FrameServer::connection_count() const noexcept {
    return static_cast<std::uint32_t>(connections_.size());
}

FrameCall* FrameServer::take_call() {
    ++in_flight_count_;
    if (free_calls_.empty()) {
        calls_.push_back(std::make_unique<FrameCall>());
        free_calls_.reserve(calls_.size());
        return calls_.back().get();
    }
    FrameCall* call = free_calls_.back();
    free_calls_.pop_back();
    return call;
}

void FrameServer::give_back(FrameCall* call) noexcept {
    --in_flight_count_;
    free_calls_.push_back(call);
    if (draining_ && in_flight_count_ == 0 && on_drained) {
        on_drained();
    }
}

}  // namespace hako::gateway
