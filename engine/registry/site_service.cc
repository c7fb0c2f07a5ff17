#include "engine/registry/site_service.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "engine/base/ensure.h"
#include "engine/base/result.h"

namespace hako::registry {

struct SiteService::Route {
    std::string_view name;
    Outcome (SiteService::*handle)(const Request& request);
};

SiteService::SiteService(
    Registry& registry, Store& store, BlockingRunner& runner, std::string url_base
)
    : registry_(registry), store_(store), runner_(runner), url_base_(std::move(url_base)) {
    if (url_base_.ends_with('/')) {
        url_base_.pop_back();
    }
}

std::expected<void, Failure> SiteService::load(const RequestReader& reader) {
    TRY_ASSIGN(const auto urls, store_.load_urls());
    for (const SiteStore::StoredUrl& stored : urls) {
        auto url = read_function_url(reader, stored.settings);
        if (!url) {
            return std::unexpected(Failure{fmt::format(
                "registry database: URL of function '{}': {}",
                stored.function_name,
                url.error().message
            )});
        }
        url->id = stored.id;
        url->created = stored.created;
        url->modified = stored.modified;
        urls_.put(std::make_shared<const FunctionUrl>(*std::move(url)));
    }
    TRY_ASSIGN(const auto apis, store_.load_apis());
    for (const SiteStore::StoredApi& stored : apis) {
        auto api = read_http_api(reader, stored.settings);
        if (!api) {
            return std::unexpected(Failure{fmt::format(
                "registry database: HTTP API '{}': {}", stored.name, api.error().message
            )});
        }
        api->id = stored.id;
        api->created = stored.created;
        api->modified = stored.modified;
        http_apis_.put(std::make_shared<const HttpApi>(*std::move(api)));
    }
    return {};
}

const SiteService::Route* SiteService::find_route(std::string_view operation) {
    using S = SiteService;
    static constexpr std::array kRoutes = {
        Route{"CreateFunctionUrlConfig", &S::create_url},
        Route{"UpdateFunctionUrlConfig", &S::update_url},
        Route{"GetFunctionUrlConfig", &S::get_url},
        Route{"DeleteFunctionUrlConfig", &S::delete_url},
        Route{"ListFunctionUrlConfigs", &S::list_urls},
        Route{"PutHttpApi", &S::put_http_api},
        Route{"GetHttpApi", &S::get_http_api},
        Route{"DeleteHttpApi", &S::delete_http_api},
        Route{"ListHttpApis", &S::list_http_apis},
    };
    const auto found = std::ranges::find(kRoutes, operation, &Route::name);
    return found == kRoutes.end() ? nullptr : &*found;
}

bool SiteService::has(std::string_view operation) {
    return find_route(operation) != nullptr;
}

SiteService::Outcome SiteService::handle(const Request& request) {
    const Route* route = find_route(request.operation().name);
    ENSURE(route != nullptr, "asked for one of its operations");
    return (this->*route->handle)(request);
}

std::expected<BusyMark, ApiError> SiteService::mark_busy(std::string_view name) {
    return busy_names_.mark(std::string(name), name);
}

}  // namespace hako::registry
