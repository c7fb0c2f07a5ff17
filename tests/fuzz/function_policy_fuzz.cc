#include "engine/base/ensure.h"
#include "engine/gateway/auth/function_policy.h"
#include "tests/fuzz/fuzz.h"

// Policies of functions, as text. What grants must say so, and to somebody.

namespace {

using namespace hako;
using gateway::auth::FunctionPolicy;
using gateway::auth::PolicyQuestion;

constexpr std::string_view kArn = "arn:aws:lambda:us-east-1:123456789012:function:echo";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    const std::string_view json(reinterpret_cast<const char*>(data), bytes);
    const auto policy = FunctionPolicy::parse(json);
    if (!policy) {
        ENSURE(!policy.error().empty(), "a refusal says why");
        return 0;
    }
    PolicyQuestion nobody{.action = "lambda:InvokeFunction", .resource = kArn};
    PolicyQuestion user = nobody;
    user.principal_arn = "arn:aws:iam::111122223333:user/bob";
    user.account = "111122223333";
    PolicyQuestion service = nobody;
    service.service = "s3.amazonaws.com";
    service.source_arn = "arn:aws:s3:::pictures";
    for (const PolicyQuestion& question : {nobody, user, service}) {
        const auto verdict = policy->evaluate(question);
        ENSURE(verdict == policy->evaluate(question), "an answer does not change");
        // Letters may be written as escapes.
        ENSURE(
            verdict != FunctionPolicy::Verdict::kAllow || json.contains("llow") ||
                json.contains("\\u"),
            "only an Allow allows"
        );
    }
    // Who is allowed without credentials is so because everybody is.
    if (policy->evaluate(nobody) == FunctionPolicy::Verdict::kAllow) {
        ENSURE(
            policy->evaluate(user) != FunctionPolicy::Verdict::kSilent ||
                json.contains("Condition") || json.contains("\\u"),
            "credentials take nothing away but by a Deny"
        );
    }
    return 0;
}
