#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "engine/base/result.h"
#include "engine/registry/configuration_json.h"
#include "engine/registry/control_call.h"

namespace hako::registry {

namespace {

constexpr std::int64_t kPageItems = 50;
constexpr std::uint64_t kCodeBytesTotalMax = 80530636800;

ControlAnswer ok(JsonWriter& json) {
    return {.status = 200, .error_code = {}, .json = json.take()};
}

}  // namespace

ControlService::Outcome ControlService::get_function(Call& call) {
    TRY_ASSIGN(const FunctionName name, name_of(call, NameShape::kNamespaced));
    TRY_ASSIGN(const FunctionRef function, target(name));
    JsonWriter json;
    json.open_object().key("Configuration");
    write_configuration(
        json, *function, registry_.identity(), {.qualified_arn = !name.qualifier.empty()}
    );
    json.key("Code")
        .open_object()
        .member("RepositoryType", "S3")
        .member("Location", "file://" + code_store_.package_path(function->code_id))
        .close_object();
    if (!function->tags.empty()) {
        json.key("Tags").open_object();
        for (const auto& [key, value] : function->tags) {
            json.member(key, value);
        }
        json.close_object();
    }
    if (function->reserved_concurrency) {
        json.key("Concurrency")
            .open_object()
            .member("ReservedConcurrentExecutions", std::uint64_t{*function->reserved_concurrency})
            .close_object();
    }
    json.close_object();
    return ok(json);
}

ControlService::Outcome ControlService::get_configuration(Call& call) {
    TRY_ASSIGN(const FunctionName name, name_of(call, NameShape::kNamespaced));
    TRY_ASSIGN(const FunctionRef function, target(name));
    JsonWriter json;
    write_configuration(
        json, *function, registry_.identity(), {.qualified_arn = !name.qualifier.empty()}
    );
    return ok(json);
}

ControlService::Outcome ControlService::list_functions(Call& call) {
    // Lambda takes up to 10000 and still gives 50 at a time.
    const auto items_count = static_cast<std::size_t>(
        std::min(call.request["MaxItems"].integer_or(kPageItems), kPageItems)
    );
    auto page = registry_.list(call.request["Marker"].text_or(""), items_count + 1);
    const bool has_more = page.size() > items_count;
    page.resize(std::min(page.size(), items_count));
    JsonWriter json;
    json.open_object().key("Functions").open_array();
    for (const FunctionRef& function : page) {
        write_configuration(
            json,
            *function,
            registry_.identity(),
            {.qualified_arn = bool{call.request["FunctionVersion"]}}
        );
    }
    json.close_array();
    if (has_more) {
        json.member("NextMarker", page.back()->name);
    }
    json.close_object();
    return ok(json);
}

ControlService::Outcome ControlService::get_account_settings(Call&) {
    const std::uint64_t limit = options_.concurrency_max;
    const std::uint64_t reserved = std::min(registry_.reserved_total(), limit);
    JsonWriter json;
    json.open_object().key("AccountLimit").open_object();
    json.member("TotalCodeSize", kCodeBytesTotalMax);
    json.member("CodeSizeUnzipped", kUnzippedBytesMax);
    json.member("CodeSizeZipped", kZipBytesMax);
    json.member("ConcurrentExecutions", limit);
    json.member("UnreservedConcurrentExecutions", limit - reserved);
    json.close_object().key("AccountUsage").open_object();
    json.member("TotalCodeSize", registry_.code_bytes_total());
    json.member("FunctionCount", std::uint64_t{registry_.functions_count()});
    json.close_object().close_object();
    return ok(json);
}

}  // namespace hako::registry
