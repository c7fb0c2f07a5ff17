#include "engine/gateway/http/reader.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/gateway/http_script.h"

namespace hako::gateway::http {
namespace {

struct Case {
    const char* name;
    std::string bytes;
    std::string script;
};

std::vector<Case> accepted() {
    return {
        {"plain", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / headers=1\n"},
        {"query",
         "GET /a%2Fb?x=1&y=? HTTP/1.1\r\nHost: h\r\n\r\n",
         "GET /a%2Fb ?x=1&y=? headers=1\n"},
        {"empty line first", "\r\nGET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / headers=1\n"},
        {"body",
         "POST /f HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
         "POST /f headers=2 body=hello\n"},
        {"no body",
         "POST /f HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
         "POST /f headers=2\n"},
        {"chunks",
         "POST /f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
         "5;a=b\r\nhello\r\n0A\r\n, chunks!!\r\n0\r\nTrailer: dropped\r\n\r\n",
         "POST /f headers=2 body=hello, chunks!!\n"},
        {"no chunks",
         "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "PUT / headers=2\n"},
        {"pipelined",
         "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na"
         "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
         "POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n"
         "GET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
         "POST /1 headers=2 body=a\nGET /2 headers=1\nPOST /3 headers=2 body=b\n"
         "GET /4 headers=2 last\n"},
        {"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "GET / headers=0 last\n"},
        {"HTTP/1.0 kept", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / headers=1\n"},
        {"close among others",
         "GET / HTTP/1.1\r\nHost: h\r\nConnection: te, CLOSE\r\n\r\n",
         "GET / headers=2 last\n"},
        {"expects",
         "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nok",
         "POST / headers=3 expects body=ok\n"},
        {"asterisk", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * headers=1\n"},
        {"absolute", "GET http://H:1/p?q HTTP/1.1\r\nHost: h:1\r\n\r\n", "GET /p ?q headers=1\n"},
        {"absolute, no path", "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", "GET / headers=1\n"},
        {"high bytes in a value",
         "GET / HTTP/1.1\r\nHost: h\r\nX: \xc3\xa4\xff\r\n\r\n",
         "GET / headers=2\n"},
        {"head not whole", "GET / HTTP/1.1\r\nHost: h\r\n", "more"},
        {"body not whole", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell", "more"},
        {"chunks not whole",
         "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
         "more"},
    };
}

TEST(HttpReader, Accepts) {
    for (const Case& test : accepted()) {
        EXPECT_EQ(script_of(test.bytes), test.script) << test.name;
    }
}

std::vector<std::string_view> in_pieces(std::string_view bytes, std::size_t piece_bytes) {
    std::vector<std::string_view> pieces;
    for (std::size_t at = 0; at < bytes.size(); at += piece_bytes) {
        pieces.push_back(bytes.substr(at, piece_bytes));
    }
    return pieces;
}

TEST(HttpReader, MakesTheSameOfEverySplit) {
    RequestReader reader{HeadLimits{}};
    for (const Case& test : accepted()) {
        const std::string_view bytes = test.bytes;
        for (std::size_t at = 1; at < bytes.size(); ++at) {
            EXPECT_EQ(script_of(reader, {bytes.substr(0, at), bytes.substr(at)}, 1000), test.script)
                << test.name << " split at " << at;
        }
        for (const std::size_t piece_bytes : {1U, 2U, 3U, 7U}) {
            EXPECT_EQ(script_of(reader, in_pieces(bytes, piece_bytes), 1000), test.script)
                << test.name << " in pieces of " << piece_bytes;
        }
    }
}

struct Refused {
    const char* name;
    std::string bytes;
    int status;
};

// What two servers could read in two ways is refused (RFC 9112 section 11.2), not mended.
std::vector<Refused> refused() {
    const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
    return {
        {"both lengths", post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"both, other order", post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400
        },
        {"two lengths", post + "Content-Length: 4\r\nContent-Length: 5\r\n\r\n", 400},
        {"twice the same length", post + "Content-Length: 4\r\nContent-Length: 4\r\n\r\n", 400},
        {"list of lengths", post + "Content-Length: 4, 4\r\n\r\n", 400},
        {"signed length", post + "Content-Length: +4\r\n\r\n", 400},
        {"negative length", post + "Content-Length: -4\r\n\r\n", 400},
        {"hexadecimal length", post + "Content-Length: 0x4\r\n\r\n", 400},
        {"no length", post + "Content-Length:\r\n\r\n", 400},
        {"length over 64 bits", post + "Content-Length: 18446744073709551616\r\n\r\n", 400},
        {"unknown coding", post + "Transfer-Encoding: gzip\r\n\r\n", 501},
        {"chunked is not last", post + "Transfer-Encoding: chunked, gzip\r\n\r\n", 501},
        {"chunked is not first", post + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"chunked in disguise", post + "Transfer-Encoding: xchunked\r\n\r\n", 501},
        {"two codings",
         post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"chunk size is no number", post + "Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n", 400},
        {"chunk size is signed", post + "Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n", 400},
        {"chunk size over 64 bits",
         post + "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\na",
         400},
        {"chunk with a bare LF", post + "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", 400},
        {"chunk longer than said",
         post + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
         400},
        {"length in a trailer",
         post + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 4\r\n\r\n",
         400},
        {"bare LF", "GET / HTTP/1.1\nHost: h\n\n", 400},
        {"one bare LF", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400},
        {"bare CR", "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400},
        {"folded line", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400},
        {"space before the first header", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
        {"space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
        {"no name", "GET / HTTP/1.1\r\nHost: h\r\n: y\r\n\r\n", 400},
        {"no colon", "GET / HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n", 400},
        {"NUL in a value", std::string("GET / HTTP/1.1\r\nHost: h\0x\r\n\r\n", 30), 400},
        {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
        {"other host in the target", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400},
        {"relative target", "GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"authority target", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"fragment", "GET /#a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"high byte in the target", "GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"tab", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"HTTP/0.9", "GET /\r\n\r\n", 400},
        {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
        {"lower-case version", "GET / http/1.1\r\nHost: h\r\n\r\n", 505},
        {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"TLS", "\x16\x03\x01\x02\x0a\x01\r\n\r\n", 400},
        {"other expectation", post + "Expect: tea\r\nContent-Length: 1\r\n\r\na", 417},
        {"long request line", "GET /" + std::string(20'000, 'a'), 414},
        {"long header", "GET / HTTP/1.1\r\nX: " + std::string(20'000, 'a'), 431},
        {"large head",
         "GET / HTTP/1.1\r\nX: " + std::string(16'000, 'a') + "\r\nY: " + std::string(16'000, 'a') +
             "\r\nZ: " + std::string(1'000, 'a'),
         431},
    };
}

TEST(HttpReader, Refuses) {
    for (const Refused& test : refused()) {
        const std::string script = script_of(test.bytes);
        EXPECT_EQ(script.substr(0, 4), std::to_string(test.status) + " ")
            << test.name << ": " << script;
    }
}

TEST(HttpReader, RefusesTheSameInPieces) {
    RequestReader reader{HeadLimits{}};
    for (const Refused& test : refused()) {
        const std::string script = script_of(reader, in_pieces(test.bytes, 1), 1000);
        EXPECT_EQ(script.substr(0, 4), std::to_string(test.status) + " ")
            << test.name << ": " << script;
    }
}

TEST(HttpReader, RefusesTooManyHeaders) {
    std::string head = "GET / HTTP/1.1\r\nHost: h\r\n";
    for (std::size_t count = 1; count < kHeadersMax; ++count) {
        head += "X: y\r\n";
    }
    EXPECT_EQ(script_of(head + "\r\n"), "GET / headers=100\n");
    EXPECT_EQ(script_of(head + "X: y\r\n\r\n").substr(0, 4), "431 ");
}

TEST(HttpReader, RefusesBodiesOverTheirLimit) {
    const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
    // More than the block holds, or a body within it is read before anybody asks.
    const std::string body(100'000, 'b');
    const std::string head = post + "Content-Length: 100000\r\n\r\n";
    EXPECT_EQ(script_of(head + body, 100'000), "POST / headers=2 body=" + body + "\n");
    EXPECT_EQ(script_of(head, 99'999), "413 ") << "before any of it is read";
    const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
    EXPECT_EQ(
        script_of(chunked + "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", 6),
        "POST / headers=2 body=abcdef\n"
    );
    EXPECT_EQ(script_of(chunked + "3\r\nabc\r\n4\r\n", 6), "413 ");
    EXPECT_EQ(script_of(chunked + "ffffffffffffffff\r\n", 6), "413 ");
}

TEST(HttpReader, ReadsLargeBodiesInAnyPieces) {
    RequestReader reader{HeadLimits{}};
    std::string body;
    for (std::size_t number = 0; body.size() < 300'000; ++number) {
        body += std::to_string(number);
    }
    const std::string length = fmt::format(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{}", body.size(), body
    );
    std::string chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (std::size_t at = 0; at < body.size(); at += 40'000) {
        const std::string_view part = std::string_view(body).substr(at, 40'000);
        chunked += fmt::format("{:x}\r\n{}\r\n", part.size(), part);
    }
    chunked += "0\r\n\r\n";
    const std::string script = "POST / headers=2 body=" + body + "\nGET / headers=1\n";
    for (const std::string& request : {length, chunked}) {
        const std::string bytes = request + "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        for (const std::size_t piece_bytes : {997UL, 65'536UL, bytes.size()}) {
            EXPECT_EQ(script_of(reader, in_pieces(bytes, piece_bytes), 1U << 20U), script)
                << "pieces of " << piece_bytes;
        }
    }
}

TEST(HttpReader, RefusesAChunkHeaderWithoutEnd) {
    const std::string head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;";
    EXPECT_EQ(script_of(head + std::string(100'000, 'a')).substr(0, 4), "400 ");
}

TEST(HttpReader, GoesOnWithAHeadThatWasPutAside) {
    RequestReader one{HeadLimits{}};
    RequestReader other{HeadLimits{}};
    const std::string bytes = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for (std::size_t at = 1; at < bytes.size(); ++at) {
        one.reset();
        std::memcpy(one.room().data(), bytes.data(), at);
        one.received(at);
        ASSERT_EQ(one.advance().value(), RequestReader::Next::kMore);
        other.reset();
        other.put_back(one.begun());
        std::memcpy(other.room().data(), bytes.data() + at, bytes.size() - at);
        other.received(bytes.size() - at);
        ASSERT_EQ(other.advance().value(), RequestReader::Next::kWhole) << "split at " << at;
        EXPECT_EQ(other.request().header("HOST"), "h");
    }
}

}  // namespace
}  // namespace hako::gateway::http
