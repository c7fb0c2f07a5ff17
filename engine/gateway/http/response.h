#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/base/byte_buffer.h"
#include "engine/gateway/http/message.h"

namespace hako::gateway::http {

/// How the client knows where a body ends.
enum class Framing : std::uint8_t {
    kLength,
    kChunked,
    kUntilClose,  ///< HTTP/1.0 without a length
    kNone         ///< there is no body and no length: 1xx, 204, 304
};

/// What the writer knows and a handler does not say.
struct ResponseFrame {
    Framing framing = Framing::kLength;
    std::uint64_t length_bytes = 0;
    std::string_view request_id;
    std::string_view date;  ///< IMF-fixdate
    bool closes = false;    ///< this is the last answer on the connection
    bool is_http_1_1 = true;
};

/// Status line and headers with the empty line. Header names that are no tokens are left out, and
/// what would end a line inside a value becomes a space: handlers pass on what functions say.
void append_response_head(ByteBuffer& out, const ResponseHead& head, const ResponseFrame& frame);

/// `OK` for 200; empty for a status without a name.
[[nodiscard]] std::string_view reason_phrase(std::uint32_t status) noexcept;

/// Whether RFC 9110 gives answers of that status no content.
[[nodiscard]] constexpr bool has_no_body(std::uint32_t status) noexcept {
    return status < 200 || status == 204 || status == 304;
}

/// The Date header's text, renewed once a second.
class DateText {
public:
    /// `now_us`: CLOCK_MONOTONIC, which need not be read anew.
    [[nodiscard]] std::string_view at(std::int64_t now_us);

private:
    static constexpr std::size_t kBytes = 29;
    char text_[kBytes + 1] = {};
    std::int64_t good_until_us_ = 0;
};

}  // namespace hako::gateway::http
