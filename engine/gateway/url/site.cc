#include "engine/gateway/url/site.h"

#include "engine/gateway/url/text.h"

namespace hako::gateway::url {

namespace {

using Kind = Site::Kind;

constexpr std::string_view kUrlPrefix = "/url/";
constexpr std::string_view kApiPrefix = "/api/";

/// Splits `path` behind the segment that starts at `from`: what is before, and what follows (at
/// least a slash).
void split_behind(std::string_view path, std::size_t from, Site& site) {
    const std::size_t end = path.find('/', from);
    site.prefix = path.substr(0, end);
    site.path = end == std::string_view::npos ? std::string_view("/") : path.substr(end);
}

/// Takes the stage off the front of the path, if the API has one. False: another stage is named.
bool take_stage(Site& site) {
    const std::string_view stage = site.api->api().stage;
    if (stage == "$default") {
        return true;
    }
    std::string_view rest = site.path.substr(1);
    if (!rest.starts_with(stage) || (rest.size() > stage.size() && rest[stage.size()] != '/')) {
        return false;
    }
    rest.remove_prefix(stage.size());
    site.path = rest.empty() ? std::string_view("/") : rest;
    site.stage_is_in_path = true;
    return true;
}

}  // namespace

Site Sites::find(const http::Request& head) const {
    Site site;
    const bool is_prefixed = head.path.starts_with(kUrlPrefix) || head.path.starts_with(kApiPrefix);
    site.host = host_name(head.header("host"));
    if (!find_by_host(head, site) && is_prefixed) {
        (void)find_by_path(head, site);  // says so in `kind`
    }
    return site;
}

bool Sites::find_by_host(const http::Request& head, Site& site) const {
    const std::string_view host = site.host;
    const std::size_t dot = host.find('.');
    const std::string_view label = host.substr(0, dot);
    const std::string_view domain =
        dot == std::string_view::npos ? std::string_view() : host.substr(dot + 1);
    site.path = head.path;
    if (auto url = urls.find(label); url != nullptr) {
        site.kind = Kind::kUrl;
        site.url = std::move(url);
    } else if (auto named = apis.find_host(host); named != nullptr) {
        site.kind = Kind::kApi;
        site.api = std::move(named);
    } else if (auto api = apis.find_id(label); api != nullptr) {
        site.api = std::move(api);
        site.kind = take_stage(site) ? Kind::kApi : Kind::kUnknownApi;
    } else if (domain.starts_with("lambda-url.")) {
        site.kind = Kind::kUnknownUrl;
    } else if (domain.starts_with("execute-api.")) {
        site.kind = Kind::kUnknownApi;
    }
    return site.kind != Kind::kNone;
}

bool Sites::find_by_path(const http::Request& head, Site& site) const {
    split_behind(head.path, kUrlPrefix.size(), site);
    const std::string name = percent_decoded(site.prefix.substr(kUrlPrefix.size()), false);
    if (head.path.starts_with(kApiPrefix)) {
        site.api = apis.find(name);
        site.kind = site.api != nullptr && take_stage(site) ? Kind::kApi : Kind::kUnknownApi;
        return site.kind == Kind::kApi;
    }
    site.url = urls.find(name);
    if (site.url == nullptr) {
        std::string_view qualifier = name;
        const std::string_view function = take_until(qualifier, ':');
        site.url = urls.find(function, qualifier);
    }
    site.kind = site.url != nullptr ? Kind::kUrl : Kind::kUnknownUrl;
    return site.kind == Kind::kUrl;
}

}  // namespace hako::gateway::url
