#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/gateway/http/parser.h"
#include "engine/gateway/http/response.h"
#include "engine/gateway/http/router.h"
#include "engine/meter/request_id.h"
#include "engine/ring/loop.h"

namespace hako::gateway::http {

class Connection;
class Exchange;

/// Bounds of the HTTP front door.
struct HttpLimits {
    std::uint32_t connections_max = 16384;
    std::uint32_t requests_max = 4096;  ///< of all connections; beyond it they are refused
    HeadLimits head;
    std::int64_t header_us = 10'000'000;  ///< from a request's first byte to the end of its head
    std::int64_t body_us = 30'000'000;    ///< for a body, and what `slow_bytes_per_s` gives it more
    std::int64_t idle_us = 90'000'000;    ///< between an answer and the next request
    std::int64_t write_us = 30'000'000;   ///< for an answer, with the same addition
    std::uint64_t slow_bytes_per_s = 32 * 1024;
    std::uint64_t buffer_bytes_max = 1ULL << 30U;  ///< bodies and unsent answers of all connections
};

/// The HTTP/1.1 front door: any number of listening sockets, TCP and Unix. An idle connection is an
/// object and a standing poll; a request that arrives borrows a buffer; one that is whole gets a
/// fiber.
class HttpServer {
public:
    HttpServer(ring::Loop& loop, Router& router, const HttpLimits& limits);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    /// Serves `listener` from a fiber of its own until `stop_accepting`, which shuts it down unless
    /// it is `shared` with whoever passed it to us (socket activation).
    [[nodiscard]] Result<void> serve(UniqueFd listener, bool shared);
    /// No new connections and no new requests on the present ones; what runs goes on and is
    /// answered with `Connection: close`.
    void stop_accepting();
    [[nodiscard]] std::uint32_t connection_count() const noexcept { return connections_count_; }
    [[nodiscard]] std::uint32_t in_flight_count() const noexcept { return in_flight_count_; }
    /// Memory that bodies and unsent answers take now.
    [[nodiscard]] std::uint64_t buffer_bytes() const noexcept { return buffer_bytes_; }
    /// Called when the last request has ended while draining.
    std::function<void()> on_drained;

private:
    friend class Connection;
    friend class Exchange;

    void on_connection(UniqueFd socket, bool is_unix);
    void adopt(std::unique_ptr<Connection> connection);
    void forget(Connection& connection);
    [[nodiscard]] std::unique_ptr<Exchange> take_exchange();
    void give_back(std::unique_ptr<Exchange> exchange);
    void request_begun() noexcept { ++in_flight_count_; }
    void request_ended();
    [[nodiscard]] std::string_view date() { return date_.at(loop_.turn_now_us()); }

    struct Listener {
        UniqueFd fd;
        bool shared = false;
    };
    ring::Loop& loop_;
    Router& router_;
    HttpLimits limits_;
    meter::RequestIdGenerator ids_;
    DateText date_;
    std::vector<Listener> listeners_;
    std::vector<fiber::FiberId> acceptors_;
    Connection* connections_ = nullptr;  // list of all; owned
    std::vector<std::unique_ptr<Exchange>> spare_exchanges_;
    std::uint32_t connections_count_ = 0;
    std::uint32_t in_flight_count_ = 0;
    std::uint64_t buffer_bytes_ = 0;
    bool draining_ = false;
};

}  // namespace hako::gateway::http
