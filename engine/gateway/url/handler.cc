#include "engine/gateway/url/handler.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/gateway/url/call.h"
#include "engine/gateway/url/cors.h"
#include "engine/gateway/url/text.h"
#include "engine/registry/function_name.h"

namespace hako::gateway::url {

namespace {

// The JSON check of an event reads ahead.
constexpr std::size_t kReadAheadBytes = 64;

using Headers = std::span<const http::Header>;

void refuse(
    http::ResponseWriter& out, std::uint32_t status, std::string_view code, std::string_view body
) {
    const std::array headers = {http::Header{.name = "x-amzn-ErrorType", .value = code}};
    out.send({.status = status, .headers = code.empty() ? Headers() : Headers(headers)}, body);
}

void refuse_unknown(const Site& site, http::ResponseWriter& out) {
    if (site.kind == Site::Kind::kUnknownUrl) {
        refuse(out, 403, "AccessDeniedException", R"({"Message":null})");
    } else {
        refuse(out, 404, "NotFoundException", R"({"message":"Not Found"})");
    }
}

/// The functions behind this have no way to speak WebSocket; saying so is kinder than an answer to
/// another question. Other upgrades (h2c) are offers one may leave alone.
bool is_websocket(const http::Request& request) {
    return http::is_same_word(request.header("upgrade"), "websocket");
}

std::string_view port_of(std::string_view host, std::string_view proto) {
    const std::size_t colon = host.rfind(':');
    if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) {
        return host.substr(colon + 1);
    }
    return proto == "https" ? "443" : "80";
}

AnswerForm answer_form(EventForm form) {
    switch (form) {
        case EventForm::kFunctionUrl:
            return AnswerForm::kFunctionUrl;
        case EventForm::kHttpApi2:
            return AnswerForm::kHttpApi2;
        case EventForm::kHttpApi1:
            return AnswerForm::kHttpApi1;
        case EventForm::kRestApi:
            break;
    }
    return AnswerForm::kRestApi;
}

}  // namespace

/// Which function is invoked, and texts the event's views point to.
struct UrlHandler::Target {
    std::string_view function_name;
    std::string_view qualifier;
    CallRules rules;
    std::string source_ip;
    std::string forwarded_for;
    std::string forwarded_proto;
    std::string forwarded_port;
    std::string forwarded_prefix;
};

UrlHandler::UrlHandler(UrlServices services) : services_(std::move(services)) {}

bool UrlHandler::takes(const http::Request& head) const {
    return services_.sites.find(head).kind != Site::Kind::kNone;
}

http::BodyLimit UrlHandler::body_limit(const http::Request& /*head*/) const {
    return {.bytes_max = services_.payload_bytes_max, .operation = "InvokeFunction"};
}

bool UrlHandler::asks_who(const http::Request& head) const {
    const Site site = services_.sites.find(head);
    return site.kind == Site::Kind::kUrl && site.url->is_iam;
}

void UrlHandler::handle(
    const http::Request& request, const http::Caller& caller, http::ResponseWriter& out
) {
    const Site site = services_.sites.find(request);
    if (!site.path.starts_with('/')) {
        refuse(out, 400, "BadRequestException", R"({"message":"Bad Request"})");
    } else if (is_websocket(request)) {
        refuse(out, 501, "", R"({"message":"WebSocket is not supported here"})");
    } else if (site.kind == Site::Kind::kUrl) {
        serve_url(request, caller, site, out);
    } else if (site.kind == Site::Kind::kApi) {
        serve_api(request, site, out);
    } else {
        refuse_unknown(site, out);
    }
}

void UrlHandler::serve_url(
    const http::Request& request,
    const http::Caller& caller,
    const Site& site,
    http::ResponseWriter& out
) {
    const registry::FunctionUrl& url = *site.url;
    const registry::Identity& identity = services_.registry.identity();
    Target target{
        .function_name = url.function_name,
        .qualifier = url.qualifier,
        .rules =
            {
                .form = AnswerForm::kFunctionUrl,
                .streams = url.streams(),
                .cors = url.cors ? &*url.cors : nullptr,
                .payload_bytes_max = services_.payload_bytes_max,
            },
    };
    if (url.cors && is_preflight(request)) {  // asked without credentials, so before the rights
        const CallRules bare{.form = AnswerForm::kFunctionUrl};
        send_answer(request, bare, preflight_answer(*url.cors, request), out);
        return;
    }
    if (services_.access != nullptr) {
        std::string arn = registry::function_arn(identity, url.function_name);
        arn += url.qualifier.empty() ? "" : ":" + url.qualifier;
        const std::string_view auth_type = url.is_iam ? "AWS_IAM" : "NONE";
        // Nobody was asked who he is: open where nothing is checked, else the policy decides.
        const http::Caller& asker = url.is_iam ? caller : http::Caller{};
        if (services_.access->permit(asker, "lambda:InvokeFunctionUrl", arn, auth_type)) {
            refuse(
                out,
                403,
                "AccessDeniedException",
                R"({"Message":"Forbidden. For troubleshooting Function URL authorization issues, )"
                R"(see: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"})"
            );
            return;
        }
    }
    const EventSigner signer{
        .access_key = caller.access_key_id, .account = caller.account, .arn = caller.arn
    };
    const bool is_signed = url.is_iam && caller.kind == http::Caller::Kind::kKnown;
    EventInput event{
        .form = EventForm::kFunctionUrl,
        .account = !url.is_iam ? "anonymous"
                   : is_signed ? caller.account
                               : identity.account,
        .api_id = url.id,
        .domain = site.host,
        .path = site.path,
        .signer = is_signed ? &signer : nullptr,
        .hides_authorization = is_signed && !caller.access_key_id.empty(),
    };
    fill_forwarded(request, site, target);
    invoke(request, target, event, out);
}

void UrlHandler::serve_api(
    const http::Request& request, const Site& site, http::ResponseWriter& out
) {
    const registry::HttpApi& api = site.api->api();
    if (api.cors && is_preflight(request)) {
        const CallRules bare{.form = AnswerForm::kHttpApi2};
        send_answer(request, bare, preflight_answer(*api.cors, request), out);
        return;
    }
    auto match = site.api->match(request.method, site.path);
    if (match.route == nullptr) {
        if (api.is_rest) {
            refuse(
                out,
                403,
                "MissingAuthenticationTokenException",
                R"({"message":"Missing Authentication Token"})"
            );
        } else {
            refuse(out, 404, "NotFoundException", R"({"message":"Not Found"})");
        }
        return;
    }
    const registry::HttpRoute& route = *match.route;
    for (auto& [name, value] : match.parameters) {
        value = percent_decoded(value, false);
    }
    const std::string key =
        route.method.empty() ? route.path : fmt::format("{} {}", route.method, route.path);
    EventInput event{
        .form = api.is_rest          ? EventForm::kRestApi
                : route.is_version_1 ? EventForm::kHttpApi1
                                     : EventForm::kHttpApi2,
        .account = services_.registry.identity().account,
        .api_id = api.id,
        .domain = site.host,
        .path = site.path,
        .stage = api.stage,
        .stage_is_in_path = site.stage_is_in_path,
        .route_key = key,
        .resource = route.path,
        .path_parameters = match.parameters,
        .stage_variables = api.stage_variables,
    };
    Target target{
        .function_name = route.function_name,
        .qualifier = route.qualifier,
        .rules =
            {
                .form = answer_form(event.form),
                .cors = api.cors ? &*api.cors : nullptr,
                .payload_bytes_max = services_.payload_bytes_max,
            },
    };
    fill_forwarded(request, site, target);
    invoke(request, target, event, out);
}

// A proxy that is trusted says where the request came from; else the connection does.
void UrlHandler::fill_forwarded(const http::Request& request, const Site& site, Target& target)
    const {
    constexpr std::string_view kHere = "127.0.0.1";  // a Unix peer has no address
    const http::Peer& peer = request.peer;
    const bool is_trusted = services_.proxies.trusts(peer);
    const std::string_view chain = request.header("x-forwarded-for");
    const std::string_view peer_address = peer.address.empty() ? kHere : peer.address;
    target.source_ip = services_.proxies.client_address(peer, chain);
    if (target.source_ip.empty()) {
        target.source_ip = kHere;
    }
    if (chain.empty()) {
        target.forwarded_for = peer_address;
    } else {
        target.forwarded_for = is_trusted ? chain : fmt::format("{}, {}", chain, peer_address);
    }
    const std::string_view proto = request.header("x-forwarded-proto");
    const std::string_view port = request.header("x-forwarded-port");
    target.forwarded_proto = is_trusted && !proto.empty() ? proto : "http";
    target.forwarded_port = is_trusted && !port.empty()
                                ? port
                                : port_of(request.header("host"), target.forwarded_proto);
    // A proxy that put our prefix in front of the path says what the client sees instead.
    std::string_view prefix = request.header("x-forwarded-prefix");
    if (!is_trusted || prefix.empty()) {
        prefix = site.prefix;
    }
    while (prefix.ends_with('/')) {
        prefix.remove_suffix(1);
    }
    target.forwarded_prefix = prefix;
}

void UrlHandler::invoke(
    const http::Request& request, const Target& target, EventInput& event, http::ResponseWriter& out
) {
    event.source_ip = target.source_ip;
    event.forwarded_for = target.forwarded_for;
    event.forwarded_proto = target.forwarded_proto;
    event.forwarded_port = target.forwarded_port;
    event.forwarded_prefix = target.forwarded_prefix;
    event.wall_us = wall_us();
    out.cancel_when_gone();
    UrlCall call(request, target.rules, reader_, out);
    ByteBuffer& buffer = call.event();
    write_event(request, event, buffer);
    const std::size_t event_bytes = buffer.size_bytes();
    const std::uint64_t event_bytes_max = services_.payload_bytes_max;
    if (event_bytes > event_bytes_max) {
        send_answer(
            request, target.rules, too_large_answer(target.rules.form, event_bytes_max), out
        );
        return;
    }
    (void)buffer.extend(kReadAheadBytes);
    out.release_body();
    services_.invoker.invoke(
        {
            .function_name = target.function_name,
            .qualifier = target.qualifier,
            .payload = {reinterpret_cast<const char*>(buffer.bytes().data()), event_bytes},
        },
        call
    );
    call.finish();
}

}  // namespace hako::gateway::url
