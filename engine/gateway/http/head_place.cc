#include <algorithm>
#include <cstring>

#include "engine/gateway/http/parser.h"

namespace hako::gateway::http {
namespace {

// The request line counts too. Lines beyond kHeadersMax are refused while they arrive.
constexpr std::size_t kLinesMax = kHeadersMax + 1;

Fault too_long(std::size_t line_number) {
    return line_number == 0 ? Fault{.status = 414, .text = "The request line is too long."}
                            : Fault{.status = 431, .text = "A header line is too long."};
}

}  // namespace

std::expected<HeadPlace, Fault> find_head(std::string_view received, const HeadLimits& limits) {
    HeadPlace place;
    // RFC 9112 section 2.2: an empty line before the request line is passed over; more are not.
    if (received.starts_with("\r\n")) {
        place.begin_bytes = 2;
    }
    std::size_t line_begin = place.begin_bytes;
    for (std::size_t line_number = 0;; ++line_number) {
        const char* from = received.data() + line_begin;
        const std::size_t rest_bytes = received.size() - line_begin;
        const void* found = rest_bytes == 0 ? nullptr : std::memchr(from, '\n', rest_bytes);
        const std::size_t line_bytes =
            found == nullptr ? rest_bytes
                             : static_cast<std::size_t>(static_cast<const char*>(found) - from) + 1;
        // In the order of the bytes, so that how they were cut on their way makes no difference.
        if (line_number > 0 && line_bytes > 0 && (*from == ' ' || *from == '\t')) {
            return std::unexpected(Fault{.text = "Folded header lines are not supported."});
        }
        const std::size_t head_room_bytes = limits.bytes_max - (line_begin - place.begin_bytes);
        if (line_bytes > std::min(limits.line_bytes_max, head_room_bytes)) {
            return std::unexpected(
                head_room_bytes < limits.line_bytes_max
                    ? Fault{.status = 431, .text = "The header section is too large."}
                    : too_long(line_number)
            );
        }
        if (found == nullptr) {
            return place;
        }
        if (line_bytes < 2 || from[line_bytes - 2] != '\r') {
            return std::unexpected(Fault{.text = "Lines end with CR LF."});
        }
        line_begin += line_bytes;
        if (line_bytes == 2) {
            if (line_number == 0) {
                return std::unexpected(Fault{.text = "There is no request line."});
            }
            place.end_bytes = line_begin;
            return place;
        }
        if (line_number + 1 > kLinesMax) {
            return std::unexpected(Fault{.status = 431, .text = "There are too many headers."});
        }
    }
}

}  // namespace hako::gateway::http
