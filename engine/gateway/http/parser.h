#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string_view>

#include "engine/base/byte_buffer.h"
#include "engine/gateway/http/message.h"

namespace hako::gateway::http {

inline constexpr std::size_t kHeadersMax = 100;

/// Bounds of what stands before a body.
struct HeadLimits {
    std::size_t line_bytes_max = 16 * 1024;
    std::size_t bytes_max = 32 * 1024;  ///< all lines together
};

/// Why bytes are no request; the connection ends with it. `text` is a literal.
struct Fault {
    std::uint32_t status = 400;
    const char* text = "";
};

/// Where a head lies in what was received.
struct HeadPlace {
    std::size_t begin_bytes = 0;  ///< an empty line may stand before it
    std::size_t end_bytes = 0;    ///< behind its empty line; 0: not there yet
};

/// Looks for a whole head and refuses what can be known to be bad before it is whole: bare LF,
/// folded lines, lines or heads that are too long, too many lines. Keeps nothing between calls.
[[nodiscard]] std::expected<HeadPlace, Fault> find_head(
    std::string_view received, const HeadLimits& limits
);

/// Reads one request after the other (Boost.Beast's parser, and what it lets pass and two servers
/// could read in two ways is refused: RFC 9112 sections 5, 6 and 11).
class RequestParser {
public:
    RequestParser();
    ~RequestParser();
    RequestParser(const RequestParser&) = delete;
    RequestParser& operator=(const RequestParser&) = delete;

    /// Reads a whole head as `find_head` found it. `request` then has views into it and into this
    /// parser, valid until the next head.
    [[nodiscard]] std::optional<Fault> read_head(std::string_view head, Request& request);

    // Of the head that was read:
    [[nodiscard]] std::uint64_t content_length() const noexcept { return content_length_; }
    [[nodiscard]] bool is_chunked() const noexcept { return is_chunked_; }
    [[nodiscard]] bool keeps_alive() const noexcept { return keeps_alive_; }
    [[nodiscard]] bool expects_continue() const noexcept { return expects_continue_; }
    [[nodiscard]] bool is_http_1_1() const noexcept { return is_http_1_1_; }

    struct Chunks {
        std::size_t taken_bytes = 0;  ///< of what was given; the rest comes again with more
        bool is_whole = false;        ///< that was the last chunk
    };
    /// Reads chunks from `received` and appends their content to `body`. 413 over `body_bytes_max`.
    [[nodiscard]] std::expected<Chunks, Fault> take_chunks(
        std::string_view received, ByteBuffer& body, std::uint64_t body_bytes_max
    );

private:
    struct Beast;

    [[nodiscard]] std::optional<Fault> check_head(Request& request) const;

    std::unique_ptr<Beast> beast_;
    std::array<Header, kHeadersMax> headers_;
    std::size_t headers_count_ = 0;
    std::uint64_t content_length_ = 0;
    bool is_chunked_ = false;
    bool keeps_alive_ = false;
    bool expects_continue_ = false;
    bool is_http_1_1_ = false;
};

}  // namespace hako::gateway::http
