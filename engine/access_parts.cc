#include "engine/access_parts.h"

#include <unistd.h>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/config/tcp_address.h"
#include "engine/observe/engine_log.h"

namespace hako {

namespace {

namespace auth = gateway::auth;

std::expected<auth::LocalUsers, registry::Failure> users_of(
    std::string_view setting, const std::string& text
) {
    auto users = auth::LocalUsers::parse(text);
    if (!users) {
        return std::unexpected(registry::Failure{fmt::format("{}: {}", setting, users.error())});
    }
    return *std::move(users);
}

auth::Rights role_rights(std::string_view setting) {
    auth::Rights rights;
    if (setting != "none") {
        rights.add(auth::Right::kInvoke);
    }
    if (setting == "control") {
        rights.add(auth::Right::kControl);
    }
    return rights;
}

auth::AccessOptions options_of(const config::Settings& settings, const AccessInput& input) {
    return {
        .identity = {.account = settings.account, .region = settings.region},
        .http_auth = settings.http_auth == "required" ? auth::HttpAuth::kRequired
                     : settings.http_auth == "off"    ? auth::HttpAuth::kOff
                                                      : auth::HttpAuth::kRemote,
        .replay_check = settings.replay_check == "all"       ? auth::ReplayCheck::kAll
                        : settings.replay_check == "control" ? auth::ReplayCheck::kControl
                                                             : auth::ReplayCheck::kOff,
        .replay_entries_max = settings.replay_entries_max,
        .skew_s = settings.clock_skew_s,
        .organization = settings.organization,
        .engine_uid = ::geteuid(),
        .invoke_users = input.invoke_users,
        .control_users = input.control_users,
    };
}

bool is_open_to_others(const config::Settings& settings) {
    const auto addresses = config::read_tcp_addresses(settings.http);
    if (!addresses) {
        return false;
    }
    for (const config::TcpAddress& address : *addresses) {
        if (!address.is_loopback) {
            return true;
        }
    }
    return false;
}

}  // namespace

std::expected<AccessInput, registry::Failure> AccessInput::find(
    const config::Settings& settings, const std::string& keys_path
) {
    // A key that is missing beside what it sealed is lost, and a new one would hide that.
    const bool may_create = settings.secret_key_file == settings.state + "/secret.key" &&
                            ::access(keys_path.c_str(), F_OK) != 0;
    TRY_ASSIGN(
        registry::SecretBox secrets, registry::SecretBox::open(settings.secret_key_file, may_create)
    );
    TRY_ASSIGN(auth::LocalUsers invoke_users, users_of("invoke_users", settings.invoke_users));
    TRY_ASSIGN(auth::LocalUsers control_users, users_of("control_users", settings.control_users));
    return AccessInput{
        .secrets = std::move(secrets),
        .invoke_users = std::move(invoke_users),
        .control_users = std::move(control_users),
    };
}

AccessParts::AccessParts(
    const config::Settings& settings,
    const AccessInput& input,
    const std::string& keys_path,
    registry::BlockingRunner& runner
)
    : keys(input.secrets, keys_path),
      sessions(input.secrets, role_rights(settings.role_rights)),
      access(keys, sessions, runner, options_of(settings, input)),
      operations(
          keys,
          runner,
          {.account = settings.account, .region = settings.region},
          settings.access_keys_max
      ),
      session_lifetime_s_(settings.session_lifetime_s) {}

std::expected<std::unique_ptr<AccessParts>, registry::Failure> AccessParts::make(
    const config::Settings& settings,
    const AccessInput& input,
    const std::string& keys_path,
    registry::BlockingRunner& runner
) {
    std::unique_ptr<AccessParts> parts(new AccessParts(settings, input, keys_path, runner));
    TRY(parts->keys.load());
    return parts;
}

auth::SessionCredentials AccessParts::issue(const auth::SessionSubject& subject) const {
    return sessions.issue(subject, session_lifetime_s_, wall_us() / 1'000'000);
}

void AccessParts::log_state(const config::Settings& settings) const {
    const bool is_open = is_open_to_others(settings);
    if (settings.http_auth == "off") {
        observe::log_line(
            observe::Level::kWarning,
            "access",
            "http_auth=off: whoever reaches {} may do everything, unsigned",
            is_open ? settings.http : "HTTP on this machine"
        );
    } else if (is_open && keys.count() == 0) {
        observe::log_line(
            observe::Level::kWarning,
            "access",
            "no access keys: nobody can sign requests to {} yet (hako keys create)",
            settings.http
        );
    }
}

std::shared_ptr<const gateway::auth::FunctionPolicy> function_policy(
    const registry::Registry& functions, std::string_view name, std::string_view qualifier
) {
    const bool is_function = qualifier == "$LATEST";
    const registry::Policy* policy =
        functions.policy(name, is_function ? std::string_view() : qualifier);
    if (policy == nullptr) {
        return nullptr;
    }
    auto parsed = gateway::auth::FunctionPolicy::parse(registry::policy_text(*policy));
    if (!parsed) {
        observe::log_line(
            observe::Level::kError, "access", "policy of {}: {}", name, parsed.error()
        );
        return nullptr;
    }
    return std::make_shared<const gateway::auth::FunctionPolicy>(*std::move(parsed));
}

}  // namespace hako
