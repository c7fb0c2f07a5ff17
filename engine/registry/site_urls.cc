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

// Function URLs. What is written here about their answers was recorded from AWS.
namespace hako::registry {

namespace {

constexpr std::size_t kIdBytes = 32;
constexpr std::int64_t kPageItems = 50;
constexpr std::string_view kNoFunction = "Function does not exist";

ApiError no_such_url() {
    return not_found("The resource you requested does not exist.");
}

/// The members of a request that make a configuration; also what the database keeps.
void take_settings(const Request& request, FunctionUrl& url) {
    if (const Value type = request["AuthType"]) {
        url.is_iam = type.text() == "AWS_IAM";
    }
    if (const Value mode = request["InvokeMode"]) {
        url.invoke_mode = mode.text();
    }
    if (const Value cors = request["Cors"]) {
        url.cors = read_cors(cors);
    }
}

void write_settings(JsonWriter& json, const FunctionUrl& url) {
    json.member("AuthType", url.is_iam ? "AWS_IAM" : "NONE");
    if (url.cors) {
        write_cors(json, *url.cors);
    }
    if (!url.invoke_mode.empty()) {
        json.member("InvokeMode", url.invoke_mode);
    }
}

std::string settings_of(const FunctionUrl& url) {
    JsonWriter json;
    json.open_object();
    json.member("FunctionName", url.function_name);
    if (!url.qualifier.empty()) {
        json.member("Qualifier", url.qualifier);
    }
    write_settings(json, url);
    json.close_object();
    return json.take();
}

}  // namespace

std::expected<FunctionUrl, ApiError> read_function_url(
    const RequestReader& reader, std::string_view settings
) {
    const model::Operation* operation = model::find_operation("CreateFunctionUrlConfig");
    TRY_ASSIGN(const Request request, reader.read(*operation, {}, settings));
    FunctionUrl url{
        .function_name = std::string(request["FunctionName"].text()),
        .qualifier = std::string(request["Qualifier"].text_or("")),
    };
    take_settings(request, url);
    return url;
}

ControlAnswer SiteService::url_answer(int status, const FunctionUrl& url) const {
    JsonWriter json;
    json.open_object();
    write_url(json, url, status != 201);
    json.close_object();
    return {.status = status, .error_code = {}, .json = json.take()};
}

void SiteService::write_url(JsonWriter& json, const FunctionUrl& url, bool with_modified) const {
    json.member(
        "FunctionUrl",
        url_base_.empty()
            ? fmt::format("https://{}.lambda-url.{}.on.aws/", url.id, registry_.identity().region)
            : fmt::format("{}/url/{}/", url_base_, url.id)
    );
    json.member("FunctionArn", arn_of(url));
    write_settings(json, url);
    json.member("CreationTime", url.created);
    if (with_modified) {
        json.member("LastModifiedTime", url.modified);
    }
}

std::expected<FunctionName, ApiError> SiteService::name_of(const Request& request) const {
    return resolve_function_name(
        request["FunctionName"].text(),
        request.operation().find_member("Qualifier") == nullptr ? std::string_view()
                                                                : request["Qualifier"].text_or(""),
        NameShape::kFunctionName,
        registry_.identity()
    );
}

std::expected<FunctionUrlRef, ApiError> SiteService::present_url(const Request& request) const {
    TRY_ASSIGN(const FunctionName name, name_of(request));
    FunctionUrlRef url = urls_.find(name.name, name.qualifier);
    if (url == nullptr) {
        return std::unexpected(no_such_url());
    }
    return url;
}

std::optional<ApiError> SiteService::keep_url(FunctionUrl url) {
    std::expected<void, Failure> done;
    runner_.run([this, &done, &url] {
        done = store_.put_url({
            .id = url.id,
            .function_name = url.function_name,
            .qualifier = url.qualifier,
            .settings = settings_of(url),
            .created = url.created,
            .modified = url.modified,
        });
    });
    if (!done) {
        return service_error(done.error().text);
    }
    if (registry_.get(url.function_name) == nullptr) {
        return not_found(std::string(kNoFunction));  // deleted meanwhile, and the URL with it
    }
    urls_.put(std::make_shared<const FunctionUrl>(std::move(url)));
    return std::nullopt;
}

std::string SiteService::arn_of(const FunctionUrl& url) const {
    std::string arn = function_arn(registry_.identity(), url.function_name);
    return url.qualifier.empty() ? arn : arn + ":" + url.qualifier;
}

SiteService::Outcome SiteService::create_url(const Request& request) {
    TRY_ASSIGN(const FunctionName name, name_of(request));
    // The model lets no version through, so a qualifier that is found is an alias.
    if (!registry_.find(name.name, name.qualifier)) {
        return std::unexpected(not_found(std::string(kNoFunction)));
    }
    TRY_ASSIGN(
        const BusyMark mark,
        mark_busy(function_arn(registry_.identity(), name.name) + ":" + std::string(name.qualifier))
    );
    FunctionUrl url{
        .id = random_name(kIdBytes),
        .function_name = std::string(name.name),
        .qualifier = std::string(name.qualifier),
        .created = iso_time(wall_us()),
    };
    url.modified = url.created;
    if (urls_.find(url.function_name, url.qualifier) != nullptr) {
        return std::unexpected(conflict(fmt::format(
            "Failed to create function url config for [functionArn = {}]. Error message:  "
            "FunctionUrlConfig exists for this Lambda function",
            arn_of(url)
        )));
    }
    take_settings(request, url);
    const ControlAnswer answer = url_answer(201, url);
    if (auto fault = keep_url(std::move(url))) {
        return std::unexpected(*std::move(fault));
    }
    return answer;
}

SiteService::Outcome SiteService::update_url(const Request& request) {
    TRY_ASSIGN(const FunctionUrlRef before, present_url(request));
    TRY_ASSIGN(const BusyMark mark, mark_busy(arn_of(*before)));
    FunctionUrl url = *before;
    take_settings(request, url);
    url.modified = iso_time(wall_us());
    const ControlAnswer answer = url_answer(200, url);
    if (auto fault = keep_url(std::move(url))) {
        return std::unexpected(*std::move(fault));
    }
    return answer;
}

SiteService::Outcome SiteService::get_url(const Request& request) {
    TRY_ASSIGN(const FunctionUrlRef url, present_url(request));
    return url_answer(200, *url);
}

SiteService::Outcome SiteService::delete_url(const Request& request) {
    TRY_ASSIGN(const FunctionUrlRef url, present_url(request));
    TRY_ASSIGN(const BusyMark mark, mark_busy(arn_of(*url)));
    std::expected<void, Failure> done;
    runner_.run([this, &done, &url] { done = store_.remove_url(url->id); });
    if (!done) {
        return std::unexpected(service_error(done.error().text));
    }
    urls_.remove(url);
    return ControlAnswer{.status = 204, .error_code = {}, .json = {}};
}

SiteService::Outcome SiteService::list_urls(const Request& request) {
    TRY_ASSIGN(const FunctionName name, name_of(request));
    if (registry_.get(name.name) == nullptr) {
        return std::unexpected(not_found(std::string(kNoFunction)));
    }
    const std::string_view marker = request["Marker"].text_or("");
    const auto items_max = static_cast<std::size_t>(request["MaxItems"].integer_or(kPageItems));
    JsonWriter json;
    json.open_object().key("FunctionUrlConfigs").open_array();
    std::size_t count = 0;
    FunctionUrlRef last;
    for (const FunctionUrlRef& url : urls_.list(name.name)) {
        // The function's own URL has no qualifier and comes first: a marker is never empty.
        if (!marker.empty() && url->id != marker && last == nullptr) {
            continue;
        }
        last = url;
        if (count == items_max) {
            json.close_array().member("NextMarker", url->id).close_object();
            return ControlAnswer{.status = 200, .error_code = {}, .json = json.take()};
        }
        ++count;
        json.open_object();
        write_url(json, *url, true);
        json.close_object();
    }
    json.close_array().close_object();
    return ControlAnswer{.status = 200, .error_code = {}, .json = json.take()};
}

}  // namespace hako::registry
