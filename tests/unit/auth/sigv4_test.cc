#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "tests/unit/auth/fixture.h"

namespace hako::gateway::auth {
namespace {

// ---- AWS's published examples ----

struct Vector {
    const char* name;
    const char* method;
    const char* target;
    std::vector<std::pair<const char*, const char*>> headers;
    const char* signed_headers;
    const char* body;
    const char* signature;
};

const std::vector<Vector>& vectors() {
    static const std::vector<Vector> kVectors = {
        {"get-vanilla",
         "GET",
         "/",
         {},
         "host;x-amz-date",
         "",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"get-vanilla-query-order-key-case",
         "GET",
         "/?Param2=value2&Param1=value1",
         {},
         "host;x-amz-date",
         "",
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
        {"get-unreserved",
         "GET",
         "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
         {},
         "host;x-amz-date",
         "",
         "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
        {"get-header-value-trim",
         "GET",
         "/",
         {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
         "host;my-header1;my-header2;x-amz-date",
         "",
         "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
        {"get-header-key-duplicate",
         "GET",
         "/",
         {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
         "host;my-header1;x-amz-date",
         "",
         "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
        {"get-vanilla-utf8-query",
         "GET",
         "/?%E1%88%B4=bar",
         {},
         "host;x-amz-date",
         "",
         "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
        {"get-slash-dot-slash",
         "GET",
         "/./",
         {},
         "host;x-amz-date",
         "",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"get-relative-relative",
         "GET",
         "/example1/example2/../..",
         {},
         "host;x-amz-date",
         "",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"get-slashes",
         "GET",
         "//example//",
         {},
         "host;x-amz-date",
         "",
         "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
        {"post-vanilla",
         "POST",
         "/",
         {},
         "host;x-amz-date",
         "",
         "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
        {"post-x-www-form-urlencoded",
         "POST",
         "/",
         {{"Content-Type", "application/x-www-form-urlencoded"}},
         "content-type;host;x-amz-date",
         "Param1=value1",
         "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    };
    return kVectors;
}

TEST(SigV4, SignsThePublishedExamplesAsAwsDoes) {
    for (const Vector& vector : vectors()) {
        TestRequest request(vector.method, vector.target);
        request.header("Host", "example.amazonaws.com");
        for (const auto& [name, value] : vector.headers) {
            request.header(name, value);
        }
        request.header("X-Amz-Date", "20150830T123600Z").body(vector.body);
        const SignWith with{.service = "service", .signed_headers = vector.signed_headers};
        EXPECT_EQ(signature_of(request, with), vector.signature) << vector.name;
    }
}

TEST(SigV4, SignsTheDocumentationsListUsers) {
    TestRequest request("GET", "/?Action=ListUsers&Version=2010-05-08");
    request.header("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
        .header("Host", "iam.amazonaws.com")
        .header("X-Amz-Date", "20150830T123600Z");
    const SignWith with{.service = "iam", .signed_headers = "content-type;host;x-amz-date"};
    EXPECT_EQ(
        signature_of(request, with),
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    );
}

std::string canonical(TestRequest& request, std::string_view signed_headers = "host") {
    Signature claim;
    claim.signed_headers = signed_headers;
    Canonicalizer canonicalizer;
    return std::string(canonicalizer.write(request.get(), claim, "HASH"));
}

TEST(SigV4, EncodesThePathOnceMore) {
    const std::vector<std::pair<const char*, const char*>> cases = {
        {"/", "/"},
        {"/2015-03-31/functions/", "/2015-03-31/functions/"},
        {"/functions/arn%3Aaws%3Alambda", "/functions/arn%253Aaws%253Alambda"},
        {"/f/a:b@c", "/f/a%3Ab%40c"},
        {"/%24LATEST", "/%2524LATEST"},
        {"/a//b/./c/../d", "/a/b/d"},
        {"/..", "/"},
        {"/../../x/..", "/"},
        {"/x/.", "/x"},
        {"/\xc3\xa9", "/%C3%A9"},
        {"/a b", "/a%20b"},
    };
    for (const auto& [path, wanted] : cases) {
        TestRequest request("GET", path);
        EXPECT_THAT(canonical(request), testing::StartsWith(std::string("GET\n") + wanted + "\n\n"))
            << path;
    }
}

TEST(SigV4, SortsAndEncodesTheQuery) {
    const std::vector<std::pair<const char*, const char*>> cases = {
        {"b=2&a=1", "a=1&b=2"},
        {"a", "a="},
        {"a=&a", "a=&a="},
        {"a=2&a=10", "a=10&a=2"},
        {"A=1&a=1&B=1", "A=1&B=1&a=1"},
        {"k=a%2fb", "k=a%2Fb"},
        {"k=%41%7e", "k=A~"},
        {"k=a+b", "k=a%20b"},
        {"k=a%2Bb", "k=a%2Bb"},
        {"k=a=b", "k=a%3Db"},
        {"k=100%", "k=100%25"},
        {"k=%zz", "k=%25zz"},
        {"&&a=1&", "a=1"},
        {"tagKeys=b&tagKeys=a", "tagKeys=a&tagKeys=b"},
        {"a-b=1&a=1", "a=1&a-b=1"},  // by key, not by the joined text
    };
    for (const auto& [query, wanted] : cases) {
        TestRequest request("GET", std::string("/?") + query);
        EXPECT_THAT(
            canonical(request), testing::StartsWith(std::string("GET\n/\n") + wanted + "\n")
        ) << query;
    }
}

TEST(SigV4, TrimsAndJoinsHeaderValues) {
    TestRequest request("GET", "/");
    request.header("HOST", "  h  ")
        .header("X-A", "\t a \t b  c ")
        .header("x-a", "")
        .header("X-a", "d");
    EXPECT_EQ(
        canonical(request, "host;x-a;x-missing"),
        "GET\n/\n\nhost:h\nx-a:a b c,,d\n\nhost;x-a;x-missing\nHASH"
    );
}

// ---- times ----

TEST(SigV4, ReadsAndWritesTimes) {
    EXPECT_EQ(from_basic_time("20150830T123600Z"), kNow_s);
    EXPECT_EQ(view_of(to_basic_time(kNow_s)), "20150830T123600Z");
    EXPECT_EQ(view_of(to_basic_time(0)), "19700101T000000Z");
    EXPECT_EQ(view_of(to_basic_time(1'709'164'800)), "20240229T000000Z");
    EXPECT_EQ(view_of(to_basic_time(-1)), "19691231T235959Z");
    EXPECT_EQ(from_http_date("Mon, 09 Sep 2011 23:36:00 GMT"), 1'315'611'360);
    for (const char* text :
         {"",
          "2015-08-30T12:36:00Z",
          "20150830T123600",
          "20150830T123600z",
          "20151330T123600Z",
          "20150231T123600Z",
          "20150830T246000Z",
          "2015083 T123600Z",
          "20150830T1236000Z"}) {
        EXPECT_FALSE(from_basic_time(text)) << text;
    }
    for (const char* text :
         {"",
          "Mon, 9 Sep 2011 23:36:00 GMT",
          "Mon, 09 Sep 2011 23:36:00 UTC",
          "Mon, 09 Foo 2011 23:36:00 GMT",
          "Mon, 31 Feb 2011 23:36:00 GMT"}) {
        EXPECT_FALSE(from_http_date(text)) << text;
    }
}

}  // namespace
}  // namespace hako::gateway::auth
