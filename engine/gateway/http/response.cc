#include "engine/gateway/http/response.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <ctime>

#include "engine/base/clock.h"

namespace hako::gateway::http {
namespace {

struct Named {
    std::uint32_t status;
    std::string_view reason;
};
constexpr std::array kReasons = {
    Named{100, "Continue"},
    Named{200, "OK"},
    Named{201, "Created"},
    Named{202, "Accepted"},
    Named{203, "Non-Authoritative Information"},
    Named{204, "No Content"},
    Named{205, "Reset Content"},
    Named{206, "Partial Content"},
    Named{300, "Multiple Choices"},
    Named{301, "Moved Permanently"},
    Named{302, "Found"},
    Named{303, "See Other"},
    Named{304, "Not Modified"},
    Named{307, "Temporary Redirect"},
    Named{308, "Permanent Redirect"},
    Named{400, "Bad Request"},
    Named{401, "Unauthorized"},
    Named{402, "Payment Required"},
    Named{403, "Forbidden"},
    Named{404, "Not Found"},
    Named{405, "Method Not Allowed"},
    Named{406, "Not Acceptable"},
    Named{408, "Request Timeout"},
    Named{409, "Conflict"},
    Named{410, "Gone"},
    Named{411, "Length Required"},
    Named{412, "Precondition Failed"},
    Named{413, "Payload Too Large"},
    Named{414, "URI Too Long"},
    Named{415, "Unsupported Media Type"},
    Named{416, "Range Not Satisfiable"},
    Named{417, "Expectation Failed"},
    Named{418, "I'm a teapot"},
    Named{421, "Misdirected Request"},
    Named{422, "Unprocessable Entity"},
    Named{424, "Failed Dependency"},
    Named{425, "Too Early"},
    Named{426, "Upgrade Required"},
    Named{428, "Precondition Required"},
    Named{429, "Too Many Requests"},
    Named{431, "Request Header Fields Too Large"},
    Named{451, "Unavailable For Legal Reasons"},
    Named{500, "Internal Server Error"},
    Named{501, "Not Implemented"},
    Named{502, "Bad Gateway"},
    Named{503, "Service Unavailable"},
    Named{504, "Gateway Timeout"},
    Named{505, "HTTP Version Not Supported"},
};
static_assert(std::ranges::is_sorted(kReasons, {}, &Named::status));

constexpr std::size_t kNumberChars = 20;
// Status line, the writer's own headers with their values, and the ends of lines.
constexpr std::size_t kFixedBytes = 512;

bool is_token_char(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c > ' ' && c < 0x7f && std::string_view("!#$%&'*+-.^_`|~").contains(c));
}

bool is_token(std::string_view name) noexcept {
    return !name.empty() && std::ranges::all_of(name, is_token_char);
}

/// Writes into memory that is known to be enough.
class Pen {
public:
    explicit Pen(std::byte* at) : begin_(reinterpret_cast<char*>(at)), at_(begin_) {}

    Pen& text(std::string_view text) noexcept {
        std::memcpy(at_, text.data(), text.size());
        at_ += text.size();
        return *this;
    }
    Pen& number(std::uint64_t number) noexcept {
        at_ = std::to_chars(at_, at_ + kNumberChars, number).ptr;
        return *this;
    }
    Pen& value(std::string_view text) noexcept {
        for (const char c : text) {
            const bool breaks = (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7f;
            *at_++ = breaks ? ' ' : c;
        }
        return *this;
    }
    [[nodiscard]] std::size_t bytes() const noexcept {
        return static_cast<std::size_t>(at_ - begin_);
    }

private:
    char* begin_;
    char* at_;
};

}  // namespace

std::string_view reason_phrase(std::uint32_t status) noexcept {
    const auto found = std::ranges::lower_bound(kReasons, status, {}, &Named::status);
    return found != kReasons.end() && found->status == status ? found->reason : std::string_view();
}

void append_response_head(ByteBuffer& out, const ResponseHead& head, const ResponseFrame& frame) {
    const std::string_view reason = head.status == 200 ? "OK" : reason_phrase(head.status);
    std::size_t bytes_max = kFixedBytes + reason.size() + head.content_type.size() +
                            frame.request_id.size() + frame.date.size();
    for (const Header& header : head.headers) {
        bytes_max += header.name.size() + header.value.size() + 4;
    }
    Pen pen(out.extend(bytes_max));
    pen.text("HTTP/1.1 ").number(head.status).text(" ").text(reason).text("\r\nDate: ");
    pen.text(frame.date).text("\r\n");
    if (!head.content_type.empty() && frame.framing != Framing::kNone) {
        pen.text("Content-Type: ").value(head.content_type).text("\r\n");
    }
    switch (frame.framing) {
        case Framing::kLength:
            pen.text("Content-Length: ").number(frame.length_bytes).text("\r\n");
            break;
        case Framing::kChunked:
            pen.text("Transfer-Encoding: chunked\r\n");
            break;
        case Framing::kUntilClose:
        case Framing::kNone:
            break;
    }
    if (frame.closes) {
        pen.text("Connection: close\r\n");
    } else if (!frame.is_http_1_1) {
        pen.text("Connection: keep-alive\r\n");
    }
    if (!frame.request_id.empty()) {
        pen.text("x-amzn-RequestId: ").text(frame.request_id).text("\r\n");
    }
    for (const Header& header : head.headers) {
        if (is_token(header.name)) {
            pen.text(header.name).text(": ").value(header.value).text("\r\n");
        }
    }
    pen.text("\r\n");
    out.drop_back(bytes_max - pen.bytes());
}

std::string_view DateText::at(std::int64_t now_us) {
    if (now_us >= good_until_us_) {
        constexpr std::int64_t kSecondUs = 1'000'000;
        const std::int64_t wall = wall_us();
        const std::time_t seconds = wall / kSecondUs;
        std::tm parts{};
        (void)::gmtime_r(&seconds, &parts);  // fails for years beyond an int only
        (void)std::strftime(text_, sizeof(text_), "%a, %d %b %Y %H:%M:%S GMT", &parts);
        good_until_us_ = now_us + kSecondUs - wall % kSecondUs;
    }
    return {text_, kBytes};
}

}  // namespace hako::gateway::http
