#include "engine/gateway/http/response.h"

#include <array>
#include <string>

#include <gtest/gtest.h>

#include "engine/gateway/lambda/url_text.h"

namespace hako::gateway::http {
namespace {

std::string head_text(const ResponseHead& head, const ResponseFrame& frame) {
    ByteBuffer out;
    append_response_head(out, head, frame);
    return {reinterpret_cast<const char*>(out.bytes().data()), out.size_bytes()};
}

TEST(HttpResponse, WritesWhatTheWireNeeds) {
    const std::array headers = {Header{.name = "X-Amz-Executed-Version", .value = "$LATEST"}};
    EXPECT_EQ(
        head_text({.headers = headers}, {.length_bytes = 12, .request_id = "id", .date = "a date"}),
        "HTTP/1.1 200 OK\r\nDate: a date\r\nContent-Type: application/json\r\n"
        "Content-Length: 12\r\nx-amzn-RequestId: id\r\nX-Amz-Executed-Version: $LATEST\r\n\r\n"
    );
    EXPECT_EQ(
        head_text({.status = 204}, {.framing = Framing::kNone, .date = "d", .closes = true}),
        "HTTP/1.1 204 No Content\r\nDate: d\r\nConnection: close\r\n\r\n"
    );
    EXPECT_EQ(
        head_text({.status = 299, .content_type = "text/html"}, {.framing = Framing::kChunked}),
        "HTTP/1.1 299 \r\nDate: \r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    EXPECT_EQ(
        head_text({.content_type = ""}, {.is_http_1_1 = false}),
        "HTTP/1.1 200 OK\r\nDate: \r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"
    );
}

// Functions choose headers: none of them may end a line, or begin an answer of its own.
TEST(HttpResponse, LetsNoHeaderBreakOut) {
    const std::array headers = {
        Header{.name = "Good", .value = std::string_view("a\r\nSet-Cookie: x\0y\x7f\tz", 21)},
        Header{.name = "Bad\r\nName", .value = "v"},
        Header{.name = "Bad Name", .value = "v"},
        Header{.name = "", .value = "v"},
    };
    EXPECT_EQ(
        head_text({.content_type = "a\nb", .headers = headers}, {}),
        "HTTP/1.1 200 OK\r\nDate: \r\nContent-Type: a b\r\nContent-Length: 0\r\n"
        "Good: a  Set-Cookie: x y \tz\r\n\r\n"
    );
}

TEST(HttpResponse, DatesAreOfTheHeadersForm) {
    DateText date;
    const std::string text(date.at(0));
    ASSERT_EQ(text.size(), 29U);
    EXPECT_EQ(text.substr(3, 2), ", ");
    EXPECT_EQ(text.substr(25), " GMT");
    EXPECT_EQ(date.at(0), text) << "within the second";
}

TEST(UrlText, DecodesWhatClientsSend) {
    lambda::DecodedText decoded;
    EXPECT_TRUE(decoded.decode("plain+", false));
    EXPECT_EQ(decoded.text(), "plain+");
    EXPECT_TRUE(decoded.decode("a%3Ab%24LATEST%2f", false));
    EXPECT_EQ(decoded.text(), "a:b$LATEST/");
    EXPECT_TRUE(decoded.decode("a+b%2B", true));
    EXPECT_EQ(decoded.text(), "a b+");
    for (const char* bad : {"%", "%4", "a%", "%zz", "%4g", "%%41"}) {
        EXPECT_FALSE(decoded.decode(bad, false)) << bad;
    }
}

TEST(UrlText, FindsTheFirstValue) {
    using lambda::find_query_value;
    EXPECT_EQ(find_query_value("a=1&Qualifier=x&Qualifier=y", "Qualifier"), "x");
    EXPECT_EQ(find_query_value("Qualifier", "Qualifier"), "");
    EXPECT_EQ(find_query_value("Qualifiers=x&&", "Qualifier"), std::nullopt);
    EXPECT_EQ(find_query_value("", "Qualifier"), std::nullopt);
}

}  // namespace
}  // namespace hako::gateway::http
