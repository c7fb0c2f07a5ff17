#include <gmock/gmock.h>

#include "engine/registry/digest.h"
#include "tests/unit/auth/fixture.h"

namespace hako::gateway::auth {
namespace {

using testing::HasSubstr;
using testing::Not;

// ---- checking ----

class Verify : public testing::Test {
protected:
    Verify()
        : keys(test_box(), dir.path("keys")),
          sessions(test_box(), Rights(Right::kInvoke)),
          verifier(keys, sessions, {}, [this](std::string_view body) {
              ++hashes_count;
              return registry::sha256(std::as_bytes(std::span(body.data(), body.size())));
          }) {
        keys.put(test_key());
    }

    [[nodiscard]] std::expected<http::Caller, registry::ApiError> verify(
        TestRequest& request, std::int64_t now_s = kNow_s
    ) {
        auto read = read_signature(request.get());
        if (!read) {
            return std::unexpected(read.error());
        }
        EXPECT_TRUE(*read);
        return verifier.verify(request.get(), **read, now_s);
    }

    void expect_refused(
        TestRequest& request, const char* code, const std::string& text, int status = 403
    ) {
        const auto caller = verify(request);
        ASSERT_FALSE(caller) << "taken: " << text;
        EXPECT_EQ(caller.error().code, code) << caller.error().message;
        EXPECT_EQ(caller.error().status, status);
        EXPECT_THAT(caller.error().message, HasSubstr(text));
        EXPECT_THAT(caller.error().to_json(), Not(HasSubstr("\"Type\"")));
        EXPECT_THAT(caller.error().message, Not(HasSubstr(std::string(kSecret))));
    }

    static TestRequest request() {
        TestRequest made("POST", "/2015-03-31/functions/echo/invocations");
        made.header("Host", "127.0.0.1:9000").body("{}");
        return made;
    }
    static TestRequest signed_request(const SignWith& with = {}) {
        TestRequest made = request();
        sign(made, with);
        return made;
    }

    TempDir dir;
    KeyStore keys;
    SessionTokens sessions;
    Verifier verifier;
    int hashes_count = 0;
};

TEST_F(Verify, TakesARightSignatureAndSaysWhose) {
    TestRequest good = signed_request();
    const auto caller = verify(good);
    ASSERT_TRUE(caller) << caller.error().message;
    EXPECT_EQ(caller->kind, http::Caller::Kind::kKnown);
    EXPECT_EQ(caller->arn, "arn:aws:iam::123456789012:user/tester");
    EXPECT_EQ(caller->account, kAccount);
    EXPECT_EQ(caller->access_key_id, "AKIDEXAMPLE");
    EXPECT_EQ(keys.find("AKIDEXAMPLE")->key.used_s, kNow_s - kNow_s % 60);
}

TEST_F(Verify, RefusesWhateverWasChangedOnTheWay) {
    const auto check = [this](const char* what, auto&& change) {
        TestRequest changed = request();
        changed.header("X-Amz-Log-Type", "Tail");
        sign(changed, {.signed_headers = "host;x-amz-date;x-amz-log-type"});
        ASSERT_TRUE(verify(changed)) << what;
        change(changed);
        const auto caller = verify(changed);
        ASSERT_FALSE(caller) << what;
        EXPECT_EQ(caller.error().code, "InvalidSignatureException") << what;
        EXPECT_THAT(
            caller.error().message,
            testing::StartsWith(
                "The request signature we calculated does not match the signature "
                "you provided. Check your AWS Secret Access Key and signing method. "
                "Consult the service documentation for details."
            )
        ) << what;
    };
    check("body", [](TestRequest& r) { r.body("{ }"); });
    check("host", [](TestRequest& r) { r.change("Host", "other"); });
    check("header", [](TestRequest& r) { r.change("X-Amz-Log-Type", "None"); });
    check("second header", [](TestRequest& r) { r.header("X-Amz-Log-Type", "None"); });
    check("header gone", [](TestRequest& r) { r.drop("X-Amz-Log-Type"); });
    check("query", [](TestRequest& r) { r.set_query("Qualifier=live"); });
    check("time", [](TestRequest& r) { r.change("X-Amz-Date", "20150830T123601Z"); });
    check("last digit", [](TestRequest& r) {
        std::string text = r.text_of("Authorization");
        text.back() = text.back() == '0' ? '1' : '0';
        r.change("Authorization", text);
    });
    check("one digit more", [](TestRequest& r) {
        r.change("Authorization", r.text_of("Authorization") + "0");
    });
    check("upper case digits", [](TestRequest& r) {
        std::string text = r.text_of("Authorization");
        for (std::size_t at = text.size() - 64; at < text.size(); ++at) {
            text[at] = text[at] >= 'a' ? static_cast<char>(text[at] - 32) : text[at];
        }
        r.change("Authorization", text);
    });
}

TEST_F(Verify, ShowsWhatShouldHaveBeenSignedButNoToken) {
    const auto made = sessions.issue({"arn:aws:iam::123456789012:role/r", "echo"}, 3'600, kNow_s);
    TestRequest wrong = signed_request({
        .key_id = made.key_id,
        .secret = "wrong",
        .token = made.token,
        .signed_headers = "host;x-amz-date;x-amz-security-token",
    });
    const auto caller = verify(wrong);
    ASSERT_FALSE(caller);
    EXPECT_THAT(
        caller.error().message,
        HasSubstr("\n\nThe Canonical String for this request should have been\n'POST\n"
                  "/2015-03-31/functions/echo/invocations\n\nhost:127.0.0.1:9000\n"
                  "x-amz-date:20150830T123600Z\nx-amz-security-token:<token>\n\n")
    );
    EXPECT_THAT(
        caller.error().message,
        HasSubstr("'\n\nThe String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20150830T123600Z\n"
                  "20150830/us-east-1/lambda/aws4_request\n")
    );
    EXPECT_THAT(caller.error().message, Not(HasSubstr(made.token)));
    EXPECT_THAT(caller.error().message, Not(HasSubstr(made.secret)));
}

TEST_F(Verify, RefusesOldAndFutureSignatures) {
    TestRequest old = signed_request({.time_s = kNow_s - 301});
    expect_refused(
        old,
        "InvalidSignatureException",
        "Signature expired: 20150830T123059Z is now earlier than 20150830T123100Z "
        "(20150830T123600Z - 5 min.)"
    );
    TestRequest future = signed_request({.time_s = kNow_s + 301});
    expect_refused(
        future,
        "InvalidSignatureException",
        "Signature not yet current: 20150830T124101Z is still later than 20150830T124100Z "
        "(20150830T123600Z + 5 min.)"
    );
    for (const std::int64_t off_s : {-300, 300}) {
        TestRequest edge = signed_request({.time_s = kNow_s + off_s});
        EXPECT_TRUE(verify(edge)) << off_s;
    }
}

TEST_F(Verify, RefusesAnotherScope) {
    TestRequest region = signed_request({.region = "eu-west-1"});
    expect_refused(
        region,
        "InvalidSignatureException",
        "Credential should be scoped to a valid region, not 'eu-west-1'. "
    );
    TestRequest service = signed_request({.service = "s3"});
    expect_refused(
        service,
        "InvalidSignatureException",
        "Credential should be scoped to correct service: 'lambda'. "
    );
    TestRequest day = signed_request();
    std::string text = day.text_of("Authorization");
    text.replace(text.find("/20150830/"), 10, "/20150829/");
    day.change("Authorization", text);
    expect_refused(
        day,
        "InvalidSignatureException",
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        "'20150829' != '20150830', from '20150830T123600Z'. "
    );
    text.replace(text.find("aws4_request"), 12, "aws5_request");
    day.change("Authorization", text);
    expect_refused(
        day,
        "InvalidSignatureException",
        "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. "
    );
}

TEST_F(Verify, RefusesKeysThatAreNotOrNoLongerOurs) {
    constexpr const char* kText = "The security token included in the request is invalid.";
    TestRequest unknown = signed_request({.key_id = "AKIDOTHER"});
    expect_refused(unknown, "UnrecognizedClientException", kText);
    TestRequest tokened = signed_request({.token = "bm9uZQ=="});
    expect_refused(tokened, "UnrecognizedClientException", kText);

    AccessKey disabled = test_key();
    disabled.is_enabled = false;
    keys.put(disabled);
    TestRequest good = signed_request();
    expect_refused(good, "UnrecognizedClientException", kText);

    AccessKey ended = test_key();
    ended.expires_s = kNow_s;
    keys.put(ended);
    expect_refused(good, "UnrecognizedClientException", kText);
    ended.expires_s = kNow_s + 1;
    keys.put(ended);
    EXPECT_TRUE(verify(good));
    keys.remove("AKIDEXAMPLE");
    expect_refused(good, "UnrecognizedClientException", kText);
}

TEST_F(Verify, KeepsNoSigningKeyOfASecretThatWasReplaced) {
    TestRequest good = signed_request();
    ASSERT_TRUE(verify(good));
    AccessKey other = test_key();
    other.secret = "another secret";
    keys.put(other);
    EXPECT_FALSE(verify(good));
    TestRequest next_day = signed_request({.secret = other.secret, .time_s = kNow_s + 86'400});
    EXPECT_TRUE(verify(next_day, kNow_s + 86'400));
    TestRequest again = signed_request({.secret = other.secret});
    EXPECT_TRUE(verify(again));
}

TEST_F(Verify, TakesTheDateHeaderInBothForms) {
    for (const char* date : {"Sun, 30 Aug 2015 12:36:00 GMT", "20150830T123600Z"}) {
        TestRequest request_with_date = request();
        sign(request_with_date, {.signed_headers = "date;host"});
        request_with_date.drop("X-Amz-Date").header("Date", date);
        const std::string signature =
            signature_of(request_with_date, {.signed_headers = "date;host"});
        std::string text = request_with_date.text_of("Authorization");
        request_with_date.change("Authorization", text.replace(text.size() - 64, 64, signature));
        EXPECT_TRUE(verify(request_with_date)) << date;
    }
}

// ---- payloads ----

TEST_F(Verify, ChecksTheHashThatCameWithTheBody) {
    const std::string list = "host;x-amz-content-sha256;x-amz-date";
    Hasher hasher;
    const HexDigest right = to_hex(hasher.sha256("{}"));
    TestRequest good = request();
    good.header("X-Amz-Content-Sha256", view_of(right));
    sign(good, {.signed_headers = list});
    EXPECT_TRUE(verify(good));

    TestRequest swapped = good;
    swapped.body("[]");
    expect_refused(
        swapped,
        "InvalidSignatureException",
        "The value of x-amz-content-sha256 is not the SHA-256 of the request's body."
    );
    // The body of a request whose signature is wrong is not worth hashing.
    TestRequest forged = good;
    forged.change("X-Amz-Date", "20150830T123601Z");
    const int before_count = hashes_count;
    EXPECT_FALSE(verify(forged));
    EXPECT_EQ(hashes_count, before_count);
    for (const char* value :
         {"UNSIGNED-PAYLOAD",
          "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
          "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
          "required",
          "00"}) {
        TestRequest other = request();
        other.header("X-Amz-Content-Sha256", value);
        sign(other, {.signed_headers = list});
        expect_refused(other, "InvalidSignatureException", "unsigned and chunk-signed payloads");
    }
}

TEST_F(Verify, RefusesHeadersOfLambdaThatAreNotSigned) {
    for (const char* name : {"X-Amz-Invocation-Type", "x-amz-log-type", "X-AMZ-Client-Context"}) {
        TestRequest added = signed_request();
        ASSERT_TRUE(verify(added));
        added.header(name, "Event");
        expect_refused(
            added,
            "InvalidSignatureException",
            "There were headers present in the request which were not signed: x-amz-"
        );
    }
}

// ---- presigned ----

TEST_F(Verify, TakesPresignedRequestsUntilTheyEnd) {
    TestRequest link("GET", "/2015-03-31/functions/echo");
    link.header("Host", "127.0.0.1:9000");
    presign(link, {.signed_headers = "host"}, 60);
    EXPECT_TRUE(verify(link));
    EXPECT_TRUE(verify(link, kNow_s + 60));
    const auto late = verify(link, kNow_s + 61);
    ASSERT_FALSE(late);
    EXPECT_THAT(
        late.error().message,
        HasSubstr("Signature expired: 20150830T123600Z is now earlier"
                  " than 20150830T123601Z (20150830T123701Z - 1 min.)")
    );
    presign(link, {.signed_headers = "host"}, kLifetimeSecondsMax);
    EXPECT_TRUE(verify(link, kNow_s + kLifetimeSecondsMax));
    presign(link, {.signed_headers = "host"}, kLifetimeSecondsMax + 1);
    expect_refused(link, "IncompleteSignatureException", "X-Amz-Expires must be between 1 and");
    link.header("Authorization", "AWS4-HMAC-SHA256 x=y");
    expect_refused(link, "InvalidSignatureException", "Found both 'X-Amz-Algorithm'");
}

// ---- sessions ----

TEST_F(Verify, TakesSessionCredentialsUntilTheyEnd) {
    const auto made = sessions.issue(
        {"arn:aws:iam::123456789012:role/service-role/worker", "echo"}, 3'600, kNow_s
    );
    EXPECT_TRUE(made.key_id.starts_with("ASHK"));
    EXPECT_EQ(made.expires_s, kNow_s + 3'600);
    const SignWith with{
        .key_id = made.key_id,
        .secret = made.secret,
        .token = made.token,
        .signed_headers = "host;x-amz-date;x-amz-security-token",
    };
    TestRequest good = signed_request(with);
    const auto caller = verify(good);
    ASSERT_TRUE(caller) << caller.error().message;
    EXPECT_EQ(caller->arn, "arn:aws:sts::123456789012:assumed-role/worker/echo");
    EXPECT_EQ(caller->grant->role_arn, "arn:aws:iam::123456789012:role/service-role/worker");
    EXPECT_TRUE(caller->grant->rights.has(Right::kInvoke));
    EXPECT_FALSE(caller->grant->rights.has(Right::kControl));

    SignWith late = with;
    late.time_s = kNow_s + 3'600;
    TestRequest ended = signed_request(late);
    const auto refused_caller = verify(ended, kNow_s + 3'600);
    ASSERT_FALSE(refused_caller);
    EXPECT_EQ(refused_caller.error().code, "ExpiredTokenException");
    EXPECT_EQ(
        refused_caller.error().message, "The security token included in the request is expired"
    );

    SignWith other_key = with;
    other_key.key_id = "ASHKAAAAAAAAAAAAAAAA";
    TestRequest mixed = signed_request(other_key);
    expect_refused(mixed, "UnrecognizedClientException", "The security token included");
}

TEST_F(Verify, OpensNoTokenOfAnotherEngineOrAChangedOne) {
    const SessionTokens others(test_box(8), Rights(Right::kInvoke));
    const auto theirs = others.issue({"arn:aws:iam::123456789012:role/r", "echo"}, 60, kNow_s);
    EXPECT_EQ(sessions.open(theirs.token), nullptr);
    const auto ours = sessions.issue({"arn:aws:iam::123456789012:role/r", "echo"}, 60, kNow_s);
    ASSERT_NE(sessions.open(ours.token), nullptr);
    for (std::size_t at = 0; at < ours.token.size(); ++at) {
        std::string changed = ours.token;
        changed[at] = changed[at] == 'A' ? 'B' : 'A';
        EXPECT_EQ(sessions.open(changed), nullptr) << at;
    }
    EXPECT_EQ(sessions.open(""), nullptr);
    EXPECT_EQ(sessions.open(std::string(1'000'000, 'A')), nullptr);
}

// ---- malformed ----

struct Malformed {
    const char* authorization;
    const char* code;
    const char* text;
};

TEST_F(Verify, RefusesMalformedHeadersInAwsWords) {
    constexpr const char* kIncomplete = "IncompleteSignatureException";
    constexpr const char* kInvalid = "InvalidSignatureException";
    const std::string good = signed_request().text_of("Authorization");
    const std::vector<Malformed> cases = {
        {"",
         kIncomplete,
         "Authorization header requires 'Credential' parameter. Authorization "
         "header requires 'Signature' parameter. Authorization header requires "
         "'SignedHeaders' parameter. (Hashed with SHA-256 and encoded with Base64) "
         "Authorization=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
        {"Bearer abc",
         kIncomplete,
         "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 "
         "and encoded with Base64): '"},
        {"Basic dXNlcjpwYXNz=", kIncomplete, "Authorization header requires 'Credential'"},
        {"AWS4-HMAC-SHA256", kIncomplete, "Authorization header requires 'Credential'"},
        {"AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host",
         kIncomplete,
         "Authorization header requires 'Signature' parameter. (Hashed"},
        {"AWS4-HMAC-SHA256 Credential=a/b/c/d/e, Signature=00",
         kIncomplete,
         "Authorization header requires 'SignedHeaders' parameter. (Hashed"},
        {"AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00",
         kIncomplete,
         "Authorization header requires 'Credential' parameter. (Hashed"},
        {"AWS4-HMAC-SHA256 Credential=, SignedHeaders=host, Signature=00",
         kIncomplete,
         "Authorization header requires 'Credential' parameter. (Hashed"},
        {"AWS4-HMAC-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=00",
         kIncomplete,
         "Credential must have exactly 5 slash-delimited elements, e.g. "
         "keyid/date/region/service/term, got 'a/b/c/d'"},
        {"AWS4-HMAC-SHA256 Credential=a/b/c/d/e/f, SignedHeaders=host, Signature=00",
         kIncomplete,
         "got 'a/b/c/d/e/f'"},
        {"AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=x-amz-date, Signature=00",
         kInvalid,
         "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
        {"AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host;host, Signature=00",
         kInvalid,
         "each of them once"},
        {"AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=00",
         kIncomplete,
         "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'"},
        {"AWS4-HMAC-SHA256 Credential= a/b/c/d/e, SignedHeaders=host, Signature=00",
         kIncomplete,
         "Invalid key=value pair (missing equal-sign)"},
        {"Authorization: AWS4-HMAC-SHA256 Credential=a/b/c/d/e",
         kIncomplete,
         "Invalid key=value pair (missing equal-sign)"},
        {"AWS4-HMAC-SHA256 ,,,", kIncomplete, "Authorization header requires 'Credential'"},
        {"AWS4-HMAC-SHA256 = = =", kIncomplete, "Authorization header requires 'Credential'"},
    };
    for (const Malformed& one : cases) {
        TestRequest bad = request();
        bad.header("X-Amz-Date", "20150830T123600Z").header("Authorization", one.authorization);
        SCOPED_TRACE(one.authorization);
        expect_refused(bad, one.code, one.text);
        EXPECT_THAT(verify(bad).error().message, Not(HasSubstr("dXNlcjpwYXNz")));
    }
    // Separators are commas, spaces, or both; order and further parameters do not matter.
    for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {", ", ","}, {", ", " "}, {", ", "  ,  "}, {"SHA256 ", "SHA256 Other=1, "}
         }) {
        std::string text = good;
        for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
            text.replace(at, from.size(), to);
        }
        TestRequest other = signed_request();
        other.change("Authorization", text);
        EXPECT_TRUE(verify(other)) << text;
    }
}

TEST_F(Verify, RefusesMalformedDatesAndLists) {
    TestRequest undated = signed_request();
    undated.drop("X-Amz-Date");
    expect_refused(
        undated,
        "IncompleteSignatureException",
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        "(Hashed with SHA-256 and encoded with Base64) Authorization="
    );
    TestRequest dated = signed_request();
    dated.change("X-Amz-Date", "Sun, 30 Aug 2015 12:36:00 GMT");
    expect_refused(
        dated,
        "IncompleteSignatureException",
        "Date must be in ISO-8601 'basic format'. Got 'Sun, 30 Aug 2015 12:36:00 GMT'. See "
        "http://en.wikipedia.org/wiki/ISO_8601"
    );
    std::string list = "host";
    for (int number = 0; number < 100; ++number) {
        list += ";x" + std::to_string(number);
    }
    TestRequest long_list = signed_request({.signed_headers = list});
    expect_refused(long_list, "InvalidSignatureException", "at most 100 headers");
}

TEST_F(Verify, RefusesMalformedQueries) {
    const auto check = [this](const char* query, const char* text) {
        TestRequest link("GET", std::string("/?") + query);
        link.header("Host", "h");
        SCOPED_TRACE(query);
        expect_refused(link, "IncompleteSignatureException", text);
    };
    check(
        "X-Amz-Signature=00",
        "AWS query-string parameters must include 'X-Amz-Algorithm'. AWS query-string parameters "
        "must include 'X-Amz-Credential'. AWS query-string parameters must include "
        "'X-Amz-SignedHeaders'. AWS query-string parameters must include 'X-Amz-Date'. Re-examine "
        "the query-string parameters."
    );
    const std::string rest =
        "X-Amz-Credential=a%2Fb%2Fc%2Fd%2Fe&X-Amz-Signature=00&X-Amz-SignedHeaders=host&";
    check((rest + "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=now").c_str(), "Got 'now'");
    check(
        (rest + "X-Amz-Algorithm=AWS3&X-Amz-Date=20150830T123600Z").c_str(),
        "Unsupported AWS 'algorithm': 'AWS3'"
    );
    for (const char* expires : {"-1", "604801", "1e3", "99999999999999999999"}) {
        check(
            (rest + "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20150830T123600Z&X-Amz-Expires=" +
             expires)
                .c_str(),
            "X-Amz-Expires must be between"
        );
    }
}

}  // namespace
}  // namespace hako::gateway::auth
