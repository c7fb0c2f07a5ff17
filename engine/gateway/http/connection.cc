#include "engine/gateway/http/connection.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"

namespace hako::gateway::http {
namespace {

constexpr std::size_t kReceiveBytesMax = 256 * 1024;
// Then others have their turn, though there is more to receive.
constexpr int kReceivesPerTurn = 8;
// Requests one after the other without a wait between them.
constexpr std::uint32_t kRequestsPerTurn = 16;
// After a refusal: how long what the client still sends is thrown away, so that closing does not
// reset the connection before it has read why.
constexpr std::int64_t kLingerUs = 5'000'000;
constexpr std::int64_t kLingerInDrainUs = 500'000;
constexpr std::size_t kDiscardBytes = 1024 * 1024;

constexpr std::uint32_t kLeft = POLLERR | POLLHUP | POLLNVAL;

std::string_view code_of(std::uint32_t status) {
    switch (status) {
        case 408:
            return "RequestTimeoutException";
        case 413:
            return "RequestEntityTooLargeException";
        case 429:
            return "TooManyRequestsException";
        case 501:
            return "NotImplementedException";
        case 503:
            return "ServiceUnavailableException";
        default:
            return "BadRequestException";
    }
}

}  // namespace

Connection::Connection(HttpServer& server, UniqueFd socket, bool is_unix)
    : server_(server), socket_(std::move(socket)), is_unix_(is_unix) {}

Connection::~Connection() = default;

void Connection::start() {
    watch_.owner = this;
    watch_.on_events = [](ring::Watch& watch, std::uint32_t events) {
        static_cast<Connection*>(watch.owner)->on_events(events);
    };
    watch_.on_closed = [](ring::Watch& watch, std::uint32_t) {
        auto& self = *static_cast<Connection*>(watch.owner);
        self.server_.forget(self);
    };
    timer_.owner = this;
    timer_.on_due = [](ring::Timer& timer) { static_cast<Connection*>(timer.owner)->on_due(); };
    server_.loop_.watch(watch_, socket_.get(), POLLIN | POLLRDHUP);
    set_deadline(server_.loop_.turn_now_us() + server_.limits_.idle_us);
}

void Connection::drain() {
    switch (phase_) {
        case Phase::kReading:
            if (begun_ != nullptr || exchange_ != nullptr) {
                refuse_with(503, code_of(503), "The engine is stopping.");
            } else {
                close();
            }
            return;
        case Phase::kLingering:
            set_deadline(server_.loop_.turn_now_us() + kLingerInDrainUs);
            return;
        case Phase::kRunning:  // the answer says that it is the last
        case Phase::kClosed:
            return;
    }
}

// ---- events ----

void Connection::on_events(std::uint32_t events) {
    at_end_ = at_end_ || (events & POLLRDHUP) != 0;
    switch (phase_) {
        case Phase::kReading:
            if ((events & kLeft) != 0) {
                close();
                return;
            }
            readable_ = true;
            read();
            return;
        case Phase::kRunning:
            readable_ = true;
            // Over TCP a client that closes and one that only ends its sending look alike; what
            // comes while its request runs is taken for the first. What came with the request is
            // not.
            if ((events & kLeft) != 0 || (!is_unix_ && (events & POLLRDHUP) != 0)) {
                gone_ = true;
                if (cancels_) {
                    server_.loop_.scheduler().cancel(fiber_);
                }
            }
            return;
        case Phase::kLingering:
            discard();
            return;
        case Phase::kClosed:
            return;
    }
}

void Connection::cancel_when_gone() {
    cancels_ = true;
    if (gone_) {
        server_.loop_.scheduler().cancel(fiber_);
    }
}

// A deadline that moves away, as with each request, costs nothing: the timer looks when it is due.
void Connection::set_deadline(std::int64_t deadline_us) {
    deadline_us_ = deadline_us;
    if (!timer_.is_armed() || timer_.due_us > deadline_us) {
        server_.loop_.arm(timer_, deadline_us);
    }
}

void Connection::on_due() {
    if (goes_on_) {
        goes_on_ = false;
        if (phase_ == Phase::kReading) {
            read();
            return;
        }
        if (phase_ == Phase::kLingering) {
            discard();
            return;
        }
    }
    if (phase_ == Phase::kRunning || deadline_us_ == kNever) {
        return;
    }
    if (server_.loop_.turn_now_us() < deadline_us_) {
        server_.loop_.arm(timer_, deadline_us_);
        return;
    }
    if (phase_ == Phase::kReading && (begun_ != nullptr || exchange_ != nullptr)) {
        refuse_with(408, code_of(408), "The request did not arrive in time.");
        return;
    }
    close();
}

// ---- reading ----

void Connection::read() {
    if (exchange_ == nullptr) {
        take_exchange();
    }
    switch (take_request()) {
        case Taken::kWhole:
            begin_request();
            return;
        case Taken::kWait:
            wait_for_more();
            return;
        case Taken::kEnded:
            return;
    }
}

Connection::Taken Connection::take_request() {
    for (int receives_count = 0;;) {
        const auto step = exchange_->reader().advance();
        if (!step) {
            refuse(step.error());
            return Taken::kEnded;
        }
        if (*step == RequestReader::Next::kWhole) {
            return Taken::kWhole;
        }
        if (*step == RequestReader::Next::kHead) {
            if (!admit_body()) {
                return Taken::kEnded;
            }
            continue;
        }
        if (!readable_) {
            return Taken::kWait;
        }
        if (receives_count++ == kReceivesPerTurn) {
            goes_on_ = true;
            return Taken::kWait;
        }
        if (!receive()) {
            return Taken::kEnded;
        }
    }
}

bool Connection::receive() {
    const std::span<std::byte> room = exchange_->reader().room();
    const std::size_t bytes_max = std::min(room.size(), kReceiveBytesMax);
    const ssize_t got_bytes = ::recv(socket_.get(), room.data(), bytes_max, MSG_DONTWAIT);
    if (got_bytes > 0) {
        const auto bytes = static_cast<std::size_t>(got_bytes);
        exchange_->reader().received(bytes);
        // Less than there was room for: nothing is left, and what comes next is a new event. The
        // end of the stream was one already.
        readable_ = at_end_ || bytes == bytes_max;
        return true;
    }
    if (got_bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
        readable_ = errno == EINTR;
        return true;
    }
    close();  // the client has closed, with or without a request begun
    return false;
}

bool Connection::admit_body() {
    RequestReader& reader = exchange_->reader();
    const BodyLimit limit = server_.router_.body_limit(reader.request());
    const std::uint64_t length = reader.parser().content_length();
    if (server_.buffer_bytes_ + std::min(length, limit.bytes_max) >
        server_.limits_.buffer_bytes_max) {
        refuse_with(503, code_of(503), "The engine is busy receiving other requests.");
        return false;
    }
    body_limit_ = limit;
    if (!reader.allow_body(limit.bytes_max)) {
        refuse({.status = 413, .text = ""});
        return false;
    }
    begun_us_ = server_.loop_.turn_now_us();
    exchange_->account(reader.extra_bytes());
    if (reader.parser().expects_continue() && reader.body_bytes() == 0) {
        std::string_view interim = "HTTP/1.1 100 Continue\r\n\r\n";
        iovec piece = {.iov_base = const_cast<char*>(interim.data()), .iov_len = interim.size()};
        const Result<std::size_t> sent = send_now({&piece, 1});
        if (!sent || *sent != interim.size()) {
            close();  // it did not read its last answer and wants to send more
            return false;
        }
    }
    return true;
}

void Connection::wait_for_more() {
    ENSURE(phase_ == Phase::kReading, "who waits for bytes does nothing else");
    const std::int64_t now = server_.loop_.turn_now_us();
    RequestReader& reader = exchange_->reader();
    if (reader.is_in_body()) {
        exchange_->account(reader.extra_bytes());
        set_deadline(begun_us_ + server_.limits_.body_us + slow_us(reader.body_bytes()));
    } else if (const std::span<const std::byte> begun = reader.begun(); !begun.empty()) {
        // A head that dribbles in must not hold a whole exchange.
        begun_us_ = begun_us_ == 0 ? now : begun_us_;
        begun_ = std::make_unique_for_overwrite<std::byte[]>(begun.size());
        begun_bytes_ = static_cast<std::uint32_t>(begun.size());
        std::ranges::copy(begun, begun_.get());
        return_exchange();
        set_deadline(begun_us_ + server_.limits_.header_us);
    } else {
        begun_us_ = 0;
        return_exchange();
        set_deadline(now + server_.limits_.idle_us);
    }
    if (goes_on_) {
        server_.loop_.arm(timer_, now);
    }
}

void Connection::take_exchange() {
    exchange_ = server_.take_exchange();
    if (begun_ != nullptr) {
        exchange_->reader().put_back({begun_.get(), begun_bytes_});
        begun_.reset();
    }
}

void Connection::return_exchange() {
    exchange_->account(0);
    exchange_->reader().reset();
    server_.give_back(std::move(exchange_));
}

std::int64_t Connection::slow_us(std::uint64_t bytes) const noexcept {
    constexpr std::uint64_t kSecondUs = 1'000'000;
    return static_cast<std::int64_t>(bytes * kSecondUs / server_.limits_.slow_bytes_per_s);
}

// ---- running ----

void Connection::begin_request() {
    fiber::Scheduler& scheduler = server_.loop_.scheduler();
    const bool has_room = server_.in_flight_count_ < server_.limits_.requests_max;
    if (has_room) {
        if (const auto spawned = scheduler.spawn("http", [this] { serve(); })) {
            fiber_ = *spawned;
            phase_ = Phase::kRunning;
            deadline_us_ = kNever;
            server_.request_begun();
            return;
        }
    }
    refuse_with(429, code_of(429), "Rate Exceeded.");
}

void Connection::serve() {
    for (std::uint32_t count = 1;; ++count) {
        const bool goes_on = answer_request();
        server_.request_ended();
        if (!goes_on) {
            const bool has_unread = readable_ || !exchange_->reader().begun().empty();
            if (gone_ || broken_ || !has_unread) {
                close();
            } else {
                linger();
            }
            return;
        }
        phase_ = Phase::kReading;
        const Taken taken = take_request();
        if (taken != Taken::kWhole) {
            if (taken == Taken::kWait) {
                wait_for_more();
            }
            return;
        }
        phase_ = Phase::kRunning;
        server_.request_begun();
        if (count % kRequestsPerTurn == 0) {
            server_.loop_.scheduler().yield();
        }
    }
}

bool Connection::answer_request() {
    begun_us_ = 0;
    exchange_->begin(*this);
    server_.router_.handle(exchange_->reader().request(), *exchange_);
    const bool is_complete = exchange_->complete();
    cancels_ = false;
    exchange_->reader().next_request();
    exchange_->account(0);
    return is_complete && !exchange_->is_last() && !server_.draining_ && !gone_ && !broken_;
}

const Peer& Connection::peer() {
    if (!peer_known_) {
        learn_peer();
        peer_known_ = true;
    }
    return peer_;
}

void Connection::learn_peer() {
    peer_.is_unix = is_unix_;
    if (is_unix_) {
        ucred who{};
        socklen_t bytes = sizeof(who);
        // Nobody has the highest number: a socket that does not say is nobody's.
        peer_.uid = static_cast<uid_t>(-1);
        peer_.gid = static_cast<gid_t>(-1);
        if (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &who, &bytes) == 0) {
            peer_.uid = who.uid;
            peer_.gid = who.gid;
            peer_.pid = who.pid;
        }
        return;
    }
    sockaddr_storage address{};
    socklen_t bytes = sizeof(address);
    if (::getpeername(socket_.get(), reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
        return;  // it has left: no address, not loopback
    }
    const void* raw = nullptr;
    if (address.ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
        peer_.is_loopback = (ntohl(v4.sin_addr.s_addr) >> 24U) == 127;
        peer_.port = ntohs(v4.sin_port);
        raw = &v4.sin_addr;
    } else {
        const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
        const bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
        peer_.is_loopback =
            IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) || (is_mapped && v6.sin6_addr.s6_addr[12] == 127);
        peer_.port = ntohs(v6.sin6_port);
        raw = is_mapped ? static_cast<const void*>(&v6.sin6_addr.s6_addr[12]) : &v6.sin6_addr;
        address.ss_family = is_mapped ? AF_INET : AF_INET6;
    }
    if (::inet_ntop(address.ss_family, raw, address_.data(), INET6_ADDRSTRLEN) != nullptr) {
        peer_.address = address_.data();
    }
}

// ---- sending ----

Result<std::size_t> Connection::send_now(std::span<iovec> pieces) {
    if (gone_ || broken_) {
        return fail(Errc::kClosed, "the client has left");
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    const ssize_t sent_bytes = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent_bytes >= 0) {
        return static_cast<std::size_t>(sent_bytes);
    }
    if (errno == EAGAIN || errno == EINTR) {
        return 0;
    }
    return fail(Errc::kClosed, "send to a client");
}

Result<void> Connection::send_all(std::span<iovec> pieces) {
    std::size_t rest_bytes = 0;
    for (const iovec& piece : pieces) {
        rest_bytes += piece.iov_len;
    }
    const std::int64_t deadline_us = now_us() + server_.limits_.write_us + slow_us(rest_bytes);
    for (;;) {
        TRY_ASSIGN(std::size_t sent_bytes, send_now(pieces));
        rest_bytes -= sent_bytes;
        if (rest_bytes == 0) {
            return {};
        }
        while (sent_bytes >= pieces.front().iov_len) {
            sent_bytes -= pieces.front().iov_len;
            pieces = pieces.subspan(1);
        }
        pieces.front().iov_base = static_cast<char*>(pieces.front().iov_base) + sent_bytes;
        pieces.front().iov_len -= sent_bytes;
        TRY(server_.loop_.poll(socket_.get(), POLLOUT, deadline_us));
    }
}

// ---- ending ----

void Connection::refuse(const Fault& fault) {
    if (fault.status == 413) {
        refuse_with(
            413,
            code_of(413),
            fmt::format(
                "Request must be smaller than {} bytes for the {} operation",
                body_limit_.bytes_max,
                body_limit_.operation
            )
        );
        return;
    }
    refuse_with(fault.status, code_of(fault.status), fault.text);
}

void Connection::refuse_with(
    std::uint32_t status, std::string_view code, std::string_view message
) {
    const registry::ApiError error = {
        .status = static_cast<int>(status),
        .code = std::string(code),
        .message = std::string(message),
        .type = status >= 500 ? "Service" : "User",
    };
    const std::array headers = {Header{.name = "x-amzn-ErrorType", .value = error.code}};
    const std::string body = error.to_json();
    const auto id_text = server_.ids_.next().text();
    ByteBuffer answer;
    append_response_head(
        answer,
        {.status = status, .headers = headers},
        {
            .length_bytes = body.size(),
            .request_id = {id_text.data(), id_text.size()},
            .date = server_.date(),
            .closes = true,
        }
    );
    answer.append(body);
    std::array pieces = {iovec{
        .iov_base = const_cast<std::byte*>(answer.bytes().data()), .iov_len = answer.size_bytes()
    }};
    if (!send_now(pieces)) {
        close();
        return;
    }
    linger();
}

void Connection::linger() {
    if (exchange_ != nullptr) {
        return_exchange();
    }
    begun_.reset();
    phase_ = Phase::kLingering;
    (void)::shutdown(socket_.get(), SHUT_WR);  // fails if the client was first
    set_deadline(server_.loop_.turn_now_us() + (server_.draining_ ? kLingerInDrainUs : kLingerUs));
    discard();
}

void Connection::discard() {
    for (int count = 0; count < kReceivesPerTurn; ++count) {
        ssize_t got_bytes = 0;
        if (is_unix_) {
            std::array<std::byte, 2048> scratch;
            got_bytes = ::recv(socket_.get(), scratch.data(), scratch.size(), MSG_DONTWAIT);
        } else {
            // TCP throws it away without copying.
            got_bytes = ::recv(socket_.get(), nullptr, kDiscardBytes, MSG_DONTWAIT | MSG_TRUNC);
        }
        if (got_bytes == 0 || (got_bytes < 0 && errno != EAGAIN && errno != EINTR)) {
            close();
            return;
        }
        if (got_bytes < 0 && errno == EAGAIN) {
            return;
        }
    }
    goes_on_ = true;
    server_.loop_.arm(timer_, server_.loop_.turn_now_us());
}

void Connection::close() {
    if (phase_ == Phase::kClosed) {
        return;
    }
    phase_ = Phase::kClosed;
    if (exchange_ != nullptr) {
        return_exchange();
    }
    begun_.reset();
    server_.loop_.disarm(timer_);
    (void)::shutdown(socket_.get(), SHUT_RDWR);  // fails if the client was first
    server_.loop_.unwatch(watch_);
}

}  // namespace hako::gateway::http
