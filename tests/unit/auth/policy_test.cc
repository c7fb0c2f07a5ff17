#include <functional>

#include <fmt/format.h>

#include "engine/gateway/auth/function_policy.h"
#include "engine/gateway/auth/grant.h"
#include "engine/gateway/auth/policy_cache.h"
#include "tests/unit/auth/fixture.h"

namespace hako::gateway::auth {
namespace {

using Verdict = FunctionPolicy::Verdict;

constexpr std::string_view kArn = "arn:aws:lambda:us-east-1:123456789012:function:echo";

std::string statement(
    std::string_view principal,
    std::string_view more = "",
    std::string_view action = "lambda:InvokeFunction",
    std::string_view resource = kArn
) {
    return fmt::format(
        R"({{"Sid":"s","Effect":"Allow","Principal":{},"Action":"{}","Resource":"{}"{}}})",
        principal,
        action,
        resource,
        more
    );
}

std::string condition(std::string_view op, std::string_view key, std::string_view value) {
    return fmt::format(R"(,"Condition":{{"{}":{{"{}":"{}"}}}})", op, key, value);
}

Verdict ask(const std::string& json, const PolicyQuestion& question) {
    const auto policy = FunctionPolicy::parse(json);
    EXPECT_TRUE(policy) << json << (policy ? "" : policy.error());
    return policy ? policy->evaluate(question) : Verdict::kSilent;
}

/// A user of another account.
PolicyQuestion stranger() {
    return {
        .action = "lambda:InvokeFunction",
        .resource = kArn,
        .principal_arn = "arn:aws:iam::111122223333:user/bob",
        .account = "111122223333",
    };
}

PolicyQuestion service(std::string_view name, std::string_view source_arn = {}) {
    return {
        .action = "lambda:InvokeFunction",
        .resource = kArn,
        .service = name,
        .source_arn = source_arn,
    };
}

TEST(FunctionPolicy, ComparesPrincipals) {
    struct Case {
        const char* principal;
        bool user;         // of another account
        bool own_user;     // arn:aws:iam::123456789012:user/amy
        bool own_session;  // of role r
        bool s3;
        bool anybody;  // no credentials at all
    };
    const std::vector<Case> cases = {
        {R"("*")", true, true, true, true, true},
        {R"({"AWS":"*"})", true, true, true, true, true},
        {R"({"AWS":"111122223333"})", true, false, false, false, false},
        {R"({"AWS":"arn:aws:iam::111122223333:root"})", true, false, false, false, false},
        // Our own account's rules have said no before.
        {R"({"AWS":"arn:aws:iam::123456789012:root"})", false, false, false, false, false},
        {R"({"AWS":"arn:aws:iam::111122223333:user/bob"})", true, false, false, false, false},
        {R"({"AWS":"arn:aws:iam::111122223333:user/bo"})", false, false, false, false, false},
        {R"({"AWS":"arn:aws:iam::111122223333:user/*"})", false, false, false, false, false},
        {R"({"AWS":"arn:aws:iam::123456789012:user/amy"})", false, true, false, false, false},
        {R"({"AWS":"arn:aws:iam::123456789012:role/r"})", false, false, true, false, false},
        {R"({"AWS":"arn:aws:sts::123456789012:assumed-role/r/f"})", false, false, true, false, false
        },
        {R"({"AWS":["1","arn:aws:iam::111122223333:user/bob"]})", true, false, false, false, false},
        {R"({"Service":"s3.amazonaws.com"})", false, false, false, true, false},
        {R"({"Service":"*"})", false, false, false, false, false},
        {R"({"Service":["sns.amazonaws.com","s3.amazonaws.com"]})", false, false, false, true, false
        },
        {R"({"Federated":"*"})", false, false, false, false, false},
        {R"({"CanonicalUser":"*"})", false, false, false, false, false},
        {R"("arn:aws:iam::111122223333:user/bob")", false, false, false, false, false},
        {R"({})", false, false, false, false, false},
        {R"(1)", false, false, false, false, false},
    };
    PolicyQuestion own = stranger();
    own.account = kAccount;
    own.is_own_account = true;
    own.principal_arn = "arn:aws:iam::123456789012:user/amy";
    PolicyQuestion session = own;
    session.principal_arn = "arn:aws:sts::123456789012:assumed-role/r/f";
    session.role_arn = "arn:aws:iam::123456789012:role/r";
    const PolicyQuestion nobody{.action = "lambda:InvokeFunction", .resource = kArn};
    for (const Case& one : cases) {
        const std::string json = statement(one.principal);
        const auto is_allowed = [&json](const PolicyQuestion& question) {
            return ask(json, question) == Verdict::kAllow;
        };
        EXPECT_EQ(is_allowed(stranger()), one.user) << one.principal;
        EXPECT_EQ(is_allowed(own), one.own_user) << one.principal;
        EXPECT_EQ(is_allowed(session), one.own_session) << one.principal;
        EXPECT_EQ(is_allowed(service("s3.amazonaws.com")), one.s3) << one.principal;
        EXPECT_EQ(is_allowed(nobody), one.anybody) << one.principal;
    }
}

TEST(FunctionPolicy, ComparesActionsAndResources) {
    const auto allows =
        [](std::string_view action, std::string_view resource, std::string_view asked) {
            PolicyQuestion question = stranger();
            question.resource = asked;
            return ask(statement(R"("*")", "", action, resource), question) == Verdict::kAllow;
        };
    const std::string alias = fmt::format("{}:live", kArn);
    EXPECT_TRUE(allows("lambda:InvokeFunction", kArn, kArn));
    EXPECT_TRUE(allows("lambda:Invoke*", kArn, kArn));
    EXPECT_TRUE(allows("LAMBDA:invokefunction", kArn, kArn));
    EXPECT_TRUE(allows("*", "*", kArn));
    EXPECT_FALSE(allows("lambda:InvokeFunctionUrl", kArn, kArn));
    EXPECT_FALSE(allows("lambda:GetFunction", kArn, kArn));
    EXPECT_FALSE(allows("lambda:InvokeFunction", kArn, alias));
    EXPECT_FALSE(allows("lambda:InvokeFunction", alias, kArn));
    EXPECT_TRUE(allows("lambda:InvokeFunction", alias, alias));
    EXPECT_TRUE(allows("lambda:InvokeFunction", fmt::format("{}:*", kArn), alias));
    EXPECT_FALSE(allows("lambda:InvokeFunction", fmt::format("{}x", kArn), kArn));
    // A star stays within its part of the ARN.
    EXPECT_TRUE(allows("lambda:InvokeFunction", "arn:aws:lambda:*:*:function:echo", kArn));
    EXPECT_FALSE(allows("lambda:InvokeFunction", "arn:aws:lambda:*:function:echo", kArn));
}

TEST(FunctionPolicy, ComparesConditions) {
    struct Case {
        std::string condition;
        std::function<void(PolicyQuestion&)> set;
        bool holds;
    };
    const auto source = [](const char* arn) {
        return [arn](PolicyQuestion& q) { q.source_arn = arn; };
    };
    const auto nothing = [](PolicyQuestion&) {};
    const std::string bucket = "arn:aws:s3:::pictures";
    const std::vector<Case> cases = {
        {condition("ArnLike", "AWS:SourceArn", bucket), source("arn:aws:s3:::pictures"), true},
        {condition("ArnLike", "aws:sourcearn", bucket), source("arn:aws:s3:::pictures"), true},
        {condition("ArnLike", "AWS:SourceArn", "arn:aws:s3:::pic*"),
         source("arn:aws:s3:::pictures"),
         true},
        {condition("ArnLike", "AWS:SourceArn", "arn:aws:*:pictures"),
         source("arn:aws:s3:::pictures"),
         false},
        {condition("ArnLike", "AWS:SourceArn", bucket), source("arn:aws:s3:::others"), false},
        {condition("ArnLike", "AWS:SourceArn", bucket), nothing, false},
        {condition("StringEquals", "AWS:SourceArn", "arn:aws:s3:::pic*"),
         source("arn:aws:s3:::pictures"),
         false},
        {condition("StringEquals", "AWS:SourceAccount", "111122223333"),
         [](PolicyQuestion& q) { q.source_account = "111122223333"; },
         true},
        {condition("StringEquals", "AWS:SourceAccount", "111122223333"),
         [](PolicyQuestion& q) { q.source_account = "111122223334"; },
         false},
        {condition("StringEquals", "lambda:EventSourceToken", "alexa"),
         [](PolicyQuestion& q) { q.event_source_token = "alexa"; },
         true},
        {condition("StringEquals", "lambda:EventSourceToken", "alexa"), nothing, false},
        {condition("StringEquals", "lambda:FunctionUrlAuthType", "NONE"),
         [](PolicyQuestion& q) { q.url_auth_type = "NONE"; },
         true},
        {condition("StringEquals", "lambda:FunctionUrlAuthType", "NONE"),
         [](PolicyQuestion& q) { q.url_auth_type = "AWS_IAM"; },
         false},
        {condition("StringEquals", "lambda:FunctionUrlAuthType", "NONE"), nothing, false},
        {condition("StringEquals", "aws:PrincipalOrgID", "o-abc"),
         [](PolicyQuestion& q) { q.organization = "o-abc"; },
         true},
        {condition("StringEquals", "aws:PrincipalOrgID", "o-abc"), nothing, false},
        {R"(,"Condition":{"Bool":{"lambda:InvokedViaFunctionUrl":"true"}})",
         [](PolicyQuestion& q) { q.url_auth_type = "NONE"; },
         true},
        {R"(,"Condition":{"Bool":{"lambda:InvokedViaFunctionUrl":"true"}})", nothing, false},
        {R"(,"Condition":{"Bool":{"lambda:InvokedViaFunctionUrl":"false"}})", nothing, true},
        // Both have to hold; of a list one is enough.
        {R"(,"Condition":{"StringEquals":{"AWS:SourceAccount":"1"},"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::a"}})",
         source("arn:aws:s3:::a"),
         false},
        {R"(,"Condition":{"StringEquals":{"AWS:SourceAccount":["1","2"]}})",
         [](PolicyQuestion& q) { q.source_account = "2"; },
         true},
        // What is not understood never holds.
        {condition("StringNotEquals", "AWS:SourceAccount", "1"),
         [](PolicyQuestion& q) { q.source_account = "2"; },
         false},
        {condition("StringEqualsIfExists", "AWS:SourceAccount", "1"), nothing, false},
        {condition("IpAddress", "aws:SourceIp", "0.0.0.0/0"), nothing, false},
        {R"(,"Condition":{"StringEquals":{"AWS:SourceAccount":1}})", nothing, false},
        {R"(,"Condition":{"StringEquals":1})", nothing, false},
        {R"(,"Condition":1)", nothing, false},
        {R"(,"Condition":{})", nothing, true},
        {R"(,"NotAction":"x")", nothing, false},
        {R"(,"NotPrincipal":"*")", nothing, false},
    };
    for (const Case& one : cases) {
        PolicyQuestion question = service("s3.amazonaws.com");
        one.set(question);
        const std::string json = statement(R"({"Service":"s3.amazonaws.com"})", one.condition);
        EXPECT_EQ(ask(json, question) == Verdict::kAllow, one.holds) << json;
    }
}

TEST(FunctionPolicy, ReadsWholePoliciesAndDenies) {
    const std::string allow = statement(R"("*")");
    std::string deny = statement(R"({"AWS":"arn:aws:iam::111122223333:user/bob"})");
    deny.replace(deny.find("Allow"), 5, "Deny");
    const auto policy = [](const std::string& statements) {
        return fmt::format(
            R"({{"Version":"2012-10-17","Id":"default","Statement":[{}]}})", statements
        );
    };
    EXPECT_EQ(ask(policy(allow), stranger()), Verdict::kAllow);
    EXPECT_EQ(ask(policy(allow + "," + deny), stranger()), Verdict::kDeny);
    EXPECT_EQ(ask(policy(deny + "," + allow), stranger()), Verdict::kDeny);
    PolicyQuestion other = stranger();
    other.principal_arn = "arn:aws:iam::111122223333:user/eve";
    EXPECT_EQ(ask(policy(deny + "," + allow), other), Verdict::kAllow);
    EXPECT_EQ(ask(policy(""), stranger()), Verdict::kSilent);
    EXPECT_EQ(ask(R"({"Version":"2012-10-17"})", stranger()), Verdict::kDeny)
        << "no effect and no principal: not understood";
    std::string odd_deny = deny;
    odd_deny.replace(odd_deny.find("\"Action\""), 8, "\"NotAction\"");
    EXPECT_EQ(ask(policy(allow + "," + odd_deny), stranger()), Verdict::kDeny);
}

TEST(FunctionPolicy, SaysWhatIsNoPolicy) {
    for (const char* json :
         {"[]", "nope", R"({"Statement":1})", R"({"Statement":[1]})", "{", "\"x\""}) {
        EXPECT_FALSE(FunctionPolicy::parse(json)) << json;
    }
}

TEST(PolicyCache, KnowsAPolicyUntilItsTextChanges) {
    PolicyCache cache(2);
    const std::string open = statement(R"("*")");
    const auto first = cache.get("echo", "", open);
    EXPECT_EQ(first->evaluate(stranger()), Verdict::kAllow);
    EXPECT_EQ(cache.get("echo", "", open), first);
    EXPECT_NE(cache.get("echo", "live", open), first);
    const auto closed = cache.get("echo", "", R"({"Statement":[]})");
    EXPECT_EQ(closed->evaluate(stranger()), Verdict::kSilent);
    EXPECT_EQ(first->evaluate(stranger()), Verdict::kAllow) << "who holds it keeps it";
    EXPECT_EQ(cache.count(), 2U);
    EXPECT_EQ(cache.get("third", "", "nonsense")->evaluate(stranger()), Verdict::kSilent);
    EXPECT_LE(cache.count(), 2U);
}

// ---- rights ----

TEST(Grant, ChoosesTheRightOfAnAction) {
    for (const char* action :
         {"Invoke",
          "InvokeAsync",
          "InvokeWithResponseStream",
          "lambda:InvokeFunction",
          "lambda:InvokeFunctionUrl"}) {
        EXPECT_EQ(right_for(action), Right::kInvoke) << action;
    }
    for (const char* action :
         {"CreateFunction",
          "lambda:GetFunction",
          "ListFunctions",
          "AddPermission",
          "GetEngineStatus",
          "Unknown",
          ""}) {
        EXPECT_EQ(right_for(action), Right::kControl) << action;
    }
    for (const char* action : {"CreateAccessKey", "ListAccessKeys", "lambda:DeleteAccessKey"}) {
        EXPECT_EQ(right_for(action), Right::kAdmin) << action;
    }
}

TEST(Grant, MatchesPatterns) {
    const auto check = [](const char* pattern, const char* text, bool wanted) {
        EXPECT_EQ(matches(pattern, text), wanted) << pattern << " " << text;
    };
    check("*", "", true);
    check("", "", true);
    check("", "a", false);
    check("a*", "abc", true);
    check("*c", "abc", true);
    check("a*c", "abcbc", true);
    check("a*c", "abcb", false);
    check("a?c", "abc", true);
    check("a?c", "ac", false);
    check("**a**", "bab", true);
    check("img-*-small", "img-1-large", false);
    const std::string hostile(5'000, '*');
    EXPECT_FALSE(matches(hostile + "b", std::string(5'000, 'a')));
}

TEST(Grant, IsLimitedToItsFunctions) {
    Grant grant{.rights = Rights(Right::kControl), .functions = {"img-*", "echo"}};
    const auto covers = [&grant](Right right, const char* resource) {
        return grant.covers(right, resource);
    };
    EXPECT_TRUE(covers(Right::kControl, "arn:aws:lambda:us-east-1:123456789012:function:echo"));
    EXPECT_TRUE(covers(Right::kControl, "arn:aws:lambda:us-east-1:123456789012:function:img-1:live")
    );
    EXPECT_FALSE(covers(Right::kInvoke, "arn:aws:lambda:us-east-1:123456789012:function:echo"));
    EXPECT_FALSE(covers(Right::kControl, "arn:aws:lambda:us-east-1:123456789012:function:echoes"));
    EXPECT_FALSE(covers(Right::kControl, "*"));
    EXPECT_FALSE(covers(Right::kControl, "arn:aws:lambda:us-east-1:123456789012:layer:echo"));
    grant.functions.clear();
    EXPECT_TRUE(covers(Right::kControl, "*"));
    EXPECT_TRUE(Rights::all().has(Right::kInvoke));
    EXPECT_FALSE(Rights(Right::kInvoke).has(Right::kAdmin));
}

}  // namespace
}  // namespace hako::gateway::auth
