#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "engine/base/result.h"
#include "engine/registry/control_parts.h"
#include "engine/registry/digest.h"
#include "engine/registry/json_writer.h"

// CreateAlias, UpdateAlias, GetAlias, ListAliases, DeleteAlias.
namespace hako::registry {

namespace {

// Of one function. Lambda has a limit too and does not tell it.
constexpr std::size_t kAliasesMax = 10'000;

void write_alias(JsonWriter& json, const Alias& alias, const std::string& arn) {
    json.open_object();
    json.member("AliasArn", arn);
    json.member("Name", alias.name);
    json.member("FunctionVersion", version_text(alias.number));
    json.member("Description", alias.description);
    if (alias.routing) {
        json.key("RoutingConfig").open_object().key("AdditionalVersionWeights").open_object();
        json.key(version_text(alias.routing->number)).real(alias.routing->weight);
        json.close_object().close_object();
    }
    json.member("RevisionId", alias.revision_id);
    json.close_object();
}

ControlAnswer alias_answer(
    const ControlParts& parts, int status, const std::string& function_name, const Alias& alias
) {
    JsonWriter json;
    write_alias(json, alias, parts.arn(function_name, alias.name));
    return answer(status, json.take());
}

/// The version a request names, which must be there.
std::expected<std::uint64_t, ApiError> existing_version(
    const ControlParts& parts, const Function& function, std::string_view text
) {
    const auto number = version_number(text);
    if (!number || function.version(*number) == nullptr) {
        return std::unexpected(function_not_found(parts.registry.identity(), function.name(), text)
        );
    }
    return *number;
}

/// Enters `weights`, which may be empty, into the alias; its version is set already.
Status set_routing(
    const ControlParts& parts, const Function& function, const Value& weights, Alias& alias
) {
    const auto entries = weights.entries();
    alias.routing.reset();
    if (entries.empty()) {
        return {};
    }
    if (entries.size() > 1) {
        return std::unexpected(invalid_parameter(
            "Number of items in AdditionalVersionWeights cannot be greater than 1"
        ));
    }
    const auto& [text, weight] = entries.front();
    if (version_number(text) == alias.number) {
        return std::unexpected(invalid_parameter(fmt::format(
            "Invalid function version {0}. Function version {0} is already included in routing "
            "configuration.",
            text
        )));
    }
    if (alias.number == 0) {
        return std::unexpected(invalid_parameter(
            "$LATEST is not supported for an alias pointing to more than 1 version"
        ));
    }
    TRY_ASSIGN(const std::uint64_t number, existing_version(parts, function, text));
    alias.routing = AliasRouting{.number = number, .weight = weight.number()};
    return {};
}

/// Durable, then visible. Under the function's mark.
Status install(ControlParts& parts, const std::string& function_name, Alias alias) {
    alias.revision_id = make_uuid();
    TRY(parts.store_blocking([&] { return parts.store.put_alias(function_name, alias); }));
    parts.registry.put_alias(function_name, std::move(alias));
    parts.share_provisioned(function_name);
    return {};
}

Outcome create_alias(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.whole_function(call));
    const Function& function = *target.function;
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(target.name()));
    Alias alias;
    alias.name = call.request["Name"].text();
    if (function.alias(alias.name) != nullptr) {
        return std::unexpected(
            conflict(fmt::format("Alias already exists: {}", parts.arn(target.name(), alias.name)))
        );
    }
    if (function.aliases.size() >= kAliasesMax) {
        return std::unexpected(ApiError{
            .status = 400,
            .code = "AliasLimitExceededException",
            .message = fmt::format("A function cannot have more than {} aliases.", kAliasesMax),
        });
    }
    TRY_ASSIGN(
        alias.number, existing_version(parts, function, call.request["FunctionVersion"].text())
    );
    alias.description = call.request["Description"].text_or("");
    TRY(set_routing(
        parts, function, call.request["RoutingConfig"]["AdditionalVersionWeights"], alias
    ));
    const std::string name = alias.name;
    TRY(install(parts, target.name(), std::move(alias)));
    return alias_answer(parts, 201, target.name(), *function.alias(name));
}

Outcome update_alias(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.whole_function(call));
    const Function& function = *target.function;
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(target.name()));
    const std::string_view name = call.request["Name"].text();
    const Alias* before = function.alias(name);
    if (before == nullptr) {
        return std::unexpected(
            not_found(fmt::format("Alias not found: {}", parts.arn(target.name(), name)))
        );
    }
    TRY(check_revision(call.request, before->revision_id));
    Alias alias = *before;
    if (const Value version = call.request["FunctionVersion"]) {
        TRY_ASSIGN(alias.number, existing_version(parts, function, version.text()));
    }
    alias.description = call.request["Description"].text_or(alias.description);
    if (const Value routing = call.request["RoutingConfig"]) {
        TRY(set_routing(parts, function, routing["AdditionalVersionWeights"], alias));
    } else if (alias.routing && alias.routing->number == alias.number) {
        return std::unexpected(invalid_parameter(fmt::format(
            "Invalid function version {0}. Function version {0} is already included in routing "
            "configuration.",
            alias.number
        )));
    } else if (alias.routing && alias.number == 0) {
        return std::unexpected(invalid_parameter(
            "$LATEST is not supported for an alias pointing to more than 1 version"
        ));
    }
    TRY(install(parts, target.name(), std::move(alias)));
    return alias_answer(parts, 200, target.name(), *function.alias(name));
}

Outcome get_alias(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.whole_function(call));
    const std::string_view name = call.request["Name"].text();
    const Alias* alias = target.function->alias(name);
    if (alias == nullptr) {
        return std::unexpected(
            not_found(fmt::format("Cannot find alias arn: {}", parts.arn(target.name(), name)))
        );
    }
    return alias_answer(parts, 200, target.name(), *alias);
}

Outcome list_aliases(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.whole_function(call));
    const Value version = call.request["FunctionVersion"];
    constexpr std::uint64_t kNone = UINT64_MAX;
    const std::uint64_t number = version ? version_number(version.text()).value_or(kNone) : kNone;
    const auto& aliases = target.function->aliases;
    const Value marker = call.request["Marker"];
    auto next = marker ? aliases.upper_bound(marker.text()) : aliases.begin();
    JsonWriter json;
    json.open_object().key("Aliases").open_array();
    std::size_t left_count = page_items(call.request);
    std::string_view last;
    bool has_more = false;
    for (; next != aliases.end(); ++next) {
        const auto& [name, alias] = *next;
        if (version && alias.number != number &&
            !(alias.routing && alias.routing->number == number)) {
            continue;
        }
        if (left_count == 0) {
            has_more = true;
            break;
        }
        --left_count;
        last = name;
        write_alias(json, alias, parts.arn(target.name(), name));
    }
    json.close_array();
    if (has_more) {
        json.member("NextMarker", last);
    }
    json.close_object();
    return answer(200, json.take());
}

Outcome delete_alias(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.whole_function(call));
    const std::string function_name = target.name();
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(function_name));
    const std::string name(call.request["Name"].text());
    if (target.function->alias(name) == nullptr) {
        return no_content();  // as Lambda
    }
    TRY(parts.store_blocking([&] { return parts.store.remove_alias(function_name, name); }));
    parts.registry.remove_alias(function_name, name);
    parts.registry.put_policy(function_name, name, {});
    parts.share_provisioned(function_name);
    return no_content();
}

constexpr std::array kRoutes = {
    ControlRoute{"CreateAlias", create_alias},
    ControlRoute{"UpdateAlias", update_alias},
    ControlRoute{"GetAlias", get_alias},
    ControlRoute{"ListAliases", list_aliases},
    ControlRoute{"DeleteAlias", delete_alias},
};

}  // namespace

std::span<const ControlRoute> alias_routes() {
    return kRoutes;
}

}  // namespace hako::registry
