#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "engine/registry/api_error.h"
#include "engine/registry/busy_names.h"
#include "engine/registry/control_service.h"
#include "engine/registry/function_url.h"
#include "engine/registry/http_api.h"
#include "engine/registry/registry.h"
#include "engine/registry/request.h"
#include "engine/registry/site_store.h"

namespace hako::registry {

class JsonWriter;

/// What functions are reached by over plain HTTP: function URLs and HTTP APIs, and the operations
/// that make them. Lives on the loop; everything given to it outlives it.
class SiteService {
public:
    /// `url_base` (http://127.0.0.1:9000) is what clients are shown; empty: names as AWS gives
    /// them.
    SiteService(Registry& registry, Store& store, BlockingRunner& runner, std::string url_base);
    SiteService(const SiteService&) = delete;
    SiteService& operator=(const SiteService&) = delete;

    /// Fills the tables from the database. Blocks; at start only.
    [[nodiscard]] std::expected<void, Failure> load(const RequestReader& reader);

    using Outcome = std::expected<ControlAnswer, ApiError>;
    /// Answers one of its operations; parks in the runner.
    [[nodiscard]] Outcome handle(const Request& request);
    /// Whether it answers an operation.
    [[nodiscard]] static bool has(std::string_view operation);

    /// A function is gone: its URLs are, too (the database has seen to that itself).
    void forget_function(std::string_view name) { urls_.remove_function(name); }

    [[nodiscard]] const UrlTable& urls() const noexcept { return urls_; }
    [[nodiscard]] const HttpApiTable& http_apis() const noexcept { return http_apis_; }

private:
    struct Route;

    [[nodiscard]] static const Route* find_route(std::string_view operation);
    [[nodiscard]] std::expected<BusyMark, ApiError> mark_busy(std::string_view name);

    // site_urls.cc
    [[nodiscard]] Outcome create_url(const Request& request);
    [[nodiscard]] Outcome update_url(const Request& request);
    [[nodiscard]] Outcome get_url(const Request& request);
    [[nodiscard]] Outcome delete_url(const Request& request);
    [[nodiscard]] Outcome list_urls(const Request& request);
    [[nodiscard]] std::expected<FunctionName, ApiError> name_of(const Request& request) const;
    [[nodiscard]] std::expected<FunctionUrlRef, ApiError> present_url(const Request& request) const;
    [[nodiscard]] std::optional<ApiError> keep_url(FunctionUrl url);
    [[nodiscard]] ControlAnswer url_answer(int status, const FunctionUrl& url) const;
    void write_url(JsonWriter& json, const FunctionUrl& url, bool with_modified) const;
    [[nodiscard]] std::string arn_of(const FunctionUrl& url) const;

    // site_http_apis.cc
    [[nodiscard]] Outcome put_http_api(const Request& request);
    [[nodiscard]] Outcome get_http_api(const Request& request);
    [[nodiscard]] Outcome delete_http_api(const Request& request);
    [[nodiscard]] Outcome list_http_apis(const Request& request);
    [[nodiscard]] std::optional<ApiError> check_hosts(const HttpApi& api) const;
    [[nodiscard]] std::string endpoint_of(const HttpApi& api) const;
    void write_api(JsonWriter& json, const HttpApi& api) const;

    Registry& registry_;
    SiteStore store_;
    BlockingRunner& runner_;
    std::string url_base_;
    UrlTable urls_;
    HttpApiTable http_apis_;
    BusyNames busy_names_;  // what is being changed
};

/// From the settings that the database keeps: the members of a request for it.
[[nodiscard]] std::expected<FunctionUrl, ApiError> read_function_url(
    const RequestReader& reader, std::string_view settings
);
[[nodiscard]] std::expected<HttpApi, ApiError> read_http_api(
    const RequestReader& reader, std::string_view settings
);

}  // namespace hako::registry
