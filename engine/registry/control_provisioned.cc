#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/registry/control_parts.h"
#include "engine/registry/digest.h"
#include "engine/registry/json_writer.h"

// Put, Get, Delete and ListProvisionedConcurrencyConfig(s): instances that are kept ready for a
// version or an alias.
namespace hako::registry {

namespace {

/// What is configured on a version or on an alias.
struct Config {
    std::uint32_t count = 0;
    std::string_view modified;
};

Config config_of(const ControlTarget& target) {
    return target.alias != nullptr
               ? Config{target.alias->provisioned_count, target.alias->provisioned_modified}
               : Config{target.version->provisioned_own, target.version->provisioned_modified};
}

/// How many of them are ready: of an alias with routing, of both its versions.
std::uint32_t ready_of(const ControlParts& parts, const ControlTarget& target) {
    if (!parts.options.provisioned_ready) {
        return 0;
    }
    std::uint32_t ready_count = parts.options.provisioned_ready(*target.version);
    if (target.alias != nullptr && target.alias->routing) {
        ready_count +=
            parts.options.provisioned_ready(*target.function->version(target.alias->routing->number)
            );
    }
    return std::min(ready_count, config_of(target).count);
}

void write_config(JsonWriter& json, const Config& config, std::uint32_t ready_count) {
    json.member("RequestedProvisionedConcurrentExecutions", std::uint64_t{config.count});
    json.member("AvailableProvisionedConcurrentExecutions", std::uint64_t{ready_count});
    json.member("AllocatedProvisionedConcurrentExecutions", std::uint64_t{ready_count});
    json.member("Status", ready_count == config.count ? "READY" : "IN_PROGRESS");
    json.member("LastModified", config.modified);
}

Outcome config_answer(int status, const Config& config, std::uint32_t ready_count) {
    JsonWriter json;
    json.open_object();
    write_config(json, config, ready_count);
    json.close_object();
    return answer(status, json.take());
}

/// The version or alias a request names.
std::expected<ControlTarget, ApiError> subject(const ControlParts& parts, const ControlCall& call) {
    TRY_ASSIGN(const FunctionName name, parts.name_of(call, NameShape::kFunctionName));
    const Function* function = parts.registry.function(name.name);
    if (function != nullptr && !version_number(name.qualifier) && !name.qualifier.empty() &&
        function->alias(name.qualifier) == nullptr) {
        return std::unexpected(not_found(
            fmt::format("Cannot find alias arn: {}", parts.arn(name.name, name.qualifier))
        ));
    }
    TRY_ASSIGN(ControlTarget target, parts.target(call, NameShape::kFunctionName));
    // Lambda has it for published versions only. hako's own clients may have $LATEST ready, too.
    if (target.alias == nullptr && target.version->number == 0 && !call.is_native) {
        return std::unexpected(invalid_parameter(
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
        ));
    }
    return target;
}

ApiError no_config() {
    return {
        .status = 404,
        .code = "ProvisionedConcurrencyConfigNotFoundException",
        .message = "No Provisioned Concurrency Config found for this function",
    };
}

/// A version has instances of its own or of its aliases, not both.
Status check_owner(const ControlTarget& target) {
    if (target.alias != nullptr) {
        if (target.version->provisioned_own > 0) {
            return std::unexpected(conflict(
                "Alias can't be used for Provisioned Concurrency configuration on an already "
                "Provisioned version"
            ));
        }
        return {};
    }
    const bool is_pointed_at =
        std::ranges::any_of(target.function->aliases, [&](const auto& entry) {
            return entry.second.provisioned_of(target.version->number) > 0;
        });
    if (is_pointed_at) {
        return std::unexpected(conflict("Version is pointed by a Provisioned Concurrency alias"));
    }
    return {};
}

/// The function's configurations together stay within what is reserved for it, or what nobody has.
Status check_count(const ControlParts& parts, const ControlTarget& target, std::uint32_t count) {
    std::uint64_t total = count;
    for (const auto& [number, version] : target.function->versions) {
        const bool is_this = target.alias == nullptr && number == target.version->number;
        total += is_this ? 0 : version->provisioned_own;
    }
    for (const auto& [name, alias] : target.function->aliases) {
        total += &alias == target.alias ? 0 : alias.provisioned_count;
    }
    if (const auto reserved = target.version->common->reserved_concurrency) {
        if (total > *reserved) {
            return std::unexpected(invalid_parameter(
                "Requested Provisioned Concurrency should not be greater than the "
                "reservedConcurrentExecution for function"
            ));
        }
        return {};
    }
    const std::uint64_t limit = parts.options.concurrency_max;
    const std::uint64_t taken = parts.registry.reserved_total() + parts.reserved_pending;
    const std::uint64_t unreserved = limit - std::min(taken, limit);
    if (total > unreserved) {
        return std::unexpected(invalid_parameter(fmt::format(
            "Specified ConcurrentExecutions for function is greater than account's unreserved "
            "concurrency [{}].",
            unreserved
        )));
    }
    return {};
}

/// Durable, then visible; 0 clears. Under the function's mark.
Status change(ControlParts& parts, const ControlTarget& target, std::uint32_t count) {
    const std::string modified = count == 0 ? std::string() : lambda_time(wall_us());
    if (target.alias != nullptr) {
        Alias alias = *target.alias;
        alias.provisioned_count = count;
        alias.provisioned_modified = modified;
        TRY(parts.store_blocking([&] { return parts.store.put_alias(target.name(), alias); }));
        parts.registry.put_alias(target.name(), std::move(alias));
    } else {
        auto version = std::make_shared<FunctionVersion>(*target.version);
        version->provisioned_own = count;
        version->provisioned_modified = modified;
        TRY(parts.store_blocking([&] {
            return parts.store.set_provisioned(version->id, count, modified);
        }));
        (void)parts.registry.put(version);
    }
    parts.share_provisioned(target.name());
    return {};
}

Outcome put_provisioned(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(ControlTarget target, subject(parts, call));
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(target.name()));
    const auto count = static_cast<std::uint32_t>(
        std::min<std::int64_t>(call.request["ProvisionedConcurrentExecutions"].integer(), INT32_MAX)
    );
    TRY(check_owner(target));
    TRY(check_count(parts, target, count));
    TRY(change(parts, target, count));
    TRY_ASSIGN(target, subject(parts, call));
    return config_answer(202, config_of(target), 0);
}

Outcome get_provisioned(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, subject(parts, call));
    const Config config = config_of(target);
    if (config.count == 0) {
        return std::unexpected(no_config());
    }
    return config_answer(200, config, ready_of(parts, target));
}

Outcome delete_provisioned(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, subject(parts, call));
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(target.name()));
    if (config_of(target).count != 0) {
        TRY(change(parts, target, 0));
    }
    return no_content();
}

/// Everything of a function that has a configuration, by qualifier: aliases, then versions.
std::vector<ControlTarget> configured(const Function& function) {
    std::vector<ControlTarget> targets;
    for (const auto& [name, alias] : function.aliases) {
        if (alias.provisioned_count > 0) {
            targets.push_back(
                {.function = &function,
                 .version = function.version(alias.number),
                 .alias = &alias,
                 .qualifier = name}
            );
        }
    }
    if (function.latest->provisioned_own > 0) {
        targets.push_back(
            {.function = &function,
             .version = function.latest,
             .qualifier = function.latest->version}
        );
    }
    for (const auto& [number, version] : function.versions) {
        if (version->provisioned_own > 0) {
            targets.push_back(
                {.function = &function, .version = version, .qualifier = version->version}
            );
        }
    }
    std::ranges::sort(targets, {}, &ControlTarget::qualifier);
    return targets;
}

Outcome list_provisioned(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.whole_function(call));
    const std::vector<ControlTarget> targets = configured(*target.function);
    const std::string_view marker = call.request["Marker"].text_or("");
    auto next = std::ranges::upper_bound(targets, marker, {}, &ControlTarget::qualifier);
    JsonWriter json;
    json.open_object().key("ProvisionedConcurrencyConfigs").open_array();
    std::size_t left_count = page_items(call.request);
    std::string_view last;
    for (; next != targets.end() && left_count > 0; ++next, --left_count) {
        json.open_object();
        json.member("FunctionArn", parts.arn(target.name(), next->qualifier));
        write_config(json, config_of(*next), ready_of(parts, *next));
        json.close_object();
        last = next->qualifier;
    }
    json.close_array();
    if (next != targets.end()) {
        json.member("NextMarker", last);
    }
    json.close_object();
    return answer(200, json.take());
}

constexpr std::array kRoutes = {
    ControlRoute{"PutProvisionedConcurrencyConfig", put_provisioned},
    ControlRoute{"GetProvisionedConcurrencyConfig", get_provisioned},
    ControlRoute{"DeleteProvisionedConcurrencyConfig", delete_provisioned},
    ControlRoute{"ListProvisionedConcurrencyConfigs", list_provisioned},
};

}  // namespace

std::span<const ControlRoute> provisioned_routes() {
    return kRoutes;
}

}  // namespace hako::registry
