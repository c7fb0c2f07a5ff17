#include <gmock/gmock.h>
#include <grp.h>
#include <pwd.h>

#include <fmt/format.h>

#include "engine/gateway/auth/access.h"
#include "tests/unit/auth/fixture.h"

namespace hako::gateway::auth {
namespace {

using testing::HasSubstr;
using Kind = http::Caller::Kind;

constexpr std::string_view kEcho = "arn:aws:lambda:us-east-1:123456789012:function:echo";

LocalUsers users(std::string_view text) {
    auto parsed = LocalUsers::parse(text);
    EXPECT_TRUE(parsed) << text;
    return *std::move(parsed);
}

class AccessTest : public testing::Test {
protected:
    AccessTest()
        : keys(test_box(), dir.path("keys")), sessions(test_box(), Rights(Right::kInvoke)) {
        keys.put(test_key());
        keys.put(test_key("AKIDINVOKE", {.rights = Rights(Right::kInvoke)}));
        keys.put(test_key("AKIDIMG", {.rights = Rights(Right::kControl), .functions = {"img-*"}}));
        AccessKey foreign = test_key("AKIDFOREIGN", {.rights = Rights::all()});
        foreign.account = "111122223333";
        foreign.arn = "arn:aws:iam::111122223333:user/bob";
        keys.put(foreign);
        options.invoke_users = users("any");
        options.control_users = users("any");
        options.engine_uid = 990;
        make();
    }

    void make() {
        access = std::make_unique<Access>(keys, sessions, runner, options);
        access->clock_s = [] { return kNow_s; };
    }

    static TestRequest from_loopback(std::string_view method = "POST") {
        TestRequest request(method, "/2015-03-31/functions/echo/invocations");
        request.header("Host", "127.0.0.1:9000").body("{}");
        request.peer = {.is_loopback = true, .address = "127.0.0.1"};
        return request;
    }
    static TestRequest from_afar() {
        TestRequest request = from_loopback();
        request.peer = {.address = "192.0.2.1"};
        return request;
    }
    static TestRequest from_unix(uid_t uid, gid_t gid = 12345) {
        TestRequest request = from_loopback();
        request.peer = {.is_unix = true, .uid = uid, .gid = gid};
        return request;
    }
    http::Caller must_identify(TestRequest request) {
        auto caller = access->identify(request.get());
        EXPECT_TRUE(caller) << caller.error().message;
        return caller ? *caller : http::Caller{.kind = Kind::kAnonymous};
    }
    std::string code_of(TestRequest request) {
        const auto caller = access->identify(request.get());
        return caller ? "" : caller.error().code;
    }
    http::Caller caller_of(std::string_view key_id) {
        TestRequest request = from_afar();
        sign(request, {.key_id = std::string(key_id)});
        return must_identify(std::move(request));
    }
    std::string refusal(
        const http::Caller& caller,
        std::string_view action,
        std::string_view resource = kEcho,
        std::string_view url_auth_type = {}
    ) {
        const auto refused = access->permit(caller, action, resource, url_auth_type);
        return refused ? fmt::format("{} {} {}", refused->status, refused->code, refused->message)
                       : "";
    }
    /// The function's own policy, and that of its alias `live`.
    void set_policy(const std::string& statement, const std::string& of_alias = "") {
        access->policy_of = [statement, of_alias](
                                std::string_view name, std::string_view qualifier
                            ) -> std::shared_ptr<const FunctionPolicy> {
            const std::string& text = qualifier.empty() ? statement : of_alias;
            if (name != "echo" || text.empty() || (!qualifier.empty() && qualifier != "live")) {
                return nullptr;
            }
            return std::make_shared<const FunctionPolicy>(*FunctionPolicy::parse(text));
        };
    }
    static std::string allow(
        std::string_view principal,
        std::string_view action,
        std::string_view more = "",
        std::string_view resource = kEcho
    ) {
        return fmt::format(
            R"({{"Effect":"Allow","Principal":{},"Action":"{}","Resource":"{}"{}}})",
            principal,
            action,
            resource,
            more
        );
    }

    TempDir dir;
    DirectRunner runner;
    KeyStore keys;
    SessionTokens sessions;
    AccessOptions options;
    std::unique_ptr<Access> access;
};

// ---- who ----

TEST_F(AccessTest, AsksNobodyOnLoopbackUnlessTold) {
    EXPECT_EQ(must_identify(from_loopback()).kind, Kind::kUnchecked);
    TestRequest dummy = from_loopback();
    sign(dummy, {.key_id = "test", .secret = "test"});
    EXPECT_EQ(must_identify(dummy).kind, Kind::kUnchecked) << "stock clients sign with anything";
    TestRequest nonsense = from_loopback();
    nonsense.header("Authorization", "Bearer nonsense");
    EXPECT_EQ(must_identify(nonsense).kind, Kind::kUnchecked);

    options.http_auth = HttpAuth::kRequired;
    make();
    EXPECT_EQ(must_identify(from_loopback()).kind, Kind::kAnonymous);
    EXPECT_EQ(code_of(dummy), "UnrecognizedClientException");
    EXPECT_EQ(code_of(nonsense), "IncompleteSignatureException");
}

TEST_F(AccessTest, HoldsWhoSignsWithAKeyOfOursToIt) {
    TestRequest good = from_loopback();
    sign(good, {.key_id = "AKIDINVOKE"});
    const http::Caller caller = must_identify(good);
    EXPECT_EQ(caller.kind, Kind::kKnown);
    EXPECT_EQ(refusal(caller, "lambda:InvokeFunction"), "");
    EXPECT_THAT(refusal(caller, "lambda:GetFunction"), HasSubstr("AccessDeniedException"));
    TestRequest wrong = from_loopback();
    sign(wrong, {.key_id = "AKIDINVOKE", .secret = "wrong"});
    EXPECT_EQ(code_of(wrong), "InvalidSignatureException");
}

TEST_F(AccessTest, DoesNotTakeStrangersForLocal) {
    struct Case {
        const char* name;
        const char* value;
    };
    for (const Case& one : std::vector<Case>{
             {"X-Forwarded-For", "203.0.113.7"},
             {"Forwarded", "for=203.0.113.7"},
             {"X-Real-IP", "203.0.113.7"},
             {"Via", "1.1 proxy"},
             {"Origin", "https://example.org"},
             {"Sec-Fetch-Site", "cross-site"},
         }) {
        TestRequest request = from_loopback();
        request.header(one.name, one.value);
        EXPECT_EQ(must_identify(request).kind, Kind::kAnonymous) << one.name;
    }
    TestRequest typed = from_loopback();
    typed.header("Sec-Fetch-Site", "none");
    EXPECT_EQ(must_identify(typed).kind, Kind::kUnchecked);
    const std::vector<std::pair<const char*, bool>> hosts = {
        {"localhost", true},
        {"LOCALHOST:9000", true},
        {"hako.localhost:80", true},
        {"127.0.0.1", true},
        {"127.1.2.3:9", true},
        {"[::1]:9000", true},
        {"", true},
        {"rebound.example", false},
        {"127.0.0.1.example", false},
        {"[::2]", false},
        {"192.0.2.1", false},
        {"localhost.example", false},
    };
    for (const auto& [host, is_local] : hosts) {
        TestRequest request = from_loopback();
        request.change("Host", host);
        EXPECT_EQ(must_identify(request).kind, is_local ? Kind::kUnchecked : Kind::kAnonymous)
            << host;
    }
    TestRequest forwarded = from_unix(0);
    forwarded.header("X-Forwarded-For", "203.0.113.7");
    EXPECT_EQ(must_identify(forwarded).kind, Kind::kAnonymous) << "a proxy that runs as root";
}

TEST_F(AccessTest, WantsSignaturesFromAfarUnlessSwitchedOff) {
    const http::Caller stranger = must_identify(from_afar());
    EXPECT_EQ(stranger.kind, Kind::kAnonymous);
    EXPECT_EQ(
        refusal(stranger, "lambda:InvokeFunction"),
        "403 MissingAuthenticationTokenException Missing Authentication Token"
    );
    EXPECT_EQ(caller_of("AKIDEXAMPLE").arn, "arn:aws:iam::123456789012:user/tester");
    TestRequest dummy = from_afar();
    sign(dummy, {.key_id = "test", .secret = "test"});
    EXPECT_EQ(code_of(dummy), "UnrecognizedClientException");

    options.http_auth = HttpAuth::kOff;
    make();
    EXPECT_EQ(must_identify(from_afar()).kind, Kind::kUnchecked);
    EXPECT_EQ(must_identify(dummy).kind, Kind::kUnchecked);
}

TEST_F(AccessTest, KnowsUnixPeersByTheirUser) {
    options.invoke_users = users("1000,@2000");
    options.control_users = users("1001");
    make();
    const auto rights = [this](uid_t uid, gid_t gid = 12345) {
        const http::Caller caller = must_identify(from_unix(uid, gid));
        EXPECT_EQ(caller.kind, Kind::kKnown);
        EXPECT_EQ(caller.arn, fmt::format("arn:aws:iam::123456789012:user/unix/{}", uid));
        return std::pair(
            refusal(caller, "lambda:InvokeFunction").empty(),
            refusal(caller, "lambda:GetFunction").empty()
        );
    };
    EXPECT_EQ(rights(0), std::pair(true, true));
    EXPECT_EQ(rights(990), std::pair(true, true));
    EXPECT_EQ(rights(1000), std::pair(true, false));
    EXPECT_EQ(rights(1001), std::pair(false, true));
    EXPECT_EQ(rights(1002), std::pair(false, false));
    EXPECT_EQ(rights(1002, 2000), std::pair(true, false));
    const http::Caller user = must_identify(from_unix(1000));
    EXPECT_THAT(refusal(user, "CreateAccessKey", "*"), HasSubstr("AccessDeniedException"));
    EXPECT_EQ(refusal(must_identify(from_unix(0)), "CreateAccessKey", "*"), "");
    EXPECT_EQ(refusal(must_identify(from_unix(990)), "CreateAccessKey", "*"), "");
}

TEST(LocalUsers, ReadsNamesNumbersAndGroups) {
    const passwd* root = ::getpwuid(0);
    ASSERT_NE(root, nullptr);
    EXPECT_TRUE(users("root").includes(0, 5));
    EXPECT_FALSE(users("root").includes(1, 0));
    EXPECT_TRUE(users("@root").includes(1, 0));
    EXPECT_TRUE(users(" 7 , 8 ").includes(8, 1));
    EXPECT_TRUE(users("@4000000001").includes(1, 4'000'000'001));
    EXPECT_FALSE(users("none").includes(0, 0));
    EXPECT_FALSE(users("").includes(0, 0));
    EXPECT_TRUE(users("any").includes(77, 77));
    for (const char* text :
         {"no-such-user-here", "@no-such-group-here", "1,,2", "@", "root,", "-1"}) {
        EXPECT_EQ(LocalUsers::parse(text).has_value(), std::string_view(text) == "root,") << text;
    }
}

// ---- what ----

TEST_F(AccessTest, KeepsInvokingAndControlApart) {
    const http::Caller invoker = caller_of("AKIDINVOKE");
    EXPECT_EQ(refusal(invoker, "lambda:InvokeFunction"), "");
    EXPECT_EQ(refusal(invoker, "lambda:InvokeFunctionUrl", kEcho, "AWS_IAM"), "");
    EXPECT_EQ(
        refusal(invoker, "lambda:DeleteFunction"),
        fmt::format(
            "403 AccessDeniedException User: arn:aws:iam::123456789012:user/tester is not "
            "authorized to perform: lambda:DeleteFunction on resource: {} because no "
            "identity-based policy allows the lambda:DeleteFunction action",
            kEcho
        )
    );
    const http::Caller limited = caller_of("AKIDIMG");
    EXPECT_EQ(
        refusal(
            limited, "lambda:GetFunction", "arn:aws:lambda:us-east-1:123456789012:function:img-1"
        ),
        ""
    );
    EXPECT_THAT(refusal(limited, "lambda:GetFunction"), HasSubstr("AccessDeniedException"));
    EXPECT_THAT(refusal(limited, "lambda:ListFunctions", "*"), HasSubstr("resource: *"));
    EXPECT_THAT(refusal(limited, "lambda:InvokeFunction"), HasSubstr("AccessDeniedException"));
    const http::Caller owner = caller_of("AKIDEXAMPLE");
    EXPECT_EQ(refusal(owner, "lambda:ListFunctions", "*"), "");
}

TEST_F(AccessTest, AsksTheFunctionsPolicyWhenTheCallerHasNoRight) {
    const http::Caller foreign = caller_of("AKIDFOREIGN");
    EXPECT_THAT(refusal(foreign, "lambda:InvokeFunction"), HasSubstr("AccessDeniedException"))
        << "rights count in their own account only";
    set_policy(allow(R"({"AWS":"arn:aws:iam::111122223333:root"})", "lambda:InvokeFunction"));
    EXPECT_EQ(refusal(foreign, "lambda:InvokeFunction"), "");
    EXPECT_EQ(refusal(foreign, "lambda:InvokeFunction", fmt::format("{}:$LATEST", kEcho)), "");
    EXPECT_THAT(
        refusal(foreign, "lambda:InvokeFunction", fmt::format("{}:live", kEcho)), HasSubstr("403")
    );
    EXPECT_THAT(
        refusal(
            foreign, "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:123456789012:function:x"
        ),
        HasSubstr("403")
    );
    EXPECT_THAT(refusal(foreign, "lambda:GetFunction"), HasSubstr("403"))
        << "policies grant invocations, not control";
    // An alias has a policy of its own.
    const std::string live = fmt::format("{}:live", kEcho);
    set_policy("", allow(R"({"AWS":"111122223333"})", "lambda:InvokeFunction", "", live));
    EXPECT_EQ(refusal(foreign, "lambda:InvokeFunction", live), "");
    EXPECT_THAT(refusal(foreign, "lambda:InvokeFunction"), HasSubstr("403"));
    // A public policy does not make the API public: callers there are somebody.
    set_policy(allow(R"("*")", "lambda:InvokeFunction"));
    EXPECT_EQ(refusal(foreign, "lambda:InvokeFunction"), "");
    EXPECT_THAT(
        refusal(must_identify(from_afar()), "lambda:InvokeFunction"),
        HasSubstr("MissingAuthenticationToken")
    );
    // A Unix user without the right is a principal as well.
    options.invoke_users = users("none");
    make();
    set_policy(
        allow(R"({"AWS":"arn:aws:iam::123456789012:user/unix/1000"})", "lambda:InvokeFunction")
    );
    EXPECT_EQ(refusal(access->local_caller(1000, 1), "lambda:InvokeFunction"), "");
    EXPECT_THAT(refusal(access->local_caller(1001, 1), "lambda:InvokeFunction"), HasSubstr("403"));
}

TEST_F(AccessTest, AsksThePolicyForSessionsByTheirRole) {
    SessionTokens powerless(test_box(), Rights());
    const Access other(keys, powerless, runner, options);
    const auto made = sessions.issue({"arn:aws:iam::123456789012:role/r", "f"}, 60, kNow_s);
    const http::Caller caller{
        .kind = Kind::kKnown,
        .account = std::string(kAccount),
        .arn = "arn:aws:sts::123456789012:assumed-role/r/f",
        .grant = powerless.open(made.token)->grant,
    };
    EXPECT_THAT(
        refusal(caller, "lambda:InvokeFunction"), HasSubstr("assumed-role/r/f is not authorized")
    );
    set_policy(allow(R"({"AWS":"arn:aws:iam::123456789012:role/r"})", "lambda:InvokeFunction"));
    EXPECT_EQ(refusal(caller, "lambda:InvokeFunction"), "");
}

TEST_F(AccessTest, OpensFunctionUrlsAsTheirTypeSays) {
    constexpr std::string_view kAction = "lambda:InvokeFunctionUrl";
    const std::string none =
        R"(,"Condition":{"StringEquals":{"lambda:FunctionUrlAuthType":"NONE"}})";
    const http::Caller nobody{.kind = Kind::kAnonymous};
    const http::Caller local{};
    const http::Caller owner = caller_of("AKIDEXAMPLE");
    for (const http::Caller* caller : {&nobody, &local, &owner}) {
        EXPECT_EQ(refusal(*caller, kAction, kEcho, "NONE"), "403 AccessDeniedException Forbidden");
    }
    EXPECT_EQ(refusal(nobody, kAction, kEcho, "AWS_IAM"), "403 AccessDeniedException Forbidden");
    EXPECT_EQ(refusal(local, kAction, kEcho, "AWS_IAM"), "403 AccessDeniedException Forbidden");
    EXPECT_EQ(refusal(owner, kAction, kEcho, "AWS_IAM"), "");

    set_policy(allow(R"("*")", kAction, none));
    for (const http::Caller* caller : {&nobody, &local, &owner}) {
        EXPECT_EQ(refusal(*caller, kAction, kEcho, "NONE"), "");
    }
    EXPECT_EQ(refusal(nobody, kAction, kEcho, "AWS_IAM"), "403 AccessDeniedException Forbidden");
    const http::Caller foreign = caller_of("AKIDFOREIGN");
    EXPECT_NE(refusal(foreign, kAction, kEcho, "AWS_IAM"), "");
    set_policy(allow(R"({"AWS":"111122223333"})", kAction));
    EXPECT_EQ(refusal(foreign, kAction, kEcho, "AWS_IAM"), "");
    EXPECT_NE(refusal(nobody, kAction, kEcho, "AWS_IAM"), "");
    EXPECT_NE(refusal(foreign, "lambda:InvokeFunction"), "") << "the URL's action only";

    options.http_auth = HttpAuth::kOff;
    make();
    EXPECT_EQ(refusal(local, kAction, kEcho, "AWS_IAM"), "");
}

TEST_F(AccessTest, LetsServicesInByPolicyOnly) {
    const Access::ServiceCall event{
        .service = "events.amazonaws.com",
        .source_arn = "arn:aws:events:us-east-1:123456789012:rule/hourly",
    };
    EXPECT_FALSE(access->permits_service(event, "lambda:InvokeFunction", kEcho));
    set_policy(allow(
        R"({"Service":"events.amazonaws.com"})",
        "lambda:InvokeFunction",
        R"(,"Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:events:us-east-1:123456789012:rule/hour*"}})"
    ));
    EXPECT_TRUE(access->permits_service(event, "lambda:InvokeFunction", kEcho));
    Access::ServiceCall other = event;
    other.source_arn = "arn:aws:events:us-east-1:123456789012:rule/daily";
    EXPECT_FALSE(access->permits_service(other, "lambda:InvokeFunction", kEcho));
    other = event;
    other.service = "s3.amazonaws.com";
    EXPECT_FALSE(access->permits_service(other, "lambda:InvokeFunction", kEcho));
}

TEST_F(AccessTest, ComparesTheOrganizationOfOurOwnAccountOnly) {
    options.organization = "o-abc";
    options.invoke_users = users("none");
    make();
    set_policy(allow(
        R"("*")",
        "lambda:InvokeFunction",
        R"(,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-abc"}})"
    ));
    EXPECT_EQ(refusal(access->local_caller(1000, 1), "lambda:InvokeFunction"), "");
    EXPECT_NE(refusal(caller_of("AKIDFOREIGN"), "lambda:InvokeFunction"), "");
}

// ---- once ----

TEST_F(AccessTest, TakesASignatureOnceWhereThatIsAskedFor) {
    const auto twice = [this](TestRequest request) {
        sign(request, {});
        EXPECT_TRUE(access->identify(request.get()));
        return code_of(request);
    };
    TestRequest control("POST", "/2015-03-31/functions");
    control.header("Host", "h");
    TestRequest read("GET", "/2015-03-31/functions");
    read.header("Host", "h");
    EXPECT_EQ(twice(control), "");
    options.replay_check = ReplayCheck::kControl;
    make();
    EXPECT_EQ(twice(control), "InvalidSignatureException");
    EXPECT_EQ(twice(read), "");
    EXPECT_EQ(twice(from_afar()), "") << "invocations";
    options.replay_check = ReplayCheck::kAll;
    make();
    EXPECT_EQ(twice(read), "InvalidSignatureException");
    EXPECT_EQ(twice(from_afar()), "InvalidSignatureException");

    options.replay_entries_max = 1;
    make();
    sign(control, {});
    EXPECT_TRUE(access->identify(control.get()));
    sign(read, {});
    EXPECT_EQ(code_of(read), "TooManyRequestsException");
    access->clock_s = [] { return kNow_s + 301; };
    sign(read, {.time_s = kNow_s + 301});
    EXPECT_TRUE(access->identify(read.get())) << "the first has ended";
}

TEST_F(AccessTest, HashesLargeBodiesElsewhere) {
    TestRequest small = from_afar();
    sign(small, {});
    EXPECT_TRUE(access->identify(small.get()));
    EXPECT_EQ(runner.runs_count, 0);
    TestRequest large = from_afar();
    large.body(std::string(300 * 1024, 'x'));
    sign(large, {});
    EXPECT_TRUE(access->identify(large.get()));
    EXPECT_EQ(runner.runs_count, 1);
}

}  // namespace
}  // namespace hako::gateway::auth
