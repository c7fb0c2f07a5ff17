#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <fmt/format.h>

#include "engine/gateway/auth/function_policy.h"
#include "engine/gateway/auth/verifier.h"
#include "engine/registry/digest.h"

// What it costs to know who sent a request; goal: at most 15 us for a signed invocation.
namespace hako::gateway::auth {
namespace {

constexpr std::int64_t kNow_s = 1'440'938'160;

registry::SecretBox box() {
    return registry::SecretBox(registry::SecretBox::Key{});
}

/// A signed invocation as botocore sends it, and what checks it.
class Scene {
public:
    explicit Scene(bool with_session)
        : keys_(box(), ""),
          sessions_(box(), Rights::all()),
          verifier_(keys_, sessions_, {}, [](std::string_view body) {
              return registry::sha256(std::as_bytes(std::span(body.data(), body.size())));
          }) {
        AccessKey key;
        key.id = "AKHKAAAAAAAAAAAAAAAA";
        key.secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        key.account = "123456789012";
        key.arn = "arn:aws:iam::123456789012:user/bench";
        key.grant = std::make_shared<const Grant>(Grant{.rights = Rights::all()});
        keys_.put(key);
        std::string secret = key.secret;
        std::string id = key.id;
        if (with_session) {
            const auto made =
                sessions_.issue({"arn:aws:iam::123456789012:role/r", "echo"}, 3'600, kNow_s);
            id = made.key_id;
            secret = made.secret;
            token_ = made.token;
        }
        sign(id, secret);
    }

    [[nodiscard]] bool verify() {
        const auto read = read_signature(request_);
        return read && *read && verifier_.verify(request_, **read, kNow_s).has_value();
    }

private:
    void sign(const std::string& id, const std::string& secret) {
        const std::string list = fmt::format(
            "amz-sdk-invocation-id;amz-sdk-request;content-type;host;x-amz-date{}",
            token_.empty() ? "" : ";x-amz-security-token"
        );
        headers_ = {
            {"Host", "127.0.0.1:9000"},
            {"Accept-Encoding", "identity"},
            {"User-Agent", "Boto3/1.43 md/Botocore#1.43 ua/2.1 os/linux md/arch#x86_64"},
            {"X-Amz-Date", "20150830T123600Z"},
            {"Content-Type", "application/json"},
            {"amz-sdk-invocation-id", "6bc28136-abcd-4365-b021-0ce6b2e64ab0"},
            {"amz-sdk-request", "attempt=1"},
            {"Content-Length", "64"},
        };
        if (!token_.empty()) {
            headers_.push_back({"X-Amz-Security-Token", token_});
        }
        headers_.push_back({"Authorization", ""});
        request_.method = "POST";
        request_.path = "/2015-03-31/functions/echo/invocations";
        request_.target = request_.path;
        request_.body = body_;
        const auto authorization = [&](std::string_view signature) {
            return fmt::format(
                "AWS4-HMAC-SHA256 Credential={}/20150830/us-east-1/lambda/aws4_request, "
                "SignedHeaders={}, Signature={}",
                id,
                list,
                signature
            );
        };
        authorization_ = authorization("0");
        headers_.back().value = authorization_;
        request_.headers = headers_;
        const auto claim = read_signature(request_);
        Hasher hasher;
        Canonicalizer canonicalizer;
        const HexDigest payload = to_hex(hasher.sha256(body_));
        const HexDigest hash =
            to_hex(hasher.sha256(canonicalizer.write(request_, **claim, view_of(payload))));
        const Digest key = derive_signing_key(hasher, secret, **claim);
        const HexDigest signature =
            to_hex(hasher.hmac(key, string_to_sign(**claim, view_of(hash))));
        authorization_ = authorization(view_of(signature));
        headers_.back().value = authorization_;
    }

    KeyStore keys_;
    SessionTokens sessions_;
    Verifier verifier_;
    std::string token_;
    std::string body_ = std::string(64, 'x');
    std::string authorization_;
    std::vector<http::Header> headers_;
    http::Request request_;
};

void run(benchmark::State& state, bool with_session) {
    Scene scene(with_session);
    for (auto _ : state) {
        if (!scene.verify()) {
            state.SkipWithError("refused");
            break;
        }
    }
}

void BM_VerifySigned(benchmark::State& state) {
    run(state, false);
}
BENCHMARK(BM_VerifySigned);

void BM_VerifySession(benchmark::State& state) {
    run(state, true);
}
BENCHMARK(BM_VerifySession);

void BM_DeriveSigningKey(benchmark::State& state) {
    Hasher hasher;
    Signature claim;
    claim.date = "20150830";
    claim.region = "us-east-1";
    claim.service = "lambda";
    claim.terminator = "aws4_request";
    for (auto _ : state) {
        benchmark::DoNotOptimize(derive_signing_key(hasher, "secret", claim));
    }
}
BENCHMARK(BM_DeriveSigningKey);

void BM_OpenFreshSessionToken(benchmark::State& state) {
    SessionTokens sessions(box(), Rights::all());
    std::vector<std::string> tokens;
    for (int number = 0; number < 4'096; ++number) {
        tokens.push_back(
            sessions.issue({"arn:aws:iam::123456789012:role/r", "echo"}, 3'600, kNow_s).token
        );
    }
    std::size_t at = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(sessions.open(tokens[at++ % tokens.size()]));
    }
}
BENCHMARK(BM_OpenFreshSessionToken);

void BM_EvaluatePolicy(benchmark::State& state) {
    const auto policy = FunctionPolicy::parse(
        R"({"Statement":[{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},)"
        R"("Action":"lambda:InvokeFunction","Resource":)"
        R"("arn:aws:lambda:us-east-1:123456789012:function:echo"},)"
        R"({"Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunctionUrl","Resource":)"
        R"("arn:aws:lambda:us-east-1:123456789012:function:echo","Condition":)"
        R"({"StringEquals":{"lambda:FunctionUrlAuthType":"NONE"}}}]})"
    );
    const PolicyQuestion question{
        .action = "lambda:InvokeFunctionUrl",
        .resource = "arn:aws:lambda:us-east-1:123456789012:function:echo",
        .url_auth_type = "NONE",
    };
    for (auto _ : state) {
        benchmark::DoNotOptimize(policy->evaluate(question));
    }
}
BENCHMARK(BM_EvaluatePolicy);

}  // namespace
}  // namespace hako::gateway::auth

BENCHMARK_MAIN();
