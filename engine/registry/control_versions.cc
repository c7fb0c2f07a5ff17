#include <array>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/base/result.h"
#include "engine/registry/configuration_json.h"
#include "engine/registry/digest.h"
#include "engine/registry/publishing.h"

// PublishVersion, ListVersionsByFunction, DeleteFunction of a version.
namespace hako::registry {

FunctionRef last_published(const Function& function) {
    return function.versions.empty() ? nullptr : function.versions.rbegin()->second;
}

FunctionVersion publication_of(const FunctionVersion& latest, std::uint64_t number) {
    FunctionVersion version = latest;
    version.id = 0;
    version.number = number;
    version.version = version_text(number);
    version.revision_id = make_uuid();
    version.provisioned_count = 0;
    version.provisioned_own = 0;
    version.provisioned_modified.clear();
    return version;
}

Outcome delete_version(ControlParts& parts, ControlCall& call, const FunctionName& name) {
    const Function* function = parts.registry.function(name.name);
    if (function == nullptr) {
        return std::unexpected(
            function_not_found(parts.registry.identity(), name.name, name.qualifier)
        );
    }
    const auto number = version_number(name.qualifier);
    if (!number) {
        return std::unexpected(invalid_parameter("Deletion of aliases is not currently supported.")
        );
    }
    if (*number == 0) {
        return std::unexpected(
            invalid_parameter("$LATEST version cannot be deleted without deleting the function.")
        );
    }
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(name.name));
    const FunctionRef version = function->version(*number);
    if (version == nullptr) {
        return no_content();  // as Lambda: it is not there any more
    }
    std::vector<std::string_view> names;
    for (const auto& [alias_name, alias] : function->aliases) {
        if (alias.number == *number || (alias.routing && alias.routing->number == *number)) {
            names.emplace_back(alias_name);
        }
    }
    if (!names.empty()) {
        return std::unexpected(conflict(fmt::format(
            "Unable to delete version because the following aliases reference it: [{}]",
            fmt::join(names, ", ")
        )));
    }
    TRY(parts.store_blocking([&] { return parts.store.remove_version(*version); }));
    (void)parts.registry.remove_version(name.name, *number);
    parts.registry.put_policy(name.name, version->version, {});
    parts.announce(version, nullptr);
    call.code_released = true;
    return no_content();
}

namespace {

Status check_code_sha256(const Request& request, const FunctionVersion& latest) {
    const std::string_view wanted = request["CodeSha256"].text_or(latest.code_sha256);
    if (wanted == latest.code_sha256) {
        return {};
    }
    return std::unexpected(invalid_parameter(fmt::format(
        "CodeSHA256 ({}) is different from current CodeSHA256 in $LATEST ({}). Please try again "
        "with the CodeSHA256 in $LATEST.",
        wanted,
        latest.code_sha256
    )));
}

/// Makes a version of $LATEST, which gets a new revision by it.
std::expected<FunctionRef, ApiError> publish(
    ControlParts& parts, const ControlTarget& target, const Value& description
) {
    FunctionVersion version = publication_of(*target.version, target.function->last_number + 1);
    if (description) {
        version.description = description.text();
    }
    auto latest = std::make_shared<FunctionVersion>(*target.version);
    latest->revision_id = make_uuid();
    TRY(parts.store_blocking([&]() -> std::expected<void, Failure> {
        TRY_ASSIGN(
            const Store::Ids ids,
            parts.store.write({.published = &version, .latest_revision = &latest->revision_id})
        );
        version.id = ids.published;
        return {};
    }));
    auto made = std::make_shared<const FunctionVersion>(std::move(version));
    parts.announce(parts.registry.put(latest), latest);
    (void)parts.registry.put(made);
    parts.announce(nullptr, made);
    return made;
}

Outcome publish_version(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.whole_function(call));
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(target.name()));
    TRY(check_revision(call.request, target.version->revision_id));
    TRY(check_code_sha256(call.request, *target.version));
    FunctionRef shown = last_published(*target.function);
    if (shown == nullptr || !is_same_content(*target.version, *shown)) {
        TRY_ASSIGN(shown, publish(parts, target, call.request["Description"]));
    }
    JsonWriter json;
    write_configuration(json, *shown, parts.registry.identity(), {.qualifier = shown->version});
    return answer(201, json.take());
}

Outcome list_versions(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.whole_function(call, NameShape::kNamespaced));
    const std::size_t items_count = page_items(call.request);
    const std::string_view marker = call.request["Marker"].text_or("");
    const auto after = version_number(marker);
    JsonWriter json;
    json.open_object().key("Versions").open_array();
    std::size_t written_count = 0;
    std::string next_marker;
    const auto write = [&](const FunctionVersion& version) {
        if (written_count == items_count) {
            return false;
        }
        ++written_count;
        next_marker = version.version;
        write_configuration(
            json, version, parts.registry.identity(), {.qualifier = version.version}
        );
        return true;
    };
    bool is_complete = after || write(*target.function->latest);
    auto next = target.function->versions.upper_bound(after.value_or(0));
    while (is_complete && next != target.function->versions.end()) {
        is_complete = write(*next->second);
        if (is_complete) {
            ++next;
        }
    }
    json.close_array();
    if (!is_complete) {
        json.member("NextMarker", next_marker);
    }
    json.close_object();
    return answer(200, json.take());
}

constexpr std::array kRoutes = {
    ControlRoute{"PublishVersion", publish_version},
    ControlRoute{"ListVersionsByFunction", list_versions},
};

}  // namespace

std::span<const ControlRoute> version_routes() {
    return kRoutes;
}

}  // namespace hako::registry
