#include "engine/gateway/auth/key_operations.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <simdjson.h>

#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/gateway/auth/session.h"
#include "engine/observe/engine_log.h"
#include "engine/registry/digest.h"
#include "engine/registry/json_reader.h"
#include "engine/registry/json_writer.h"

namespace hako::gateway::auth {

namespace {

using registry::ApiError;
using registry::ControlAnswer;
using simdjson::dom::element;

constexpr std::array<std::string_view, 5> kOperations = {
    "CreateAccessKey",
    "ListAccessKeys",
    "UpdateAccessKey",
    "RotateAccessKey",
    "DeleteAccessKey",
};
constexpr std::size_t kUserBytesMax = 64;
constexpr std::size_t kPatternsMax = 32;
constexpr std::size_t kPatternBytesMax = 64;
constexpr std::int64_t kSecondsMax = 10LL * 366 * 86'400;
// A key that has ended is listed for so long.
constexpr std::int64_t kKeepEndedSeconds = 30LL * 86'400;

std::unexpected<ApiError> invalid(std::string message) {
    return std::unexpected(registry::invalid_parameter(std::move(message)));
}

bool is_user_name(std::string_view name) {
    static constexpr std::string_view kOthers = "_+=,.@-";
    return !name.empty() && name.size() <= kUserBytesMax && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               kOthers.find(c) != std::string_view::npos;
    });
}

bool is_pattern(std::string_view pattern) {
    static constexpr std::string_view kOthers = "_-*?";
    return !pattern.empty() && pattern.size() <= kPatternBytesMax &&
           std::ranges::all_of(pattern, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      kOthers.find(c) != std::string_view::npos;
           });
}

bool is_account(std::string_view text) {
    return text.size() == 12 &&
           std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::string time_text(std::int64_t unix_s) {
    return registry::lambda_time(unix_s * 1'000'000);
}

std::string_view status_of(const AccessKey& key, std::int64_t now_s) {
    if (key.expires_s != 0 && key.expires_s <= now_s) {
        return "Expired";
    }
    return key.is_enabled ? "Active" : "Inactive";
}

/// One key as answers show it; the secret only right after it was made.
void write_key(
    registry::JsonWriter& json, const AccessKey& key, std::int64_t now_s, bool with_secret
) {
    json.open_object()
        .member("UserName", key.user)
        .member("AccessKeyId", key.id)
        .member("Status", status_of(key, now_s))
        .member("Arn", key.arn);
    if (with_secret) {
        json.member("SecretAccessKey", key.secret);
    }
    json.key("Rights").open_array();
    for (const std::string_view name : key.grant->rights.names()) {
        json.value(name);
    }
    json.close_array().key("Functions").open_array();
    for (const std::string& pattern : key.grant->functions) {
        json.value(pattern);
    }
    json.close_array().member("CreateDate", time_text(key.created_s));
    if (key.expires_s != 0) {
        json.member("ExpireDate", time_text(key.expires_s));
    }
    if (key.used_s != 0) {
        json.member("LastUsedDate", time_text(key.used_s));
    }
    json.close_object();
}

ControlAnswer key_answer(int status, const AccessKey& key, std::int64_t now_s, bool with_secret) {
    registry::JsonWriter json;
    json.open_object().key("AccessKey");
    write_key(json, key, now_s, with_secret);
    json.close_object();
    return {.status = status, .error_code = {}, .json = json.take()};
}

}  // namespace

struct KeyOperations::Request {
    std::string user;
    std::string account;
    std::string key_id;
    std::optional<bool> is_active;
    std::optional<Rights> rights;
    std::optional<std::vector<std::string>> functions;
    std::optional<std::int64_t> seconds;

    using Read = std::optional<std::string>;  // what is wrong

    Read read(std::string_view name, element value) {
        if (name == "UserName") {
            return read_text(
                value, user, is_user_name, "1 to 64 letters, digits or any of _+=,.@-"
            );
        }
        if (name == "Account") {
            return read_text(value, account, is_account, "twelve digits");
        }
        if (name == "AccessKeyId") {
            const auto any = [](std::string_view text) { return text.size() <= 128; };
            return read_text(value, key_id, any, "a key's id");
        }
        if (name == "Status") {
            std::string status;
            const auto known = [](std::string_view text) {
                return text == "Active" || text == "Inactive";
            };
            auto fault = read_text(value, status, known, "Active or Inactive");
            is_active = status == "Active";
            return fault;
        }
        if (name == "Rights") {
            return read_rights(value);
        }
        if (name == "Functions") {
            return read_functions(value);
        }
        if (name == "ExpiresInSeconds" || name == "GraceSeconds") {
            std::int64_t number = 0;
            if (value.get(number) != simdjson::SUCCESS || number < 0 || number > kSecondsMax) {
                return fmt::format("a number of seconds, 0 to {}", kSecondsMax);
            }
            seconds = number;
            return std::nullopt;
        }
        return "no member of this operation";
    }

private:
    template <typename Check>
    static Read read_text(
        element value, std::string& into, const Check& is_right, std::string_view form
    ) {
        std::string_view text;
        if (value.get(text) != simdjson::SUCCESS || !is_right(text)) {
            return std::string(form);
        }
        into = text;
        return std::nullopt;
    }

    Read read_rights(element value) {
        simdjson::dom::array items;
        if (value.get(items) != simdjson::SUCCESS) {
            return "a list of invoke, control, admin";
        }
        Rights found;
        for (const element item : items) {
            std::string_view name;
            const auto right =
                item.get(name) == simdjson::SUCCESS ? right_named(name) : std::nullopt;
            if (!right) {
                return "a list of invoke, control, admin";
            }
            found.add(*right);
        }
        rights = found;
        return std::nullopt;
    }

    Read read_functions(element value) {
        simdjson::dom::array items;
        if (value.get(items) != simdjson::SUCCESS || items.size() > kPatternsMax) {
            return fmt::format("a list of at most {} patterns of function names", kPatternsMax);
        }
        std::vector<std::string> found;
        for (const element item : items) {
            std::string_view pattern;
            if (item.get(pattern) != simdjson::SUCCESS || !is_pattern(pattern)) {
                return fmt::format(
                    "patterns of 1 to {} letters, digits or any of -_*?", kPatternBytesMax
                );
            }
            found.emplace_back(pattern);
        }
        functions = std::move(found);
        return std::nullopt;
    }
};

KeyOperations::KeyOperations(
    KeyStore& keys,
    registry::BlockingRunner& runner,
    registry::Identity identity,
    std::uint32_t keys_max
)
    : clock_s([] { return wall_us() / 1'000'000; }),
      keys_(keys),
      runner_(runner),
      identity_(std::move(identity)),
      keys_max_(keys_max) {}

bool KeyOperations::knows(std::string_view operation) noexcept {
    return std::ranges::find(kOperations, operation) != kOperations.end();
}

ControlAnswer KeyOperations::handle(
    const http::Caller& caller, std::string_view operation, std::string_view json
) {
    const auto run = [&]() -> Outcome {
        registry::JsonDocument document;
        const auto members = document.parse(json);
        if (!members) {
            return std::unexpected(registry::bad_json(members.error()));
        }
        Request request;
        for (const auto [name, value] : *members) {
            if (auto fault = request.read(name, value)) {
                return invalid(fmt::format("{}: {}", name, *fault));
            }
        }
        if (operation == "ListAccessKeys") {
            return list(request);
        }
        // Each change writes the whole file: one at a time.
        if (is_busy_) {
            return std::unexpected(registry::conflict("Another change of access keys is under way.")
            );
        }
        is_busy_ = true;
        Outcome outcome = operation == "CreateAccessKey"   ? create(request)
                          : operation == "UpdateAccessKey" ? update(request)
                          : operation == "RotateAccessKey" ? rotate(request)
                                                           : remove(request);
        is_busy_ = false;
        if (outcome) {
            observe::log_line(
                observe::Level::kInfo,
                "keys",
                "changed operation={} key={} user={} by={}",
                operation,
                request.key_id,
                request.user,
                caller.arn
            );
        }
        return outcome;
    };
    Outcome outcome = run();
    if (outcome) {
        return std::move(*outcome);
    }
    const ApiError& error = outcome.error();
    return {.status = error.status, .error_code = error.code, .json = error.to_json()};
}

KeyOperations::Outcome KeyOperations::create(Request& request) {
    if (request.user.empty()) {
        return invalid("UserName: whose key is it?");
    }
    if (!request.key_id.empty() || request.is_active) {
        return invalid("CreateAccessKey takes no AccessKeyId and no Status");
    }
    drop_ended();
    if (keys_.count() >= keys_max_) {
        return std::unexpected(ApiError{
            .status = 409,
            .code = "LimitExceededException",
            .message = fmt::format("Cannot exceed quota for access keys: {}", keys_max_),
        });
    }
    const std::int64_t now_s = clock_s();
    AccessKey key;
    key.id = make_key_id("AKHK");
    key.secret = make_secret();
    key.user = request.user;
    key.account = request.account.empty() ? identity_.account : request.account;
    key.arn = fmt::format("arn:aws:iam::{}:user/{}", key.account, key.user);
    auto grant = std::make_shared<Grant>();
    grant->rights = request.rights.value_or(Rights(Right::kInvoke));
    grant->functions = request.functions.value_or(std::vector<std::string>());
    key.grant = std::move(grant);
    key.created_s = now_s;
    const std::int64_t life_s = request.seconds.value_or(0);
    key.expires_s = life_s == 0 ? 0 : now_s + life_s;
    keys_.put(key);
    if (auto saved = save(); !saved) {
        keys_.remove(key.id);
        return std::unexpected(std::move(saved.error()));
    }
    request.key_id = key.id;
    ControlAnswer answer = key_answer(201, key, now_s, true);
    registry::wipe(key.secret);
    return answer;
}

KeyOperations::Outcome KeyOperations::list(const Request& request) {
    registry::JsonWriter json;
    json.open_object().key("AccessKeys").open_array();
    for (const AccessKey* key : keys_.list()) {
        if (request.user.empty() || request.user == key->user) {
            write_key(json, *key, clock_s(), false);
        }
    }
    json.close_array().close_object();
    return ControlAnswer{.status = 200, .error_code = {}, .json = json.take()};
}

std::expected<AccessKey, ApiError> KeyOperations::existing(const Request& request) {
    if (request.key_id.empty()) {
        return invalid("AccessKeyId: which key?");
    }
    const KeyStore::Entry* entry = keys_.find(request.key_id);
    if (entry == nullptr) {
        return std::unexpected(registry::not_found(
            fmt::format("The Access Key with id {} cannot be found.", request.key_id)
        ));
    }
    return entry->key;
}

KeyOperations::Outcome KeyOperations::update(const Request& request) {
    TRY_ASSIGN(const AccessKey before, existing(request));
    AccessKey after = before;
    after.is_enabled = request.is_active.value_or(before.is_enabled);
    if (request.rights || request.functions) {
        auto grant = std::make_shared<Grant>(*before.grant);
        grant->rights = request.rights.value_or(grant->rights);
        grant->functions = request.functions.value_or(grant->functions);
        after.grant = std::move(grant);
    }
    // At once: what a key may no longer do it may not do while the disk is slow.
    keys_.put(after);
    if (auto saved = save(); !saved) {
        keys_.put(before);
        return std::unexpected(std::move(saved.error()));
    }
    return key_answer(200, after, clock_s(), false);
}

KeyOperations::Outcome KeyOperations::rotate(Request& request) {
    TRY_ASSIGN(const AccessKey before, existing(request));
    const std::int64_t now_s = clock_s();
    drop_ended();
    AccessKey next = before;
    next.id = make_key_id("AKHK");
    next.secret = make_secret();
    next.created_s = now_s;
    next.used_s = 0;
    AccessKey old = before;
    const std::int64_t end_s = now_s + request.seconds.value_or(0);
    old.expires_s = old.expires_s == 0 ? end_s : std::min(old.expires_s, end_s);
    keys_.put(next);
    keys_.put(old);
    if (auto saved = save(); !saved) {
        keys_.remove(next.id);
        keys_.put(before);
        return std::unexpected(std::move(saved.error()));
    }
    ControlAnswer answer = key_answer(201, next, now_s, true);
    registry::wipe(next.secret);
    return answer;
}

KeyOperations::Outcome KeyOperations::remove(const Request& request) {
    TRY_ASSIGN(const AccessKey before, existing(request));
    keys_.remove(request.key_id);
    if (auto saved = save(); !saved) {
        keys_.put(before);
        return std::unexpected(std::move(saved.error()));
    }
    return ControlAnswer{.status = 204, .error_code = {}, .json = {}};
}

std::expected<void, ApiError> KeyOperations::save() {
    const std::string sealed = keys_.sealed();
    const std::string path = keys_.path();
    std::expected<void, registry::Failure> saved;
    runner_.run([&saved, &path, &sealed] { saved = KeyStore::save(path, sealed); });
    if (!saved) {
        observe::log_line(observe::Level::kError, "keys", "{}", saved.error().text);
        return std::unexpected(registry::service_error("The change could not be made durable."));
    }
    return {};
}

void KeyOperations::drop_ended() {
    const std::int64_t now_s = clock_s();
    std::vector<std::string> ended;
    for (const AccessKey* key : keys_.list()) {
        if (key->expires_s != 0 && key->expires_s < now_s - kKeepEndedSeconds) {
            ended.push_back(key->id);
        }
    }
    for (const std::string& id : ended) {
        keys_.remove(id);
    }
}

}  // namespace hako::gateway::auth
