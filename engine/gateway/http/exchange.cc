#include "engine/gateway/http/exchange.h"

#include <algorithm>
#include <charconv>

#include "engine/base/ensure.h"
#include "engine/gateway/http/connection.h"
#include "engine/gateway/http/handler.h"
#include "engine/gateway/http/server.h"

namespace hako::gateway::http {
namespace {

// What an exchange keeps of its buffers when it goes back to the pool.
constexpr std::size_t kHeadKeepBytes = 16 * 1024;
constexpr std::size_t kChunkLineBytes = 2 * sizeof(std::uint64_t) + 2;

iovec piece_of(std::string_view text) {
    // The kernel only reads it.
    return {.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
}

std::string_view view(const ByteBuffer& buffer) {
    return {reinterpret_cast<const char*>(buffer.bytes().data()), buffer.size_bytes()};
}

}  // namespace

Exchange::Exchange(HttpServer& server) : server_(server), reader_(server.limits_.head) {}

void Exchange::begin(Connection& connection) {
    connection_ = &connection;
    server_.ids_.next().write_text(id_text_.data());
    Request& request = reader_.request();
    request.request_id = {id_text_.data(), id_text_.size()};
    request.peer = connection.peer();
    is_head_method_ = request.method == "HEAD";
    closes_ = !reader_.parser().keeps_alive();
    state_ = State::kFresh;
    head_.shrink(kHeadKeepBytes);
    unsent_.shrink(0);
}

void Exchange::account(std::size_t bytes) noexcept {
    server_.buffer_bytes_ += bytes;
    server_.buffer_bytes_ -= counted_bytes_;
    counted_bytes_ = bytes;
}

void Exchange::format_head(const ResponseHead& head, Framing framing, std::uint64_t length_bytes) {
    closes_ = closes_ || server_.draining_ || framing == Framing::kUntilClose;
    framing_ = framing;
    head_.clear();
    append_response_head(
        head_,
        head,
        {
            .framing = framing,
            .length_bytes = length_bytes,
            .request_id = {id_text_.data(), id_text_.size()},
            .date = server_.date(),
            .closes = closes_,
            .is_http_1_1 = reader_.parser().is_http_1_1(),
        }
    );
}

void Exchange::send(const ResponseHead& head, std::string_view body) {
    ENSURE(state_ == State::kFresh, "a request is answered once");
    state_ = State::kDone;
    const bool no_body = has_no_body(head.status);
    format_head(head, no_body ? Framing::kNone : Framing::kLength, body.size());
    if (is_head_method_ || no_body) {
        body = {};
    }
    std::array pieces = {piece_of(view(head_)), piece_of(body)};
    const Result<std::size_t> sent =
        connection_->send_now(std::span(pieces.data(), body.empty() ? 1 : 2));
    if (!sent) {
        connection_->break_off();
        return;
    }
    std::size_t rest_from = *sent;
    const std::size_t rest_bytes = head_.size_bytes() + body.size() - rest_from;
    if (rest_bytes == 0) {
        return;
    }
    if (server_.buffer_bytes_ + rest_bytes > server_.limits_.buffer_bytes_max) {
        connection_->break_off();  // it asks and does not read
        return;
    }
    for (const std::string_view piece : {view(head_), body}) {
        const std::size_t passed_bytes = std::min(rest_from, piece.size());
        unsent_.append(piece.substr(passed_bytes));
        rest_from -= passed_bytes;
    }
    account(reader_.extra_bytes() + rest_bytes);
}

Result<void> Exchange::begin(const ResponseHead& head) {
    ENSURE(state_ == State::kFresh, "a request is answered once");
    state_ = State::kStreaming;
    Framing framing = reader_.parser().is_http_1_1() ? Framing::kChunked : Framing::kUntilClose;
    if (has_no_body(head.status)) {
        framing = Framing::kNone;
    }
    format_head(head, framing, 0);
    // On its way at once: the client may wait for it longer than for the rest.
    const std::array pieces = {view(head_)};
    return send_pieces(pieces);
}

Result<void> Exchange::write(std::string_view bytes) {
    ENSURE(state_ == State::kStreaming, "write stands between begin and finish");
    if (is_head_method_ || framing_ == Framing::kNone || bytes.empty()) {
        return {};  // an empty chunk would end the body
    }
    if (framing_ == Framing::kUntilClose) {
        const std::array pieces = {bytes};
        return send_pieces(pieces);
    }
    std::array<char, kChunkLineBytes> line;
    char* end = std::to_chars(line.data(), line.data() + line.size(), bytes.size(), 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    const std::array pieces = {std::string_view(line.data(), end), bytes, std::string_view("\r\n")};
    return send_pieces(pieces);
}

Result<void> Exchange::finish() {
    ENSURE(state_ == State::kStreaming, "finish comes after begin");
    state_ = State::kDone;
    if (is_head_method_ || framing_ != Framing::kChunked) {
        return {};
    }
    const std::array pieces = {std::string_view("0\r\n\r\n")};
    return send_pieces(pieces);
}

void Exchange::abort() {
    state_ = State::kAborted;
    connection_->break_off();
}

bool Exchange::is_gone() const noexcept {
    return connection_->is_gone();
}

void Exchange::cancel_when_gone() {
    connection_->cancel_when_gone();
}

void Exchange::release_body() noexcept {
    reader_.release_body();
    account(0);
}

Result<void> Exchange::send_pieces(std::span<const std::string_view> pieces) {
    constexpr std::size_t kPiecesMax = 3;
    ENSURE(pieces.size() <= kPiecesMax, "a chunk has three pieces");
    std::array<iovec, kPiecesMax> vectors;
    std::ranges::transform(pieces, vectors.begin(), piece_of);
    const Result<void> sent = connection_->send_all(std::span(vectors.data(), pieces.size()));
    if (!sent) {
        connection_->break_off();
    }
    return sent;
}

bool Exchange::complete() {
    if (state_ == State::kFresh && !connection_->is_gone()) {
        closes_ = true;
        send_error(*this, registry::service_error("The request ended without an answer."));
    }
    if (state_ != State::kDone) {
        return false;  // aborted, or begun and not finished: the connection's end says so
    }
    if (unsent_.empty()) {
        return true;
    }
    const std::array pieces = {view(unsent_)};
    return send_pieces(pieces).has_value();
}

}  // namespace hako::gateway::http
