#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/registry/digest.h"
#include "engine/registry/json_writer.h"
#include "engine/registry/site_service.h"

// HTTP APIs: operations of hako's own (engine/model/api/http_apis.api).
namespace hako::registry {

namespace {

constexpr std::size_t kIdBytes = 10;
constexpr std::size_t kApisMax = 1000;
constexpr std::int64_t kPageItems = 50;

ApiError no_such_api(std::string_view name) {
    return not_found(fmt::format("HTTP API not found: {}", name));
}

HttpRoute read_route(const Value& value, bool is_rest) {
    HttpRoute route{
        .method = std::string(value["Method"].text_or("ANY")),
        .path = std::string(value["Path"].text()),
        .function_name = std::string(value["FunctionName"].text()),
        .qualifier = std::string(value["Qualifier"].text_or("")),
        .is_version_1 = value["PayloadFormatVersion"].text_or(is_rest ? "1.0" : "2.0") == "1.0",
    };
    if (route.path == "$default") {
        route.method.clear();
    }
    return route;
}

std::optional<ApiError> check_route(
    const HttpApi& api, const HttpRoute& route, const Value& value
) {
    const auto path = RouteTemplate::parse(route.path);
    if (!path) {
        return invalid_parameter(
            fmt::format("The route '{}' is not valid: {}.", route.path, path.error())
        );
    }
    if (path->is_default && (api.is_rest || value["Method"].text_or("ANY") != "ANY")) {
        return invalid_parameter(
            "The route $default takes every method, and REST APIs do not have it."
        );
    }
    if (api.is_rest && !route.is_version_1) {
        return invalid_parameter("REST APIs know PayloadFormatVersion 1.0 only.");
    }
    for (const HttpRoute& other : api.routes) {
        if (other.method == route.method && RouteTemplate::parse(other.path)->has_shape_of(*path)) {
            return invalid_parameter(fmt::format(
                "The routes '{} {}' and '{} {}' take the same requests.",
                other.method,
                other.path,
                route.method,
                route.path
            ));
        }
    }
    return std::nullopt;
}

std::expected<HttpApi, ApiError> read_api(const Request& request) {
    HttpApi api{
        .name = std::string(request["Name"].text()),
        .is_rest = request["Type"].text_or("HTTP") == "REST",
        .description = std::string(request["Description"].text_or("")),
        .cors = read_cors(request["Cors"]),
    };
    api.stage = request["Stage"].text_or(api.is_rest ? "Prod" : "$default");
    if (api.is_rest && api.stage == "$default") {
        return std::unexpected(invalid_parameter("The stage of a REST API has a name."));
    }
    for (const Value& value : request["Routes"].items()) {
        HttpRoute route = read_route(value, api.is_rest);
        if (auto fault = check_route(api, route, value)) {
            return std::unexpected(*std::move(fault));
        }
        api.routes.push_back(std::move(route));
    }
    if (const Value hosts = request["HostNames"]) {
        for (const Value& host : hosts.items()) {
            std::string name(host.text());
            std::ranges::transform(name, name.begin(), [](char letter) {
                return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
            });
            api.host_names.push_back(std::move(name));
        }
    }
    if (const Value variables = request["StageVariables"]) {
        api.stage_variables = variables.pairs();
    }
    return api;
}

void write_route(JsonWriter& json, const HttpRoute& route) {
    json.open_object();
    if (!route.method.empty()) {
        json.member("Method", route.method);
    }
    json.member("Path", route.path).member("FunctionName", route.function_name);
    if (!route.qualifier.empty()) {
        json.member("Qualifier", route.qualifier);
    }
    json.member("PayloadFormatVersion", route.is_version_1 ? "1.0" : "2.0").close_object();
}

/// The members of a request for it; also what the database keeps.
void write_settings(JsonWriter& json, const HttpApi& api) {
    json.member("Name", api.name)
        .member("Type", api.is_rest ? "REST" : "HTTP")
        .member("Stage", api.stage);
    if (!api.description.empty()) {
        json.member("Description", api.description);
    }
    json.key("Routes").open_array();
    for (const HttpRoute& route : api.routes) {
        write_route(json, route);
    }
    json.close_array();
    if (!api.host_names.empty()) {
        json.key("HostNames").open_array();
        for (const std::string& host : api.host_names) {
            json.value(host);
        }
        json.close_array();
    }
    if (!api.stage_variables.empty()) {
        json.key("StageVariables").open_object();
        for (const auto& [name, value] : api.stage_variables) {
            json.member(name, value);
        }
        json.close_object();
    }
    if (api.cors) {
        write_cors(json, *api.cors);
    }
}

}  // namespace

std::string SiteService::endpoint_of(const HttpApi& api) const {
    const std::string stage = api.stage == "$default" ? "" : api.stage + "/";
    return url_base_.empty() ? fmt::format(
                                   "https://{}.execute-api.{}.amazonaws.com/{}",
                                   api.id,
                                   registry_.identity().region,
                                   stage
                               )
                             : fmt::format("{}/api/{}/{}", url_base_, api.name, stage);
}

void SiteService::write_api(JsonWriter& json, const HttpApi& api) const {
    json.open_object();
    write_settings(json, api);
    json.member("ApiId", api.id)
        .member("ApiEndpoint", endpoint_of(api))
        .member("CreatedDate", api.created)
        .member("LastModified", api.modified)
        .close_object();
}

std::expected<HttpApi, ApiError> read_http_api(
    const RequestReader& reader, std::string_view settings
) {
    const model::Operation* operation = model::find_operation("PutHttpApi");
    TRY_ASSIGN(const Request request, reader.read(*operation, {}, settings));
    return read_api(request);
}

/// A host name leads to one API.
std::optional<ApiError> SiteService::check_hosts(const HttpApi& api) const {
    for (const std::string& host : api.host_names) {
        const HttpApiTable::Ref holder = http_apis_.find_host(host);
        if (holder != nullptr && holder->api().name != api.name) {
            return conflict(fmt::format(
                "The host name '{}' belongs to the HTTP API '{}'.", host, holder->api().name
            ));
        }
    }
    return std::nullopt;
}

SiteService::Outcome SiteService::put_http_api(const Request& request) {
    TRY_ASSIGN(HttpApi api, read_api(request));
    // One at a time: two that ask for one host name at once must not both get it.
    TRY_ASSIGN(const BusyMark mark, mark_busy("/http-apis"));
    if (auto fault = check_hosts(api)) {
        return std::unexpected(*std::move(fault));
    }
    const HttpApiTable::Ref before = http_apis_.find(api.name);
    if (before == nullptr && http_apis_.count() >= kApisMax) {
        return std::unexpected(
            invalid_parameter(fmt::format("There are {} HTTP APIs, more are not kept.", kApisMax))
        );
    }
    api.modified = iso_time(wall_us());
    api.created = before == nullptr ? api.modified : before->api().created;
    api.id = before == nullptr ? random_name(kIdBytes) : before->api().id;
    JsonWriter settings;
    settings.open_object();
    write_settings(settings, api);
    settings.close_object();
    std::expected<void, Failure> done;
    runner_.run([this, &done, &api, json = settings.take()] {
        done = store_.put_api({
            .name = api.name,
            .id = api.id,
            .settings = json,
            .created = api.created,
            .modified = api.modified,
        });
    });
    if (!done) {
        return std::unexpected(service_error(done.error().text));
    }
    const auto kept = std::make_shared<const HttpApi>(std::move(api));
    http_apis_.put(kept);
    JsonWriter json;
    write_api(json, *kept);
    return ControlAnswer{.status = 200, .error_code = {}, .json = json.take()};
}

SiteService::Outcome SiteService::get_http_api(const Request& request) {
    const HttpApiTable::Ref found = http_apis_.find(request["Name"].text());
    if (found == nullptr) {
        return std::unexpected(no_such_api(request["Name"].text()));
    }
    JsonWriter json;
    write_api(json, found->api());
    return ControlAnswer{.status = 200, .error_code = {}, .json = json.take()};
}

SiteService::Outcome SiteService::delete_http_api(const Request& request) {
    const std::string name(request["Name"].text());
    TRY_ASSIGN(const BusyMark mark, mark_busy("/http-apis"));
    if (http_apis_.find(name) == nullptr) {
        return std::unexpected(no_such_api(name));
    }
    std::expected<void, Failure> done;
    runner_.run([this, &done, &name] { done = store_.remove_api(name); });
    if (!done) {
        return std::unexpected(service_error(done.error().text));
    }
    http_apis_.remove(name);
    return ControlAnswer{.status = 204, .error_code = {}, .json = {}};
}

SiteService::Outcome SiteService::list_http_apis(const Request& request) {
    const auto items_max = static_cast<std::size_t>(request["MaxItems"].integer_or(kPageItems));
    auto page = http_apis_.list(request["Marker"].text_or(""), items_max + 1);
    const bool has_more = page.size() > items_max;
    page.resize(std::min(page.size(), items_max));
    JsonWriter json;
    json.open_object().key("HttpApis").open_array();
    for (const HttpApiTable::Ref& found : page) {
        write_api(json, found->api());
    }
    json.close_array();
    if (has_more) {
        json.member("NextMarker", page.back()->api().name);
    }
    json.close_object();
    return ControlAnswer{.status = 200, .error_code = {}, .json = json.take()};
}

}  // namespace hako::registry
