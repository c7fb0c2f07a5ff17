#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "engine/base/result.h"
#include "engine/registry/control_parts.h"
#include "engine/registry/json_writer.h"

// TagResource, UntagResource, ListTags.
namespace hako::registry {

namespace {

constexpr std::size_t kTagsCountMax = 50;

/// The function whose ARN was given.
std::expected<ControlTarget, ApiError> tagged(const ControlParts& parts, const ControlCall& call) {
    const std::string_view arn = call.request["Resource"].text();
    if (arn.find(":function:") == std::string_view::npos) {
        return std::unexpected(
            invalid_parameter(fmt::format("hako has tags of functions only: {} is none.", arn))
        );
    }
    TRY_ASSIGN(
        const FunctionName name,
        resolve_function_name(arn, {}, NameShape::kFunctionName, parts.registry.identity())
    );
    if (!name.qualifier.empty()) {
        return std::unexpected(invalid_parameter(
            "Tags on function aliases and versions are not supported. Please specify a function "
            "ARN."
        ));
    }
    const Function* function = parts.registry.function(name.name);
    if (function == nullptr) {
        return std::unexpected(function_not_found(parts.registry.identity(), name.name, {}));
    }
    return ControlTarget{.function = function, .version = function->latest};
}

/// Durable, then visible. Under the function's mark.
Outcome install(ControlParts& parts, const ControlTarget& target, StringPairs tags) {
    TRY(parts.store_blocking([&] { return parts.store.set_tags(target.name(), tags); }));
    target.version->common->tags = std::move(tags);
    return no_content();
}

Outcome tag_resource(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, tagged(parts, call));
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(target.name()));
    StringPairs tags = target.version->common->tags;
    for (auto& [key, value] : call.request["Tags"].pairs()) {
        const auto known =
            std::ranges::find(tags, key, &std::pair<std::string, std::string>::first);
        if (known == tags.end()) {
            tags.emplace_back(std::move(key), std::move(value));
        } else {
            known->second = std::move(value);
        }
    }
    if (tags.size() > kTagsCountMax) {
        return std::unexpected(invalid_parameter("Number of tags exceeds resource tag limit."));
    }
    return install(parts, target, std::move(tags));
}

Outcome untag_resource(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, tagged(parts, call));
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(target.name()));
    StringPairs tags = target.version->common->tags;
    for (const Value& key : call.request["TagKeys"].items()) {
        std::erase_if(tags, [&key](const auto& tag) { return tag.first == key.text(); });
    }
    return install(parts, target, std::move(tags));
}

Outcome list_tags(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, tagged(parts, call));
    JsonWriter json;
    json.open_object().key("Tags").open_object();
    for (const auto& [key, value] : target.version->common->tags) {
        json.member(key, value);
    }
    json.close_object().close_object();
    return answer(200, json.take());
}

constexpr std::array kRoutes = {
    ControlRoute{"TagResource", tag_resource},
    ControlRoute{"UntagResource", untag_resource},
    ControlRoute{"ListTags", list_tags},
};

}  // namespace

std::span<const ControlRoute> tag_routes() {
    return kRoutes;
}

}  // namespace hako::registry
