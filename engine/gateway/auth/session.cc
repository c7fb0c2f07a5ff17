#include "engine/gateway/auth/session.h"

#include <charconv>
#include <functional>
#include <span>
#include <utility>

#include <sys/random.h>

#include <fmt/format.h>
#include <openssl/crypto.h>

#include "engine/base/ensure.h"
#include "engine/gateway/auth/text.h"
#include "engine/registry/digest.h"

namespace hako::gateway::auth {

namespace {

constexpr std::string_view kPurpose = "session tokens";
// Longer ones are not ours: role ARNs and function names have limits.
constexpr std::size_t kTokenBytesMax = 4096;

template <std::size_t N>
std::array<std::uint8_t, N> random_bytes() {
    std::array<std::uint8_t, N> bytes;
    const ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
    ENSURE(got == static_cast<ssize_t>(bytes.size()), "getrandom gives up to 256 bytes at once");
    return bytes;
}

std::string_view account_of(std::string_view arn) {
    for (int part = 0; part < 4; ++part) {
        (void)take_until(arn, ':');
    }
    return take_until(arn, ':');
}

}  // namespace

Session::~Session() {
    registry::wipe(secret);
    OPENSSL_cleanse(signing.key.data(), signing.key.size());
}

std::string make_key_id(std::string_view prefix) {
    std::string id(prefix);
    for (const std::uint8_t byte : random_bytes<16>()) {
        id += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[byte & 31U];
    }
    return id;
}

std::string make_secret() {
    return registry::to_base64(random_bytes<30>());
}

SessionCredentials SessionTokens::issue(
    const SessionSubject& subject, std::int64_t lifetime_s, std::int64_t now_s
) const {
    SessionCredentials made;
    made.key_id = make_key_id("ASHK");
    made.secret = make_secret();
    made.expires_s = now_s + lifetime_s;
    std::string plain = fmt::format(
        "{}\n{}\n{}\n{}\n{}",
        made.key_id,
        made.secret,
        made.expires_s,
        subject.role_arn,
        subject.name
    );
    const std::string sealed = box_.seal(kPurpose, {}, plain);
    registry::wipe(plain);
    made.token = registry::to_base64(
        std::span(reinterpret_cast<const std::uint8_t*>(sealed.data()), sealed.size())
    );
    return made;
}

Session* SessionTokens::open(std::string_view token) {
    if (token.size() > kTokenBytesMax) {
        return nullptr;
    }
    auto& slot = slots_[std::hash<std::string_view>{}(token) % kSlotsCount];
    if (slot == nullptr || slot->token != token) {
        auto session = unseal(token);
        if (session == nullptr) {
            return nullptr;  // and leaves the slot to whom it belongs
        }
        slot = std::move(session);
    }
    return slot.get();
}

std::unique_ptr<Session> SessionTokens::unseal(std::string_view token) const {
    const auto sealed = registry::from_base64(token);
    if (!sealed) {
        return nullptr;
    }
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(sealed->data()), sealed->size());
    if (registry::to_base64(bytes) != token) {
        return nullptr;  // other bits behind the last byte: one token has one text
    }
    auto plain =
        box_.unseal(kPurpose, {}, {reinterpret_cast<const char*>(sealed->data()), sealed->size()});
    if (!plain) {
        return nullptr;
    }
    std::string_view rest = *plain;
    auto session = std::make_unique<Session>();
    session->token = token;
    session->key_id = take_until(rest, '\n');
    session->secret = take_until(rest, '\n');
    const std::string_view expires = take_until(rest, '\n');
    (void)std::from_chars(expires.data(), expires.data() + expires.size(), session->expires_s);
    const std::string_view role_arn = take_until(rest, '\n');
    session->account = account_of(role_arn);
    session->arn = fmt::format(
        "arn:aws:sts::{}:assumed-role/{}/{}",
        session->account,
        role_arn.substr(role_arn.rfind('/') + 1),
        rest
    );
    auto grant = std::make_shared<Grant>();
    grant->rights = rights_;
    grant->role_arn = role_arn;
    session->grant = std::move(grant);
    registry::wipe(*plain);
    return session;
}

}  // namespace hako::gateway::auth
