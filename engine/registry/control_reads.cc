#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "engine/base/result.h"
#include "engine/registry/configuration_json.h"
#include "engine/registry/control_parts.h"

// GetFunction, GetFunctionConfiguration, ListFunctions, GetAccountSettings.
namespace hako::registry {

namespace {

constexpr std::uint64_t kCodeBytesTotalMax = 80530636800;

std::string code_location(const ControlParts& parts, const FunctionVersion& version) {
    return parts.options.code_location ? parts.options.code_location(version)
                                       : "file://" + parts.code_store.zip_path(version.code_id);
}

Outcome get_function(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.target(call, NameShape::kNamespaced));
    const FunctionCommon& common = *target.version->common;
    JsonWriter json;
    json.open_object().key("Configuration");
    write_configuration(
        json, *target.version, parts.registry.identity(), {.qualifier = target.qualifier}
    );
    json.key("Code")
        .open_object()
        .member("RepositoryType", "S3")
        .member("Location", code_location(parts, *target.version))
        .close_object();
    if (!common.tags.empty()) {
        json.key("Tags").open_object();
        for (const auto& [key, value] : common.tags) {
            json.member(key, value);
        }
        json.close_object();
    }
    if (common.reserved_concurrency) {
        json.key("Concurrency")
            .open_object()
            .member("ReservedConcurrentExecutions", std::uint64_t{*common.reserved_concurrency})
            .close_object();
    }
    json.close_object();
    return answer(200, json.take());
}

Outcome get_configuration(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget target, parts.target(call, NameShape::kNamespaced));
    JsonWriter json;
    write_configuration(
        json, *target.version, parts.registry.identity(), {.qualifier = target.qualifier}
    );
    return answer(200, json.take());
}

/// One page of `ListFunctions`. A marker is the last name shown, with FunctionVersion=ALL the last
/// name and version.
class FunctionPage {
public:
    FunctionPage(const ControlParts& parts, const Request& request)
        : parts_(parts), items_left_count_(page_items(request)) {
        json_.open_object().key("Functions").open_array();
    }

    /// False: the page is full.
    bool write(const FunctionVersion& version, std::string_view qualifier) {
        if (items_left_count_ == 0) {
            return false;
        }
        --items_left_count_;
        marker_ = qualifier.empty() ? version.name : fmt::format("{}:{}", version.name, qualifier);
        write_configuration(json_, version, parts_.registry.identity(), {.qualifier = qualifier});
        return true;
    }
    bool write_versions_after(const Function& function, std::uint64_t number) {
        auto next = function.versions.upper_bound(number);
        for (; next != function.versions.end(); ++next) {
            if (!write(*next->second, next->second->version)) {
                return false;
            }
        }
        return true;
    }

    [[nodiscard]] std::string finish(bool is_complete) {
        json_.close_array();
        if (!is_complete) {
            json_.member("NextMarker", marker_);
        }
        json_.close_object();
        return json_.take();
    }

private:
    const ControlParts& parts_;
    std::size_t items_left_count_;
    JsonWriter json_;
    std::string marker_;
};

bool write_all_versions(const ControlParts& parts, std::string_view marker, FunctionPage& page) {
    const std::size_t colon = marker.find(':');
    const std::string_view name = marker.substr(0, colon);
    if (colon != std::string_view::npos) {
        const auto number = version_number(marker.substr(colon + 1));
        const Function* begun = parts.registry.function(name);
        if (number && begun != nullptr && !page.write_versions_after(*begun, *number)) {
            return false;
        }
    }
    // A page has at most so many functions.
    for (const Function* function : parts.registry.list(name, kPageItems + 1)) {
        if (!page.write(*function->latest, function->latest->version) ||
            !page.write_versions_after(*function, 0)) {
            return false;
        }
    }
    return true;
}

Outcome list_functions(ControlParts& parts, ControlCall& call) {
    const std::string_view marker = call.request["Marker"].text_or("");
    FunctionPage page(parts, call.request);
    if (call.request["FunctionVersion"]) {
        const bool is_complete = write_all_versions(parts, marker, page);
        return answer(200, page.finish(is_complete));
    }
    const auto functions = parts.registry.list(marker, page_items(call.request) + 1);
    const bool is_complete = std::ranges::all_of(functions, [&page](const Function* function) {
        return page.write(*function->latest, {});
    });
    return answer(200, page.finish(is_complete));
}

Outcome get_account_settings(ControlParts& parts, ControlCall&) {
    const std::uint64_t limit = parts.options.concurrency_max;
    const std::uint64_t reserved = std::min(parts.registry.reserved_total(), limit);
    JsonWriter json;
    json.open_object().key("AccountLimit").open_object();
    json.member("TotalCodeSize", kCodeBytesTotalMax);
    json.member("CodeSizeUnzipped", kUnzippedBytesMax);
    json.member("CodeSizeZipped", kZipBytesMax);
    json.member("ConcurrentExecutions", limit);
    json.member("UnreservedConcurrentExecutions", limit - reserved);
    json.close_object().key("AccountUsage").open_object();
    json.member("TotalCodeSize", parts.registry.code_bytes_total());
    json.member("FunctionCount", std::uint64_t{parts.registry.functions_count()});
    json.close_object().close_object();
    return answer(200, json.take());
}

constexpr std::array kRoutes = {
    ControlRoute{"GetFunction", get_function},
    ControlRoute{"GetFunctionConfiguration", get_configuration},
    ControlRoute{"ListFunctions", list_functions},
    ControlRoute{"GetAccountSettings", get_account_settings},
};

}  // namespace

std::span<const ControlRoute> read_routes() {
    return kRoutes;
}

}  // namespace hako::registry
