#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/gateway/auth/grant.h"
#include "engine/gateway/auth/hasher.h"

namespace hako::gateway::auth {

/// A long-lived credential that hako keeps, as IAM keeps a user's access keys.
struct AccessKey {
    std::string id;      ///< AKHK and 16 characters: never the id of a key of AWS's
    std::string secret;  ///< 40 characters
    std::string user;    ///< the name in the ARN
    std::string account;
    std::string arn;  ///< arn:aws:iam::ACCOUNT:user/USER
    std::shared_ptr<const Grant> grant;
    std::int64_t created_s = 0;  ///< since 1970, as are the next two
    std::int64_t expires_s = 0;  ///< 0: never
    std::int64_t used_s = 0;     ///< to the minute, in memory only; 0: not since the start
    bool is_enabled = true;
};

/// The key that signs a day's requests; made from the secret by four HMACs, so it is kept.
struct SigningKey {
    std::string date;  ///< yyyymmdd; empty: none yet
    Digest key{};
};

}  // namespace hako::gateway::auth
