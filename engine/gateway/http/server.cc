#include "engine/gateway/http/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "engine/base/ensure.h"
#include "engine/gateway/http/connection.h"
#include "engine/gateway/http/exchange.h"
#include "engine/observe/engine_log.h"

namespace hako::gateway::http {
namespace {

// Spare exchanges: each has some pages that requests have touched.
constexpr std::size_t kSpareExchangesMax = 64;

bool is_unix_socket(int fd) {
    sockaddr_storage address{};
    socklen_t bytes = sizeof(address);
    return ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) == 0 &&
           address.ss_family == AF_UNIX;
}

}  // namespace

HttpServer::HttpServer(ring::Loop& loop, Router& router, const HttpLimits& limits)
    : loop_(loop), router_(router), limits_(limits) {}

HttpServer::~HttpServer() {
    while (connections_ != nullptr) {
        const std::unique_ptr<Connection> first(connections_);
        connections_ = first->next;
    }
}

Result<void> HttpServer::serve(UniqueFd listener, bool shared) {
    const int fd = listener.get();
    const bool is_unix = is_unix_socket(fd);
    listeners_.push_back({.fd = std::move(listener), .shared = shared});
    TRY_ASSIGN(
        const fiber::FiberId acceptor,
        loop_.scheduler().spawn(
            "http-accept",
            [this, fd, is_unix] {
                const Result<void> ended = loop_.accept_loop(fd, [this, is_unix](UniqueFd socket) {
                    on_connection(std::move(socket), is_unix);
                });
                if (!ended && ended.error().code != Errc::kCancelled) {
                    observe::log_line(
                        observe::Level::kError,
                        "http",
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

void HttpServer::on_connection(UniqueFd socket, bool is_unix) {
    if (draining_ || connections_count_ >= limits_.connections_max) {
        // No request was read, so there is none to answer: closing says it.
        observe::log_line(
            observe::Level::kWarning,
            "http",
            "connection refused connections={} http_connections_max={}",
            connections_count_,
            limits_.connections_max
        );
        return;
    }
    auto made = std::make_unique<Connection>(*this, std::move(socket), is_unix);
    Connection& connection = *made;
    adopt(std::move(made));
    connection.start();
}

void HttpServer::adopt(std::unique_ptr<Connection> connection) {
    connection->next = connections_;
    if (connections_ != nullptr) {
        connections_->previous = connection.get();
    }
    connections_ = connection.release();
    ++connections_count_;
}

void HttpServer::forget(Connection& connection) {
    (connection.previous != nullptr ? connection.previous->next : connections_) = connection.next;
    if (connection.next != nullptr) {
        connection.next->previous = connection.previous;
    }
    --connections_count_;
    // Later: the caller is one of its own functions.
    loop_.defer([gone = std::unique_ptr<Connection>(&connection)] {});
}

void HttpServer::stop_accepting() {
    draining_ = true;
    for (const fiber::FiberId acceptor : acceptors_) {
        loop_.scheduler().cancel(acceptor);
    }
    acceptors_.clear();
    for (const Listener& listener : listeners_) {
        if (!listener.shared) {
            // At once: the ring keeps the socket alive for a while after we have let go of it.
            (void)::shutdown(listener.fd.get(), SHUT_RDWR);  // cannot fail on a listening socket
        }
    }
    for (Connection* connection = connections_; connection != nullptr;) {
        Connection* following = connection->next;
        connection->drain();
        connection = following;
    }
}

std::unique_ptr<Exchange> HttpServer::take_exchange() {
    if (spare_exchanges_.empty()) {
        return std::make_unique<Exchange>(*this);
    }
    std::unique_ptr<Exchange> exchange = std::move(spare_exchanges_.back());
    spare_exchanges_.pop_back();
    return exchange;
}

void HttpServer::give_back(std::unique_ptr<Exchange> exchange) {
    if (spare_exchanges_.size() < kSpareExchangesMax) {
        spare_exchanges_.push_back(std::move(exchange));
    }
}

void HttpServer::request_ended() {
    ENSURE(in_flight_count_ > 0, "a request ends once");
    --in_flight_count_;
    if (draining_ && in_flight_count_ == 0 && on_drained) {
        on_drained();
    }
}

}  // namespace hako::gateway::http
