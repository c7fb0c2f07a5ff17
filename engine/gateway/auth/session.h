#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/gateway/auth/access_key.h"
#include "engine/gateway/auth/grant.h"
#include "engine/registry/secret_box.h"

namespace hako::gateway::auth {

/// Temporary credentials: what a function finds as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
/// AWS_SESSION_TOKEN.
struct SessionCredentials {
    std::string key_id;  ///< ASHK and 16 characters
    std::string secret;
    std::string token;
    std::int64_t expires_s = 0;
};

/// Whom they stand for.
struct SessionSubject {
    std::string_view role_arn;  ///< arn:aws:iam::ACCOUNT:role/[PATH/]NAME
    std::string_view name;      ///< the function's
};

/// A session token, opened.
struct Session {
    std::string token;
    std::string key_id;
    std::string secret;
    std::string account;
    std::string arn;  ///< arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION
    std::shared_ptr<const Grant> grant;
    std::int64_t expires_s = 0;
    SigningKey signing;

    Session() = default;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();
};

/// Makes and opens session tokens. Nothing is stored: a token is its own record, sealed with the
/// engine's key, so it holds over restarts, needs no memory and ends when it says. What was opened
/// last is kept in a table of fixed size.
class SessionTokens {
public:
    /// What sessions may do by themselves.
    SessionTokens(const registry::SecretBox& box, Rights rights) : box_(box), rights_(rights) {}

    [[nodiscard]] SessionCredentials issue(
        const SessionSubject& subject, std::int64_t lifetime_s, std::int64_t now_s
    ) const;
    /// Null if we did not make the token. Expired ones are opened too. Holds until the next call.
    [[nodiscard]] Session* open(std::string_view token);

private:
    static constexpr std::size_t kSlotsCount = 512;

    [[nodiscard]] std::unique_ptr<Session> unseal(std::string_view token) const;

    registry::SecretBox box_;
    Rights rights_;
    std::array<std::unique_ptr<Session>, kSlotsCount> slots_;
};

/// `prefix` and 16 random characters of A-Z and 2-7, as AWS writes key ids.
[[nodiscard]] std::string make_key_id(std::string_view prefix);
/// 40 random characters.
[[nodiscard]] std::string make_secret();

}  // namespace hako::gateway::auth
