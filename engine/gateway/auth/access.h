#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/gateway/auth/function_policy.h"
#include "engine/gateway/auth/grant.h"
#include "engine/gateway/auth/key_store.h"
#include "engine/gateway/auth/local_users.h"
#include "engine/gateway/auth/replay_cache.h"
#include "engine/gateway/auth/session.h"
#include "engine/gateway/auth/verifier.h"
#include "engine/gateway/http/handler.h"
#include "engine/registry/control_service.h"
#include "engine/registry/function_name.h"

namespace hako::gateway::auth {

/// Whose TCP requests have to be signed.
enum class HttpAuth : std::uint8_t {
    kRequired,  ///< everybody's
    kRemote,    ///< those that do not come from this machine
    kOff        ///< nobody's
};

/// Which requests a signature is good for once only.
enum class ReplayCheck : std::uint8_t { kOff, kControl, kAll };

struct AccessOptions {
    registry::Identity identity;
    HttpAuth http_auth = HttpAuth::kRemote;
    ReplayCheck replay_check = ReplayCheck::kOff;
    std::uint32_t replay_entries_max = 65'536;
    std::int64_t skew_s = 300;
    std::string organization;  ///< for conditions on aws:PrincipalOrgID; empty: none
    uid_t engine_uid = 0;      ///< may do everything, as root may
    LocalUsers invoke_users;
    LocalUsers control_users;
};

/// Who may do what: signatures on TCP, user ids on Unix sockets, rights of keys and users, policies
/// of functions. Lives on the loop; what is given outlives it.
class Access final : public http::AccessControl {
public:
    /// The policy of a function's version or alias ("" and `$LATEST`: of the function itself); null
    /// if it has none.
    using PolicyOf = std::function<std::shared_ptr<const FunctionPolicy>(
        std::string_view function_name, std::string_view qualifier
    )>;

    Access(
        KeyStore& keys,
        SessionTokens& sessions,
        registry::BlockingRunner& runner,
        AccessOptions options
    );

    [[nodiscard]] std::expected<http::Caller, registry::ApiError> identify(
        const http::Request& request
    ) override;
    [[nodiscard]] bool is_plausible(const http::Request& head) override;
    [[nodiscard]] std::optional<registry::ApiError> permit(
        const http::Caller& caller,
        std::string_view action,
        std::string_view resource,
        std::string_view url_auth_type = {}
    ) override;

    /// `permit` for invoking a function by any form of its name.
    [[nodiscard]] std::optional<registry::ApiError> permit_invoke(
        const http::Caller& caller, std::string_view name, std::string_view qualifier
    );

    /// The caller behind a Unix socket: arn:aws:iam::ACCOUNT:user/unix/UID, with the rights the
    /// settings give that user.
    [[nodiscard]] http::Caller local_caller(uid_t uid, gid_t gid) const;

    /// What a part of hako that acts for a service (a schedule, a bucket) may do to a function:
    /// only the function's policy decides.
    struct ServiceCall {
        std::string_view service;  ///< events.amazonaws.com
        std::string_view source_arn;
        std::string_view source_account;
        std::string_view event_source_token;
    };
    [[nodiscard]] bool permits_service(
        const ServiceCall& call, std::string_view action, std::string_view resource
    ) const;

    PolicyOf policy_of;
    /// Seconds since 1970; a seam for tests.
    std::function<std::int64_t()> clock_s;

private:
    [[nodiscard]] bool trusts_peer(const http::Request& request) const;
    [[nodiscard]] http::Caller peer_caller(const http::Request& request) const;
    [[nodiscard]] std::expected<void, registry::ApiError> check_replay(
        const http::Request& request, const Signature& signature, std::int64_t now_s
    );
    [[nodiscard]] FunctionPolicy::Verdict ask_policy(PolicyQuestion question) const;

    AccessOptions options_;
    Verifier verifier_;
    ReplayCache replays_;
    std::shared_ptr<const Grant> everything_;
};

/// `lambda:InvokeFunction` and the like, as IAM names the action of an operation.
[[nodiscard]] std::string action_of(std::string_view operation);

}  // namespace hako::gateway::auth
