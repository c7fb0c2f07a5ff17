#include "engine/gateway/url/event.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <simdjson.h>

#include "engine/gateway/url/json_bytes.h"

namespace hako::gateway::url {
namespace {

using http::Header;

// 12 March 2020, 19:03:58.390 UTC: the time of AWS's documented event.
constexpr std::int64_t kWallUs = 1'584'039'838'390'000;

std::string minified(std::string_view json) {
    simdjson::dom::parser parser;
    return simdjson::minify(parser.parse(json.data(), json.size()).value());
}

class Event : public testing::Test {
protected:
    Event() {
        request_.method = "GET";
        request_.request_id = "0b5d9ff1-3b9c-4d52-8f2b-6f1f27d64f05";
        input_.form = EventForm::kFunctionUrl;
        input_.account = "anonymous";
        input_.api_id = "abcdefghijklmnopqrstuvwxyz012345";
        input_.domain = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.us-east-1.on.aws";
        input_.path = "/";
        input_.source_ip = "192.0.2.7";
        input_.forwarded_for = "192.0.2.7";
        input_.forwarded_proto = "https";
        input_.forwarded_port = "443";
        input_.wall_us = kWallUs;
    }

    void set_headers(std::vector<Header> headers) {
        headers_ = std::move(headers);
        request_.headers = headers_;
    }
    std::string text() {
        ByteBuffer out;
        write_event(request_, input_, out);
        const auto bytes = out.bytes();
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
    /// What stands at a JSON pointer, as JSON; "absent" if there is nothing.
    std::string at(std::string_view pointer) {
        const std::string event = text();
        simdjson::dom::element element;
        if (parser_.parse(event).at_pointer(pointer).get(element) != simdjson::SUCCESS) {
            return "absent";
        }
        return simdjson::minify(element);
    }

    http::Request request_;
    std::vector<Header> headers_;
    EventInput input_;
    simdjson::dom::parser parser_;
};

TEST_F(Event, OfAFunctionUrlHasExactlyTheseMembers) {
    request_.method = "POST";
    request_.query = "parameter1=value1&parameter1=value2&parameter2=value";
    request_.body = "Hello from client!";
    input_.path = "/my/path";
    set_headers({
        {"Host", input_.domain},
        {"Content-Type", "text/plain"},
        {"Header2", "value1"},
        {"User-Agent", "agent"},
        {"header2", "value2"},
        {"Cookie", "cookie1=a; cookie2=b"},
        {"Connection", "keep-alive"},
    });
    EXPECT_EQ(text(), minified(R"({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/my/path",
        "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
        "cookies": ["cookie1=a", "cookie2=b"],
        "headers": {
            "content-type": "text/plain",
            "header2": "value1,value2",
            "host": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.us-east-1.on.aws",
            "user-agent": "agent",
            "x-amzn-trace-id": "Root=1-5e6a879e-0b5d9ff13b9c4d528f2b6f1f",
            "x-forwarded-for": "192.0.2.7",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https"
        },
        "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abcdefghijklmnopqrstuvwxyz012345",
            "domainName": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.us-east-1.on.aws",
            "domainPrefix": "abcdefghijklmnopqrstuvwxyz012345",
            "http": {
                "method": "POST",
                "path": "/my/path",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.7",
                "userAgent": "agent"
            },
            "requestId": "0b5d9ff1-3b9c-4d52-8f2b-6f1f27d64f05",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1584039838390
        },
        "body": "Hello from client!",
        "isBase64Encoded": false
    })"));
}

TEST_F(Event, OfAFunctionUrlLeavesOutWhatIsNotThere) {
    const std::string event = text();
    for (const std::string_view member :
         {"cookies",
          "queryStringParameters",
          "pathParameters",
          "stageVariables",
          "body",
          "authorizer",
          "x-forwarded-prefix"}) {
        EXPECT_EQ(event.find("\"" + std::string(member) + "\""), std::string::npos) << member;
    }
    EXPECT_EQ(at("/rawQueryString"), R"("")");
    EXPECT_EQ(at("/isBase64Encoded"), "false");
    EXPECT_EQ(at("/requestContext/http/userAgent"), R"("")");
}

TEST_F(Event, OfAnHttpApiVersion2HasItsRoute) {
    input_.form = EventForm::kHttpApi2;
    input_.account = "123456789012";
    input_.route_key = "GET /items/{id}";
    input_.stage = "prod";
    input_.stage_is_in_path = true;
    input_.path = "/items/a%2Fb%20c";
    const std::vector<std::pair<std::string, std::string>> parameters = {{"id", "a/b c"}};
    const std::vector<std::pair<std::string, std::string>> variables = {{"tier", "\"gold\""}};
    input_.path_parameters = parameters;
    input_.stage_variables = variables;
    EXPECT_EQ(at("/routeKey"), R"("GET /items/{id}")");
    EXPECT_EQ(at("/rawPath"), R"("/prod/items/a/b c")") << "HTTP APIs decode the path";
    EXPECT_EQ(at("/requestContext/http/path"), R"("/prod/items/a/b c")");
    EXPECT_EQ(at("/requestContext/stage"), R"("prod")");
    EXPECT_EQ(at("/requestContext/routeKey"), R"("GET /items/{id}")");
    EXPECT_EQ(at("/pathParameters"), R"({"id":"a/b c"})");
    EXPECT_EQ(at("/stageVariables"), R"({"tier":"\"gold\""})");
}

TEST_F(Event, OfARestApiHasExactlyTheseMembers) {
    input_.form = EventForm::kRestApi;
    input_.account = "123456789012";
    input_.api_id = "a1b2c3d4e5";
    input_.domain = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com";
    input_.stage = "Prod";
    input_.stage_is_in_path = true;
    input_.resource = "/my/{proxy+}";
    input_.path = "/my/pa%20th";
    const std::vector<std::pair<std::string, std::string>> parameters = {{"proxy", "pa th"}};
    input_.path_parameters = parameters;
    request_.query = "a=1&b=x%20y+z&a=2";
    set_headers({{"Accept", "a"}, {"ACCEPT", "b"}, {"Cookie", "c=1"}, {"User-Agent", "curl"}});
    EXPECT_EQ(text(), minified(R"({
        "resource": "/my/{proxy+}",
        "path": "/my/pa%20th",
        "httpMethod": "GET",
        "headers": {
            "Accept": "b",
            "Cookie": "c=1",
            "User-Agent": "curl",
            "X-Amzn-Trace-Id": "Root=1-5e6a879e-0b5d9ff13b9c4d528f2b6f1f",
            "X-Forwarded-For": "192.0.2.7",
            "X-Forwarded-Port": "443",
            "X-Forwarded-Proto": "https"
        },
        "multiValueHeaders": {
            "Accept": ["a", "b"],
            "Cookie": ["c=1"],
            "User-Agent": ["curl"],
            "X-Amzn-Trace-Id": ["Root=1-5e6a879e-0b5d9ff13b9c4d528f2b6f1f"],
            "X-Forwarded-For": ["192.0.2.7"],
            "X-Forwarded-Port": ["443"],
            "X-Forwarded-Proto": ["https"]
        },
        "queryStringParameters": {"a": "2", "b": "x y z"},
        "multiValueQueryStringParameters": {"a": ["1", "2"], "b": ["x y z"]},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "a1b2c3d4e5",
            "extendedRequestId": "0b5d9ff1-3b9c-4d52-8f2b-6f1f27d64f05",
            "httpMethod": "GET",
            "identity": {
                "accessKey": null,
                "accountId": null,
                "caller": null,
                "cognitoAuthenticationProvider": null,
                "cognitoAuthenticationType": null,
                "cognitoIdentityId": null,
                "cognitoIdentityPoolId": null,
                "principalOrgId": null,
                "user": null,
                "sourceIp": "192.0.2.7",
                "userAgent": "curl",
                "userArn": null
            },
            "path": "/Prod/my/pa%20th",
            "protocol": "HTTP/1.1",
            "requestId": "0b5d9ff1-3b9c-4d52-8f2b-6f1f27d64f05",
            "requestTime": "12/Mar/2020:19:03:58 +0000",
            "requestTimeEpoch": 1584039838390,
            "resourceId": "/my/{proxy+}",
            "resourcePath": "/my/{proxy+}",
            "stage": "Prod"
        },
        "pathParameters": {"proxy": "pa th"},
        "stageVariables": null,
        "body": null,
        "isBase64Encoded": false
    })"));
}

TEST_F(Event, OfAnHttpApiVersion1SaysItsVersion) {
    input_.form = EventForm::kHttpApi1;
    input_.resource = "/a";
    input_.path = "/%61";
    EXPECT_EQ(at("/version"), R"("1.0")");
    EXPECT_EQ(at("/path"), R"("/a")");
    EXPECT_EQ(at("/requestContext/resourceId"), "null");
    EXPECT_EQ(at("/queryStringParameters"), "null");
    EXPECT_EQ(at("/multiValueQueryStringParameters"), "null");
    EXPECT_EQ(at("/pathParameters"), "null");
}

TEST_F(Event, KeepsThePathOfAFunctionUrlEncoded) {
    input_.path = "/a%2Fb/%c3%a9";
    request_.query = "q=%2B+%zz&empty&=x&&tail=";
    EXPECT_EQ(at("/rawPath"), R"("/a%2Fb/%c3%a9")");
    EXPECT_EQ(at("/rawQueryString"), R"("q=%2B+%zz&empty&=x&&tail=")");
    EXPECT_EQ(at("/queryStringParameters"), R"({"":"x","empty":"","q":"+ %zz","tail":""})");
}

TEST_F(Event, EncodesBodiesByTypeAndByContent) {
    struct Case {
        std::string_view type;
        std::string_view body;
        std::string_view shown;
        bool base64;
    };
    const Case cases[] = {
        {"text/html; charset=utf-8", "<p>\xc3\xa9</p>", "\"<p>\xc3\xa9</p>\"", false},
        {"application/json", R"({"a":1})", R"("{\"a\":1}")", false},
        {"Application/Problem+JSON", "{}", R"("{}")", false},
        {"image/svg+xml", "<svg/>", R"("<svg/>")", false},
        {"application/javascript", "1", R"("1")", false},
        {"application/x-www-form-urlencoded", "a=b", R"("YT1i")", true},
        {"application/octet-stream", "a=b", R"("YT1i")", true},
        {"", "a=b", R"("YT1i")", true},
        {"text/plain", "\xff\xfe", R"("//4=")", true},
        {"text/plain", "\xed\xa0\x80", R"("7aCA")", true},  // a surrogate is no UTF-8
    };
    for (const Case& one : cases) {
        request_.body = one.body;
        set_headers({{"Content-Type", one.type}});
        EXPECT_EQ(at("/body"), one.shown) << one.type;
        EXPECT_EQ(at("/isBase64Encoded"), one.base64 ? "true" : "false") << one.type;
    }
    input_.form = EventForm::kRestApi;  // has no list of text types
    request_.body = "a=b";
    set_headers({{"Content-Type", "application/x-www-form-urlencoded"}});
    EXPECT_EQ(at("/body"), R"("a=b")");
}

TEST_F(Event, EncodesLargeBodiesInOnePiece) {
    std::string body;
    for (int i = 0; i < 10'000; ++i) {
        body += static_cast<char>(i * 7);
    }
    request_.body = body;
    const std::string shown = at("/body");
    EXPECT_EQ(shown.size(), 2 + (body.size() + 2) / 3 * 4);
    EXPECT_EQ(shown.find('='), shown.size() - 3) << "padding only at the end";
}

TEST_F(Event, IsJsonWhateverTheHeadersHold) {
    input_.path = "/\xff\xc3\xa9\x01\"\\";
    request_.query = "a\xff=\xe2\x82&\"=\\";
    request_.method = "GE\"T";
    set_headers({{"X-\xff\"", "caf\xe9 \xc3\xa9 \t\x7f"}, {"Cookie", "a=\xff;;;"}});
    EXPECT_EQ(at("/rawPath"), "\"/\xef\xbf\xbd\xc3\xa9\\u0001\\\"\\\\\"");
    EXPECT_EQ(at("/cookies"), "[\"a=\xef\xbf\xbd\"]");
    EXPECT_NE(at("/headers"), "absent");
    EXPECT_EQ(
        at("/queryStringParameters"),
        "{\"\\\"\":\"\\\\\",\"a\xef\xbf\xbd\":\"\xef\xbf\xbd\xef\xbf\xbd\"}"
    );
}

TEST_F(Event, DropsWhatBelongsToTheConnection) {
    set_headers({
        {"Connection", "close, X-Secret"},
        {"X-Secret", "1"},
        {"TE", "trailers"},
        {"Transfer-Encoding", "chunked"},
        {"Upgrade", "websocket"},
        {"Expect", "100-continue"},
        {"Proxy-Connection", "close"},
        {"Proxy-Authorization", "Basic x"},
        {"Accept", "kept"},
    });
    EXPECT_EQ(at("/headers/accept"), R"("kept")");
    for (const auto* name :
         {"connection",
          "x-secret",
          "te",
          "transfer-encoding",
          "upgrade",
          "expect",
          "proxy-connection",
          "proxy-authorization"}) {
        EXPECT_EQ(at(std::string("/headers/") + name), "absent") << name;
    }
}

TEST_F(Event, BelievesNoForwardingHeaderOfTheRequest) {
    set_headers({
        {"X-Forwarded-For", "6.6.6.6"},
        {"x-forwarded-proto", "gopher"},
        {"X-FORWARDED-PORT", "1"},
        {"X-Forwarded-Prefix", "/evil"},
        {"X-Amzn-Trace-Id", "Root=mine"},
    });
    EXPECT_EQ(at("/headers/x-forwarded-for"), R"("192.0.2.7")");
    EXPECT_EQ(at("/headers/x-forwarded-proto"), R"("https")");
    EXPECT_EQ(at("/headers/x-forwarded-port"), R"("443")");
    EXPECT_EQ(at("/headers/x-forwarded-prefix"), "absent");
    EXPECT_EQ(at("/headers/x-amzn-trace-id"), R"("Root=mine")");
}

TEST_F(Event, NamesTheSignerAndHidesTheSignature) {
    const EventSigner signer = {
        .access_key = "AKIDEXAMPLE",
        .account = "123456789012",
        .arn = "arn:aws:iam::123456789012:user/alice",
    };
    input_.signer = &signer;
    input_.hides_authorization = true;
    set_headers({{"Authorization", "AWS4-HMAC-SHA256 ..."}});
    EXPECT_EQ(at("/headers/authorization"), "absent");
    EXPECT_EQ(at("/requestContext/authorizer/iam"), minified(R"({
        "accessKey": "AKIDEXAMPLE",
        "accountId": "123456789012",
        "callerId": "alice",
        "cognitoIdentity": null,
        "principalOrgId": null,
        "userArn": "arn:aws:iam::123456789012:user/alice",
        "userId": "alice"
    })"));
}

TEST(Utf8, KnowsWellFormedSequences) {
    const std::pair<std::string_view, std::size_t> cases[] = {
        {"a", 1},
        {"\xc3\xa9", 2},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x98\x80", 4},
        {"\xc0\x80", 0},          // overlong
        {"\xe0\x80\x80", 0},      // overlong
        {"\xed\xa0\x80", 0},      // surrogate
        {"\xf0\x80\x80\x80", 0},  // overlong
        {"\xf4\x90\x80\x80", 0},  // above U+10FFFF
        {"\xf5\x80\x80\x80", 0},
        {"\xe2\x82", 0},
        {"\x80", 0},
        {"\xff", 0},
    };
    for (const auto& [text, bytes] : cases) {
        EXPECT_EQ(utf8_sequence_bytes(text), bytes) << testing::PrintToString(text);
    }
}

}  // namespace
}  // namespace hako::gateway::url
