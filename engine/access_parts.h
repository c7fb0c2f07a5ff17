#pragma once

#include <expected>
#include <memory>

#include "engine/config/settings.h"
#include "engine/gateway/auth/access.h"
#include "engine/gateway/auth/key_operations.h"
#include "engine/gateway/auth/key_store.h"
#include "engine/gateway/auth/session.h"
#include "engine/registry/registry.h"
#include "engine/registry/secret_box.h"

namespace hako {

/// What of access control has to be found while the process still has its rights: the key of what
/// is sealed, and who the names in the settings are.
struct AccessInput {
    registry::SecretBox secrets;
    gateway::auth::LocalUsers invoke_users;
    gateway::auth::LocalUsers control_users;

    /// Blocks. Errors: a sentence for a person.
    [[nodiscard]] static std::expected<AccessInput, registry::Failure> find(
        const config::Settings& settings, const std::string& keys_path
    );
};

/// The resource policy of a function, version or alias; null if it has none. Read anew for each
/// question: only for callers without rights of their own.
[[nodiscard]] std::shared_ptr<const gateway::auth::FunctionPolicy> function_policy(
    const registry::Registry& functions, std::string_view name, std::string_view qualifier
);

/// Access control, wired. Lives on the loop.
class AccessParts {
public:
    /// Reads the keys; blocks. `runner` outlives the parts.
    [[nodiscard]] static std::expected<std::unique_ptr<AccessParts>, registry::Failure> make(
        const config::Settings& settings,
        const AccessInput& input,
        const std::string& keys_path,
        registry::BlockingRunner& runner
    );

    /// Credentials for a function that runs under this role.
    [[nodiscard]] gateway::auth::SessionCredentials issue(
        const gateway::auth::SessionSubject& subject
    ) const;
    /// Says what may surprise: who need not sign, and that nobody can.
    void log_state(const config::Settings& settings) const;

    gateway::auth::KeyStore keys;
    gateway::auth::SessionTokens sessions;
    gateway::auth::Access access;
    gateway::auth::KeyOperations operations;

private:
    AccessParts(
        const config::Settings& settings,
        const AccessInput& input,
        const std::string& keys_path,
        registry::BlockingRunner& runner
    );

    std::int64_t session_lifetime_s_;
};

}  // namespace hako
