#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string_view>

#include "engine/base/byte_buffer.h"
#include "engine/gateway/http/message.h"
#include "engine/gateway/http/parser.h"

namespace hako::gateway::http {

/// What may be read behind a body: simdjson does.
inline constexpr std::size_t kBodyReadAheadBytes = 64;

/// Turns received bytes into requests, one after the other; knows no sockets. Whoever receives puts
/// bytes into `room`, says `received`, and asks `advance` until it wants more.
class RequestReader {
public:
    explicit RequestReader(const HeadLimits& limits);

    enum class Next : std::uint8_t {
        kMore,  ///< nothing to do before more has been received
        kHead,  ///< once for a request with a body that is not here yet: call `allow_body`
        kWhole  ///< `request` is there, until `next_request`
    };
    [[nodiscard]] std::expected<Next, Fault> advance();
    /// After kHead: how much body the request may have. False if it says it has more.
    [[nodiscard]] bool allow_body(std::uint64_t body_bytes_max);
    /// Where the next bytes go; never empty after kMore.
    [[nodiscard]] std::span<std::byte> room() noexcept;
    void received(std::size_t bytes) noexcept;
    /// Forgets the whole request; what was received behind it is the beginning of the next.
    void next_request() noexcept;
    /// Forgets everything: for another connection.
    void reset() noexcept;

    [[nodiscard]] Request& request() noexcept { return request_; }
    [[nodiscard]] const RequestParser& parser() const noexcept { return parser_; }
    [[nodiscard]] bool is_in_body() const noexcept { return stage_ != Stage::kHead; }
    /// Of a head that is not whole yet. May be put aside and given back by `put_back`.
    [[nodiscard]] std::span<const std::byte> begun() const noexcept;
    void put_back(std::span<const std::byte> begun) noexcept;
    /// Of the body, so far.
    [[nodiscard]] std::uint64_t body_bytes() const noexcept;
    /// Memory beyond the block that every reader has.
    [[nodiscard]] std::size_t extra_bytes() const noexcept { return extra_bytes_; }
    void release_body() noexcept;

private:
    enum class Stage : std::uint8_t { kHead, kAsking, kBody, kChunks, kWhole };

    [[nodiscard]] std::expected<Next, Fault> advance_head();
    [[nodiscard]] std::expected<Next, Fault> advance_body();
    [[nodiscard]] std::expected<Next, Fault> advance_chunks();
    [[nodiscard]] Next whole(std::string_view body) noexcept;
    [[nodiscard]] std::string_view unread() const noexcept;

    HeadLimits limits_;
    std::size_t block_bytes_;
    std::unique_ptr<std::byte[]> block_;
    std::size_t begin_bytes_ = 0;  // of what was received and not used yet, in the block
    std::size_t end_bytes_ = 0;
    std::size_t head_end_bytes_ = 0;  // chunks are received behind the head, again and again
    Stage stage_ = Stage::kHead;
    RequestParser parser_;
    Request request_;
    std::unique_ptr<std::byte[]> large_;  // a body of known length that the block does not hold
    std::size_t large_got_bytes_ = 0;
    ByteBuffer joined_;  // the content of chunks
    std::uint64_t body_bytes_max_ = 0;
    std::size_t extra_bytes_ = 0;
};

}  // namespace hako::gateway::http
