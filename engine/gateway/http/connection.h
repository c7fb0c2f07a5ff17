#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include <netinet/in.h>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/fiber/fiber.h"
#include "engine/gateway/http/exchange.h"
#include "engine/gateway/http/server.h"
#include "engine/ring/loop.h"

namespace hako::gateway::http {

/// One client. Reading is done by the standing poll's callback, without a fiber and, between
/// requests, without a buffer; each whole request runs on a fiber, one after the other.
class Connection {
public:
    Connection(HttpServer& server, UniqueFd socket, bool is_unix);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void start();
    /// Idle: closes; begun: refuses; running: the answer is the last.
    void drain();

    // For the exchange:
    [[nodiscard]] const Peer& peer();
    /// What the socket takes now of the pieces, in bytes. Errors: kClosed.
    [[nodiscard]] Result<std::size_t> send_now(std::span<iovec> pieces);
    /// All of them; parks. Errors: kClosed, kTimeout, kCancelled.
    [[nodiscard]] Result<void> send_all(std::span<iovec> pieces);
    [[nodiscard]] bool is_gone() const noexcept { return gone_; }
    void cancel_when_gone();
    /// Nothing can be sent any more; the fiber sees it and ends the connection.
    void break_off() noexcept { broken_ = true; }

    // The server's list.
    Connection* next = nullptr;
    Connection* previous = nullptr;

private:
    enum class Phase : std::uint8_t { kReading, kRunning, kLingering, kClosed };
    enum class Taken : std::uint8_t { kWhole, kWait, kEnded };

    void on_events(std::uint32_t events);
    void on_due();
    void read();
    [[nodiscard]] Taken take_request();
    [[nodiscard]] bool receive();
    [[nodiscard]] bool admit_body();
    void wait_for_more();
    void begin_request();
    void serve();
    [[nodiscard]] bool answer_request();
    void refuse(const Fault& fault);
    void refuse_with(std::uint32_t status, std::string_view code, std::string_view message);
    void linger();
    void discard();
    void close();
    void set_deadline(std::int64_t deadline_us);
    void return_exchange();
    void take_exchange();
    void learn_peer();
    [[nodiscard]] std::int64_t slow_us(std::uint64_t bytes) const noexcept;

    HttpServer& server_;
    UniqueFd socket_;
    ring::Watch watch_;
    ring::Timer timer_;
    std::int64_t deadline_us_ = kNever;
    std::int64_t begun_us_ = 0;  // the request's first byte, or its body's
    std::unique_ptr<Exchange> exchange_;
    std::unique_ptr<std::byte[]> begun_;  // of a head that is not whole, while no exchange is held
    std::uint32_t begun_bytes_ = 0;
    std::uint32_t requests_count_ = 0;
    fiber::FiberId fiber_;
    Phase phase_ = Phase::kReading;
    bool is_unix_;
    bool readable_ = false;  // there may be more to receive
    bool gone_ = false;      // nobody wants the answer
    bool broken_ = false;
    bool cancels_ = false;  // the client's leaving cancels the fiber
    bool goes_on_ = false;  // the timer is set to read on, not to end
    bool at_end_ = false;   // the client sends no more than what is there
    bool peer_known_ = false;
    Peer peer_;
    BodyLimit body_limit_;
    std::array<char, INET6_ADDRSTRLEN> address_{};
};

}  // namespace hako::gateway::http
