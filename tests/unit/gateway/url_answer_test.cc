#include "engine/gateway/url/answer.h"

#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/gateway/url/cors.h"
#include "engine/gateway/url/prelude.h"

namespace hako::gateway::url {
namespace {

constexpr auto kUrl = AnswerForm::kFunctionUrl;
constexpr auto kHttp2 = AnswerForm::kHttpApi2;
constexpr auto kHttp1 = AnswerForm::kHttpApi1;
constexpr auto kRest = AnswerForm::kRestApi;

/// `200 application/json|name: value|...|body`
std::string shown(const Answer& answer) {
    std::string text = fmt::format("{} {}", answer.status, answer.content_type);
    for (const auto& [name, value] : answer.headers) {
        text += fmt::format("|{}: {}", name, value);
    }
    return text + "|" + std::string(answer.content());
}

std::string read(std::string_view result, AnswerForm form) {
    AnswerReader reader;
    return shown(reader.read(result, form));
}

struct Case {
    std::string_view name;
    AnswerForm form;
    std::string_view result;
    std::string_view answer;
};

std::string case_name(const testing::TestParamInfo<Case>& test) {
    return std::string(test.param.name);
}

const std::string_view kBadUrl = "502 application/json|Internal Server Error";
const std::string_view kBadRest = R"(502 application/json|{"message": "Internal server error"})";
const std::string_view kBadHttp = R"(500 application/json|{"message":"Internal Server Error"})";

class AnswerRules : public testing::TestWithParam<Case> {};

TEST_P(AnswerRules, Hold) {
    EXPECT_EQ(read(GetParam().result, GetParam().form), GetParam().answer);
}

// The results of the first block and what they become were recorded from AWS (FACTS section 13).
INSTANTIATE_TEST_SUITE_P(
    Version2,
    AnswerRules,
    testing::Values(
        Case{"object", kUrl, R"({"hello": "world"})", R"(200 application/json|{"hello": "world"})"},
        Case{
            "status_and_body",
            kUrl,
            R"({"statusCode": 200, "body": "body123"})",
            "200 application/json|body123"
        },
        Case{
            "body_of_json",
            kUrl,
            R"({"statusCode": 200, "body": "{\"hello\": \"world\"}"})",
            R"(200 application/json|{"hello": "world"})"
        },
        Case{"list", kUrl, R"(["hello",3,true])", R"(200 application/json|["hello",3,true])"},
        Case{"string", kUrl, R"("hello")", "200 application/json|hello"},
        Case{"integer", kUrl, "3", "200 application/json|3"},
        Case{"real", kUrl, "3.1", "200 application/json|3.1"},
        Case{"boolean", kUrl, "true", "200 application/json|true"},
        Case{"null", kUrl, "null", "200 application/json|null"},

        Case{
            "no_status_keeps_members",
            kUrl,
            R"({"body":"x","headers":{"a":"b"}})",
            R"(200 application/json|{"body":"x","headers":{"a":"b"}})"
        },
        Case{
            "headers_and_cookies",
            kUrl,
            R"({"statusCode":201,"headers":{"Content-Type":"text/html","X-A":"1"},"cookies":["a=1; Path=/","b=2"],"body":"<p>"})",
            "201 text/html|X-A: 1|set-cookie: a=1; Path=/|set-cookie: b=2|<p>"
        },
        Case{
            "scalars_as_header",
            kUrl,
            R"({"statusCode":200,"headers":{"X-N":5,"X-B":true,"X-Null":null}})",
            "200 application/json|X-N: 5|X-B: true|"
        },
        Case{
            "base64",
            kUrl,
            R"({"statusCode":200,"isBase64Encoded":true,"headers":{"content-type":"image/png"},"body":"iVBORw=="})",
            "200 image/png|\x89PNG"
        },
        Case{
            "base64_bad",
            kUrl,
            R"({"statusCode":200,"isBase64Encoded":true,"body":"iVBORw"})",
            kBadUrl
        },
        Case{
            "body_object",
            kUrl,
            R"({"statusCode":200,"body":{"a":[1]}})",
            R"(200 application/json|{"a":[1]})"
        },
        Case{"body_null", kUrl, R"({"statusCode":200,"body":null})", "200 application/json|"},
        Case{
            "status_as_text", kUrl, R"({"statusCode":"404","body":"no"})", "404 application/json|no"
        },
        Case{
            "status_as_real", kUrl, R"({"statusCode":404.0,"body":"no"})", "404 application/json|no"
        },
        Case{"status_too_low", kUrl, R"({"statusCode":101})", kBadUrl},
        Case{"status_too_high", kUrl, R"({"statusCode":600})", kBadUrl},
        Case{"status_huge", kUrl, R"({"statusCode":99999999999999999999999})", kBadUrl},
        Case{"status_negative", kUrl, R"({"statusCode":-200})", kBadUrl},
        Case{"status_no_number", kUrl, R"({"statusCode":"2e2"})", kBadUrl},
        Case{"status_null", kUrl, R"({"statusCode":null})", kBadUrl},
        Case{
            "no_content",
            kUrl,
            R"({"statusCode":204,"body":"x","headers":{"X-A":"1"}})",
            "204 |X-A: 1|"
        },
        Case{"not_modified", kUrl, R"({"statusCode":304,"body":"x"})", "304 |"},
        Case{"not_json", kUrl, "{\"a\":", kBadUrl},
        Case{"not_utf8", kUrl, "\"\xff\"", kBadUrl},
        Case{"empty", kUrl, "", kBadUrl},
        Case{
            "multi_value_headers_are_version_1",
            kUrl,
            R"({"statusCode":200,"multiValueHeaders":{"X-A":["1"]}})",
            "200 application/json|"
        },

        Case{
            "http_default_type",
            kHttp2,
            R"({"statusCode":200,"body":"hi"})",
            "200 text/plain;charset=UTF-8|hi"
        },
        Case{"http_object", kHttp2, R"({"a":1})", R"(200 application/json|{"a":1})"},
        Case{"http_body_object", kHttp2, R"({"statusCode":200,"body":{}})", kBadHttp},
        Case{"http_not_json", kHttp2, "nope", kBadHttp}
    ),
    case_name
);

INSTANTIATE_TEST_SUITE_P(
    Version1,
    AnswerRules,
    testing::Values(
        Case{
            "whole",
            kRest,
            R"({"statusCode":201,"headers":{"X-A":"1"},"body":"b","isBase64Encoded":false})",
            "201 application/json|X-A: 1|b"
        },
        Case{"empty_object", kRest, "{}", "200 application/json|"},
        Case{"only_headers", kRest, R"({"headers":{"X-A":"1"}})", "200 application/json|X-A: 1|"},
        Case{"unknown_member", kRest, R"({"statusCode":200,"wrongValue":"v"})", kBadRest},
        Case{"cookies", kRest, R"({"statusCode":200,"cookies":["a=1"]})", kBadRest},
        Case{"string", kRest, R"("hello")", kBadRest},
        Case{"list", kRest, "[1]", kBadRest},
        Case{"null", kRest, "null", kBadRest},
        Case{"body_object", kRest, R"({"statusCode":200,"body":{"a":1}})", kBadRest},
        Case{"body_number", kRest, R"({"statusCode":200,"body":5})", kBadRest},
        Case{
            "multi",
            kRest,
            R"({"statusCode":200,"multiValueHeaders":{"Set-Cookie":["a=1","b=2"]},"headers":{"set-cookie":"c=3","X-B":"2"},"body":""})",
            "200 application/json|X-B: 2|Set-Cookie: a=1|Set-Cookie: b=2|"
        },
        Case{"multi_no_list", kRest, R"({"multiValueHeaders":{"A":"1"}})", kBadRest},
        Case{
            "base64",
            kRest,
            R"({"statusCode":200,"isBase64Encoded":true,"body":"aGk="})",
            "200 application/json|hi"
        },
        Case{
            "http_unknown_member",
            kHttp1,
            R"({"statusCode":200,"other":1,"body":"x"})",
            "200 text/plain;charset=UTF-8|x"
        },
        Case{"http_string", kHttp1, R"("x")", kBadHttp}
    ),
    case_name
);

INSTANTIATE_TEST_SUITE_P(
    Injection,
    AnswerRules,
    testing::Values(
        Case{
            "line_end_in_value",
            kUrl,
            R"({"statusCode":200,"headers":{"X-A":"1\r\nSet-Cookie: evil=1"}})",
            kBadUrl
        },
        Case{"bare_line_feed", kUrl, R"({"statusCode":200,"headers":{"X-A":"1\nX: y"}})", kBadUrl},
        Case{"nul", kUrl, R"({"statusCode":200,"headers":{"X-A":"1\u0000"}})", kBadUrl},
        Case{"delete", kUrl, R"({"statusCode":200,"headers":{"X-A":"1\u007f"}})", kBadUrl},
        Case{
            "in_type", kUrl, R"({"statusCode":200,"headers":{"content-type":"a\r\nb: c"}})", kBadUrl
        },
        Case{"in_name", kUrl, R"({"statusCode":200,"headers":{"X-A: b\r\nX":"1"}})", kBadUrl},
        Case{"name_with_colon", kUrl, R"({"statusCode":200,"headers":{"X-A:":"1"}})", kBadUrl},
        Case{"name_with_blank", kUrl, R"({"statusCode":200,"headers":{"X A":"1"}})", kBadUrl},
        Case{"name_empty", kUrl, R"({"statusCode":200,"headers":{"":"1"}})", kBadUrl},
        Case{"in_cookie", kUrl, R"({"statusCode":200,"cookies":["a=1\r\nX: y"]})", kBadUrl},
        Case{"cookie_no_text", kUrl, R"({"statusCode":200,"cookies":[1]})", kBadUrl},
        Case{"in_multi", kRest, R"({"multiValueHeaders":{"A":["1\r\n"]}})", kBadRest},
        Case{"object_as_header", kUrl, R"({"statusCode":200,"headers":{"A":{}}})", kBadUrl},
        Case{"headers_no_object", kUrl, R"({"statusCode":200,"headers":[]})", kBadUrl},
        Case{
            "framing_and_hops",
            kUrl,
            R"({"statusCode":200,"headers":{"Content-Length":"0","Transfer-Encoding":"chunked","Connection":"close","Keep-Alive":"x","Upgrade":"h2c","TE":"x","Trailer":"x","Date":"x","X-Amzn-RequestId":"x","Proxy-Authenticate":"x","X-B":"kept"},"body":"b"})",
            "200 application/json|X-B: kept|b"
        },
        Case{
            "utf8_in_value",
            kUrl,
            "{\"statusCode\":200,\"headers\":{\"X-A\":\"\xc3\xa9\\t\"}}",
            "200 application/json|X-A: \xc3\xa9\t|"
        }
    ),
    case_name
);

TEST(AnswerReader, BoundsTheHeader) {
    const std::string value(kAnswerHeaderBytesMax, 'x');
    EXPECT_EQ(read(R"({"statusCode":200,"headers":{"A":")" + value + "\"}}", kUrl), kBadUrl);
    std::string many = R"({"statusCode":200,"headers":{)";
    for (int i = 0; i < 600; ++i) {
        many += fmt::format("{}\"x{}\":\"1\"", i == 0 ? "" : ",", i);
    }
    EXPECT_EQ(read(many + "}}", kUrl), kBadUrl);
}

TEST(AnswerReader, TakesDeepResultsButNotEndlessOnes) {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    EXPECT_TRUE(read(nested(1000), kUrl).starts_with("200 "));
    EXPECT_EQ(read(nested(100'000), kUrl), kBadUrl);
}

TEST(AnswerReader, SaysWhatWentWrongAsEachFrontDoorDoes) {
    EXPECT_EQ(shown(throttle_answer(kUrl, "{}")), "429 application/json|{}");
    EXPECT_EQ(
        shown(throttle_answer(kHttp1, "{}")),
        R"(429 application/json|{"message":"Too Many Requests"})"
    );
    EXPECT_EQ(
        shown(too_large_answer(kUrl, 7)),
        R"(413 application/json|{"Message":"Request must be smaller than 7 bytes for the InvokeFunction operation"})"
    );
}

// ---- streams ----

TEST(Prelude, IsTakenOffInPiecesOfAnySize) {
    const std::string json =
        R"({"statusCode":201,"headers":{"content-type":"text/html"},"cookies":["a=1"]})";
    const std::string stream = json + std::string(8, '\0') + std::string("\0body", 5);
    for (std::size_t piece_bytes = 1; piece_bytes <= stream.size(); ++piece_bytes) {
        AnswerReader reader;
        PreludeReader prelude(reader);
        std::string body;
        for (std::size_t at = 0; at < stream.size(); at += piece_bytes) {
            ASSERT_NE(
                prelude.feed(std::string_view(stream).substr(at, piece_bytes)),
                PreludeReader::State::kBroken
            );
            body += prelude.rest();
        }
        EXPECT_EQ(shown(prelude.answer()), "201 text/html|set-cookie: a=1|");
        EXPECT_EQ(body, std::string("\0body", 5)) << piece_bytes;
    }
}

TEST(Prelude, BreaksOnWhatIsNone) {
    const std::string marks(8, '\0');
    const std::string bad[] = {
        "{}x" + marks,                        // no JSON
        std::string("{}\0x", 4),              // the mark is cut short
        R"({"headers":{"a":"\n"}})" + marks,  // injection
        "[]" + marks,
        marks,
        std::string(kPreludeBytesMax + 1, ' '),
    };
    for (const std::string& stream : bad) {
        AnswerReader reader;
        PreludeReader prelude(reader);
        EXPECT_EQ(prelude.feed(stream), PreludeReader::State::kBroken) << stream.substr(0, 40);
        EXPECT_EQ(prelude.feed("more"), PreludeReader::State::kBroken);
    }
}

TEST(Prelude, IsReadFromAWholeResultAsWell) {
    const std::string marks(8, '\0');
    EXPECT_EQ(
        read(R"({"statusCode":404,"headers":{"content-type":"text/plain"}})" + marks + "no", kUrl),
        "404 text/plain|no"
    );
    EXPECT_EQ(read(R"({"statusCode":204})" + marks + "no", kUrl), "204 |");
    EXPECT_EQ(read("{}x" + marks, kUrl), kBadUrl);
    EXPECT_EQ(read("{}" + marks, kHttp2), kBadHttp);
}

TEST(Prelude, WithoutStatusIsTwoHundred) {
    AnswerReader reader;
    PreludeReader prelude(reader);
    EXPECT_EQ(prelude.feed("{}"), PreludeReader::State::kReading);
    EXPECT_EQ(prelude.feed(std::string(8, '\0')), PreludeReader::State::kDone);
    EXPECT_EQ(shown(prelude.answer()), "200 application/json|");
}

// ---- cross-origin ----

class Cors : public testing::Test {
protected:
    std::string preflight(std::vector<http::Header> headers) {
        request_.method = "OPTIONS";
        request_.headers = headers;
        EXPECT_TRUE(is_preflight(request_));
        return shown(preflight_answer(rules_, request_));
    }
    std::string applied(std::vector<http::Header> headers, Answer answer = {}) {
        request_.method = "GET";
        request_.headers = headers;
        apply_cors(rules_, request_, answer);
        return shown(answer);
    }
    registry::CorsRules rules_;
    http::Request request_;
};

TEST_F(Cors, PreflightSaysWhatIsPermitted) {
    rules_ = {
        .allow_credentials = true,
        .allow_headers = {"content-type", "x-a"},
        .allow_methods = {"GET", "POST"},
        .allow_origins = {"https://a.example", "http://*"},
        .expose_headers = {"etag"},
        .max_age_s = 600,
    };
    EXPECT_EQ(
        preflight({{"Origin", "https://a.example"}, {"Access-Control-Request-Method", "POST"}}),
        "200 |vary: Origin|access-control-allow-origin: https://a.example|"
        "access-control-allow-credentials: true|access-control-allow-methods: GET,POST|"
        "access-control-allow-headers: content-type,x-a|access-control-expose-headers: etag|"
        "access-control-max-age: 600|"
    );
    EXPECT_EQ(
        preflight({{"Origin", "https://b.example"}, {"Access-Control-Request-Method", "POST"}}),
        "200 |vary: Origin|"
    );
    EXPECT_NE(
        preflight({{"Origin", "http://b.example"}, {"Access-Control-Request-Method", "PUT"}})
            .find("access-control-allow-origin: http://b.example"),
        std::string::npos
    );
}

TEST_F(Cors, OptionsWithoutOriginIsNoPreflight) {
    request_.method = "OPTIONS";
    EXPECT_FALSE(is_preflight(request_));
}

TEST_F(Cors, ReplacesWhatTheFunctionSaid) {
    rules_.allow_origins = {"*"};
    rules_.expose_headers = {"etag"};
    Answer answer;
    answer.headers = {{"Access-Control-Allow-Origin", "https://evil"}, {"ETag", "1"}};
    EXPECT_EQ(
        applied({{"Origin", "https://a.example"}}, answer),
        "200 |ETag: 1|access-control-allow-origin: *|access-control-expose-headers: etag|"
    );
    EXPECT_EQ(applied({}, answer), "200 |ETag: 1|");
    rules_.allow_credentials = true;
    EXPECT_EQ(
        applied({{"Origin", "https://a.example"}}),
        "200 |vary: Origin|access-control-allow-origin: https://a.example|"
        "access-control-allow-credentials: true|access-control-expose-headers: etag|"
    );
}

}  // namespace
}  // namespace hako::gateway::url
