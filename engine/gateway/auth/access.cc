#include "engine/gateway/auth/access.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/gateway/auth/text.h"
#include "engine/registry/digest.h"

namespace hako::gateway::auth {

namespace {

using http::Caller;
using registry::ApiError;

// A body over this is hashed on an offload thread: it takes longer than others may wait.
constexpr std::size_t kHashInlineBytesMax = 256UL * 1024;

// What proxies add: the request is somebody else's then, whoever brings it.
constexpr std::array<std::string_view, 4> kForwarded = {
    "x-forwarded-for", "forwarded", "x-real-ip", "via"
};

bool has_any(const http::Request& request, std::span<const std::string_view> names) {
    return std::ranges::any_of(names, [&request](std::string_view name) {
        return !header_of(request, name).empty();
    });
}

/// A web page in a browser on this machine reaches loopback as well; browsers say so.
bool is_from_page(const http::Request& request) {
    const std::string_view site = header_of(request, "sec-fetch-site");
    return !header_of(request, "origin").empty() || (!site.empty() && site != "none");
}

/// Another name for this machine may be one that a stranger's name server gave out.
bool names_loopback(std::string_view host) {
    if (host.starts_with('[')) {
        return host.starts_with("[::1]");
    }
    host = host.substr(0, host.find(':'));
    return host.empty() || same_name(host, "localhost") || host.ends_with(".localhost") ||
           (host.starts_with("127.") &&
            host.find_first_not_of("0123456789.") == std::string_view::npos);
}

bool is_invocation(std::string_view path) {
    while (path.ends_with('/')) {
        path.remove_suffix(1);
    }
    return path.ends_with("/invocations") || path.ends_with("/response-streaming-invocations") ||
           path.ends_with("/invoke-async");
}

std::string_view function_part(std::string_view resource) {
    constexpr std::string_view kLatest = ":$LATEST";
    if (resource.ends_with(kLatest)) {
        resource.remove_suffix(kLatest.size());
    }
    return resource;
}

}  // namespace

Access::Access(
    KeyStore& keys, SessionTokens& sessions, registry::BlockingRunner& runner, AccessOptions options
)
    : clock_s([] { return wall_us() / 1'000'000; }),
      options_(std::move(options)),
      verifier_(
          keys,
          sessions,
          {.region = options_.identity.region, .skew_s = options_.skew_s},
          [&runner](std::string_view body) {
              Digest digest;
              const auto hash = [&digest, body] {
                  digest = registry::sha256(std::as_bytes(std::span(body.data(), body.size())));
              };
              if (body.size() > kHashInlineBytesMax) {
                  runner.run(hash);
              } else {
                  hash();
              }
              return digest;
          }
      ),
      replays_(options_.replay_entries_max),
      everything_(std::make_shared<const Grant>(Grant{.rights = Rights::all()})) {}

std::expected<Caller, ApiError> Access::identify(const http::Request& request) {
    const bool is_trusted = trusts_peer(request);
    auto read = read_signature(request);
    if (!read) {
        return is_trusted ? std::expected<Caller, ApiError>(peer_caller(request))
                          : std::unexpected(std::move(read.error()));
    }
    const std::optional<Signature>& claim = *read;
    if (!claim) {
        return is_trusted ? peer_caller(request) : Caller{.kind = Caller::Kind::kAnonymous};
    }
    // Stock clients sign with whatever they find; where nobody has to sign that must not hurt. Who
    // signs with a key of ours means it, and is held to what that key may do.
    const Signature& signature = *claim;
    if (is_trusted && !verifier_.knows(signature)) {
        return peer_caller(request);
    }
    const std::int64_t now_s = clock_s();
    TRY_ASSIGN(Caller caller, verifier_.verify(request, signature, now_s));
    TRY(check_replay(request, signature, now_s));
    return caller;
}

bool Access::is_plausible(const http::Request& head) {
    if (trusts_peer(head)) {
        return true;
    }
    const auto read = read_signature(head);
    if (!read) {
        return false;
    }
    const std::optional<Signature>& claim = *read;
    return claim && verifier_.knows(*claim);
}

bool Access::trusts_peer(const http::Request& request) const {
    if (options_.http_auth == HttpAuth::kOff) {
        return true;
    }
    if (has_any(request, kForwarded)) {
        return false;
    }
    if (request.peer.is_unix) {
        return true;
    }
    return request.peer.is_loopback && options_.http_auth == HttpAuth::kRemote &&
           !is_from_page(request) && names_loopback(header_of(request, "host"));
}

Caller Access::peer_caller(const http::Request& request) const {
    return request.peer.is_unix ? local_caller(request.peer.uid, request.peer.gid) : Caller{};
}

Caller Access::local_caller(uid_t uid, gid_t gid) const {
    Caller caller{.kind = Caller::Kind::kKnown, .account = options_.identity.account};
    caller.arn = fmt::format("arn:aws:iam::{}:user/unix/{}", caller.account, uid);
    if (uid == 0 || uid == options_.engine_uid) {
        caller.grant = everything_;
        return caller;
    }
    auto grant = std::make_shared<Grant>();
    if (options_.invoke_users.includes(uid, gid)) {
        grant->rights.add(Right::kInvoke);
    }
    if (options_.control_users.includes(uid, gid)) {
        grant->rights.add(Right::kControl);
    }
    caller.grant = std::move(grant);
    return caller;
}

std::expected<void, ApiError> Access::check_replay(
    const http::Request& request, const Signature& signature, std::int64_t now_s
) {
    const bool is_checked = options_.replay_check == ReplayCheck::kAll ||
                            (options_.replay_check == ReplayCheck::kControl &&
                             request.method != "GET" && !is_invocation(request.path));
    if (!is_checked) {
        return {};
    }
    const std::int64_t life_s = std::max(signature.lifetime_s, options_.skew_s);
    switch (replays_.enter(signature.signature, signature.time_s + life_s, now_s)) {
        case ReplayCache::Outcome::kFresh:
            return {};
        case ReplayCache::Outcome::kSeen:
            return std::unexpected(refused(
                "InvalidSignatureException",
                "This signature was used before: each request needs one of its own."
            ));
        case ReplayCache::Outcome::kFull:
            break;
    }
    return std::unexpected(ApiError{
        .status = 429,
        .code = "TooManyRequestsException",
        .message = "Rate Exceeded. More signatures are remembered than replay_entries_max allows.",
    });
}

std::optional<ApiError> Access::permit(
    const Caller& caller,
    std::string_view action,
    std::string_view resource,
    std::string_view url_auth_type
) {
    const bool is_url = !url_auth_type.empty();
    if (caller.kind == Caller::Kind::kUnchecked &&
        (!is_url || options_.http_auth == HttpAuth::kOff)) {
        return std::nullopt;
    }
    const bool is_known = caller.kind == Caller::Kind::kKnown;
    const Right right = right_for(action);
    const bool is_own = caller.account == options_.identity.account;
    PolicyQuestion question{
        .action = action,
        .resource = resource,
        .is_own_account = is_own,
        .url_auth_type = url_auth_type,
    };
    // A URL of type NONE asks nobody who he is, so nobody's own rights count.
    if (is_known && url_auth_type != "NONE") {
        if (is_own && caller.grant != nullptr && caller.grant->covers(right, resource)) {
            return std::nullopt;
        }
        question.principal_arn = caller.arn;
        question.account = caller.account;
        question.role_arn = caller.grant != nullptr ? caller.grant->role_arn : std::string_view();
        question.organization = is_own ? options_.organization : std::string_view();
    }
    const bool may_be_open = is_known || url_auth_type == "NONE";
    if (right == Right::kInvoke && may_be_open &&
        ask_policy(question) == FunctionPolicy::Verdict::kAllow) {
        return std::nullopt;
    }
    if (is_url) {
        return refused("AccessDeniedException", "Forbidden");
    }
    if (!is_known) {
        return refused("MissingAuthenticationTokenException", "Missing Authentication Token");
    }
    return refused(
        "AccessDeniedException",
        fmt::format(
            "User: {} is not authorized to perform: {} on resource: {} because no identity-based "
            "policy allows the {} action",
            caller.arn,
            action,
            resource,
            action
        )
    );
}

std::optional<ApiError> Access::permit_invoke(
    const Caller& caller, std::string_view name, std::string_view qualifier
) {
    // What the frame socket asks each time: nearly all have the right, and then no name matters.
    if (caller.kind == Caller::Kind::kUnchecked ||
        (caller.grant != nullptr && caller.grant->functions.empty() &&
         caller.grant->rights.has(Right::kInvoke) && caller.account == options_.identity.account)) {
        return std::nullopt;
    }
    constexpr std::string_view kAction = "lambda:InvokeFunction";
    const auto resolved = registry::resolve_function_name(
        name, qualifier, registry::NameShape::kNamespaced, options_.identity
    );
    if (!resolved) {
        return permit(caller, kAction, name);
    }
    std::string arn = registry::function_arn(options_.identity, resolved->name);
    if (!resolved->qualifier.empty()) {
        arn += fmt::format(":{}", resolved->qualifier);
    }
    return permit(caller, kAction, arn);
}

bool Access::permits_service(
    const ServiceCall& call, std::string_view action, std::string_view resource
) const {
    const PolicyQuestion question{
        .action = action,
        .resource = resource,
        .service = call.service,
        .source_arn = call.source_arn,
        .source_account = call.source_account,
        .event_source_token = call.event_source_token,
    };
    return ask_policy(question) == FunctionPolicy::Verdict::kAllow;
}

FunctionPolicy::Verdict Access::ask_policy(PolicyQuestion question) const {
    if (!policy_of) {
        return FunctionPolicy::Verdict::kSilent;
    }
    question.resource = function_part(question.resource);
    std::string_view qualifier;
    const std::string_view name = function_of_arn(question.resource, &qualifier);
    if (name.empty()) {
        return FunctionPolicy::Verdict::kSilent;
    }
    const auto policy = policy_of(name, qualifier);
    return policy == nullptr ? FunctionPolicy::Verdict::kSilent : policy->evaluate(question);
}

std::string action_of(std::string_view operation) {
    if (operation == "Invoke" || operation == "InvokeAsync" ||
        operation == "InvokeWithResponseStream") {
        return "lambda:InvokeFunction";
    }
    return fmt::format("lambda:{}", operation);
}

}  // namespace hako::gateway::auth
