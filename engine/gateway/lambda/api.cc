#include "engine/gateway/lambda/api.h"

#include <array>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "engine/gateway/lambda/invoke.h"
#include "engine/gateway/lambda/invoke_stream.h"
#include "engine/gateway/lambda/url_text.h"
#include "engine/registry/function_name.h"

namespace hako::gateway::lambda {
namespace {

using http::Caller;
using http::Request;
using http::ResponseWriter;
using registry::ApiError;

constexpr std::string_view kFunctions = "/2015-03-31/functions/";
constexpr std::string_view kInvocations = "/invocations";
// Lambda's bound of a request that brings a package: 50 MB as base64 and some room.
constexpr std::uint64_t kPackageRequestBytesMax = 70'167'211;
// Of all others: a configuration with its environment, a policy, tags.
constexpr std::uint64_t kSmallRequestBytesMax = 1024 * 1024;

constexpr std::string_view kOwnMethods = "GET, HEAD, OPTIONS";

/// The encoded name if the path is that of Invoke; empty if not.
std::string_view invoked_name(std::string_view path) {
    if (!path.starts_with(kFunctions) || !path.ends_with(kInvocations) ||
        path.size() <= kFunctions.size() + kInvocations.size()) {
        return {};
    }
    path.remove_prefix(kFunctions.size());
    path.remove_suffix(kInvocations.size());
    return path.contains('/') ? std::string_view() : path;
}

ApiError unknown_operation() {
    return {.status = 404, .code = "UnknownOperationException", .message = "", .type = ""};
}

void send_wrong_method(ResponseWriter& out, std::string_view allowed) {
    const ApiError error = {
        .status = 405,
        .code = "MethodNotAllowedException",
        .message = "The method is not allowed for this resource.",
    };
    const std::array headers = {
        http::Header{.name = "x-amzn-ErrorType", .value = error.code},
        http::Header{.name = "Allow", .value = allowed},
    };
    out.send({.status = 405, .headers = headers}, error.to_json());
}

ApiError bad_encoding() {
    return registry::invalid_parameter("The path or the query is not well encoded.");
}

void send_route_fault(const Request& request, model::RouteFault fault, ResponseWriter& out) {
    if (fault == model::RouteFault::kUnknownPath) {
        http::send_error(out, unknown_operation());
        return;
    }
    std::string allowed;
    for (const std::string_view method : {"GET", "POST", "PUT", "DELETE"}) {
        if (model::find_route(method, request.path, request.query)) {
            allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", method);
        }
    }
    send_wrong_method(out, allowed);
}

bool takes_package(std::string_view operation) {
    return operation == "CreateFunction" || operation == "UpdateFunctionCode" ||
           operation == "PublishLayerVersion";
}

/// The right an operation asks for: Lambda's names differ from the operations' for invoking.
std::string action_of(std::string_view operation) {
    if (operation == "InvokeAsync") {
        return "lambda:InvokeFunction";
    }
    return fmt::format("lambda:{}", operation);
}

}  // namespace

/// One request with all that belongs to it.
struct Api::Served {
    const Request& request;
    const Caller& caller;
    ResponseWriter& out;
};

Api::Api(ApiServices services) : services_(std::move(services)) {}

bool Api::takes(const Request&) const {
    return true;
}

http::BodyLimit Api::body_limit(const Request& head) const {
    if (!invoked_name(head.path).empty()) {
        return {.bytes_max = services_.payload_bytes_max, .operation = "InvokeFunction"};
    }
    const auto route = model::find_route(head.method, head.path, head.query);
    if (!route) {
        return {.bytes_max = kSmallRequestBytesMax, .operation = "requested"};
    }
    const std::string_view operation = route->operation->name;
    if (operation == "InvokeAsync" || operation == "InvokeWithResponseStream") {
        return {.bytes_max = services_.payload_bytes_max, .operation = operation};
    }
    return {
        .bytes_max = takes_package(operation) ? kPackageRequestBytesMax : kSmallRequestBytesMax,
        .operation = operation,
    };
}

void Api::handle(const Request& request, const Caller& caller, ResponseWriter& out) {
    const Served served = {.request = request, .caller = caller, .out = out};
    // A page in somebody's browser may send requests to addresses that only this machine reaches.
    // It cannot sign them, and cannot help sending Origin.
    if (caller.kind == Caller::Kind::kUnchecked && !request.header("origin").empty()) {
        http::send_error(
            out,
            ApiError{
                .status = 403,
                .code = "AccessDeniedException",
                .message = "Requests of web pages must be signed.",
            }
        );
        return;
    }
    if (const std::string_view name = invoked_name(request.path);
        !name.empty() && request.method == "POST" && caller.kind != Caller::Kind::kAnonymous) {
        invoke(served, name);
        return;
    }
    if (answer_own(served)) {
        return;
    }
    // What an unsigned request would do is nobody's business.
    if (caller.kind == Caller::Kind::kAnonymous && !is_permitted(served, "lambda:*", {}, {})) {
        return;
    }
    const auto route = model::find_route(request.method, request.path, request.query);
    if (!route) {
        send_route_fault(request, route.error(), out);
        return;
    }
    operate(served, *route);
}

void Api::operate(const Served& served, const model::Route& route) {
    const std::string_view operation = route.operation->name;
    if (operation == "Invoke") {
        invoke(served, route.label("FunctionName"));
    } else if (operation == "InvokeWithResponseStream") {
        invoke_stream(served, route.label("FunctionName"));
    } else if (operation == "InvokeAsync") {
        invoke_async(served, route.label("FunctionName"));
    } else if (is_permitted(
                   served,
                   action_of(operation),
                   route.label("FunctionName"),
                   find_query_value(served.request.query, "Qualifier").value_or("")
               )) {
        control(served, route);
    }
}

bool Api::is_permitted(
    const Served& served,
    std::string_view action,
    std::string_view encoded_name,
    std::string_view encoded_qualifier
) {
    if (services_.access == nullptr) {
        return true;
    }
    std::string resource = "*";
    if (!encoded_name.empty()) {
        DecodedText name;
        DecodedText qualifier;
        if (!name.decode(encoded_name, false) || !qualifier.decode(encoded_qualifier, true)) {
            http::send_error(served.out, bad_encoding());
            return false;
        }
        const auto resolved = registry::resolve_function_name(
            name.text(),
            qualifier.text(),
            registry::NameShape::kNamespaced,
            services_.registry.identity()
        );
        if (!resolved) {
            http::send_error(served.out, resolved.error());
            return false;
        }
        resource = registry::function_arn(services_.registry.identity(), resolved->name);
        if (!resolved->qualifier.empty()) {
            resource += fmt::format(":{}", resolved->qualifier);
        }
    }
    if (const auto refusal = services_.access->permit(served.caller, action, resource)) {
        http::send_error(served.out, *refusal);
        return false;
    }
    return true;
}

void Api::invoke(const Served& served, std::string_view encoded_name) {
    InvokeRequest invocation;
    if (const auto read = invocation.read(served.request, encoded_name); !read) {
        http::send_error(served.out, read.error());
        return;
    }
    if (services_.access != nullptr &&
        !is_permitted(
            served,
            "lambda:InvokeFunction",
            encoded_name,
            find_query_value(served.request.query, "Qualifier").value_or("")
        )) {
        return;
    }
    served.out.cancel_when_gone();
    InvokeAnswer answer(served.out, invocation);
    services_.invoker.invoke(invocation.call(), answer);
}

void Api::invoke_stream(const Served& served, std::string_view encoded_name) {
    InvokeRequest invocation;
    if (const auto read = invocation.read_stream(served.request, encoded_name); !read) {
        http::send_error(served.out, read.error());
        return;
    }
    if (!is_permitted(
            served,
            "lambda:InvokeFunction",
            encoded_name,
            find_query_value(served.request.query, "Qualifier").value_or("")
        )) {
        return;
    }
    served.out.cancel_when_gone();
    InvokeStreamAnswer answer(served.out, invocation);
    services_.invoker.invoke(invocation.call(), answer);
    answer.finish();
}

void Api::invoke_async(const Served& served, std::string_view encoded_name) {
    if (!is_permitted(served, "lambda:InvokeFunction", encoded_name, {})) {
        return;
    }
    InvokeRequest invocation;
    if (const auto read = invocation.read_async(served.request, encoded_name); !read) {
        http::send_error(served.out, read.error());
        return;
    }
    InvokeAsyncAnswer answer(served.out);
    services_.invoker.invoke(invocation.call(), answer);
}

void Api::control(const Served& served, const model::Route& route) {
    const Request& request = served.request;
    const auto given = model::collect_given(
        route, request.query, [&request](std::string_view name) { return request.header(name); }
    );
    if (!given) {
        http::send_error(served.out, bad_encoding());
        return;
    }
    const registry::ControlAnswer answer =
        services_.control.handle(*route.operation, *given, request.body, {});
    const std::array headers = {http::Header{.name = "x-amzn-ErrorType", .value = answer.error_code}
    };
    served.out.send(
        {
            .status = static_cast<std::uint32_t>(answer.status),
            .headers = std::span(headers).first(answer.error_code.empty() ? 0 : 1),
        },
        answer.json
    );
}

/// The engine's own resources: read with GET and HEAD.
struct Api::Own {
    std::string_view path;
    std::string_view content_type;
    bool is_public;  // to whoever reaches the engine
    std::string (*text)(const ApiServices& services);
};

bool Api::answer_own(const Served& served) {
    const Request& request = served.request;
    ResponseWriter& out = served.out;
    static constexpr std::array kOwn = {
        Own{"/",
            "application/json",
            true,
            [](const ApiServices&) { return std::string(R"({"Service":"hako"})"); }},
        Own{"/healthz", "text/plain", true, [](const ApiServices&) { return std::string("ok\n"); }},
        Own{"/metrics",
            "text/plain; version=0.0.4",
            false,
            [](const ApiServices& services) { return services.metrics_text(); }},
        Own{"/status",
            "application/json",
            false,
            [](const ApiServices& services) { return services.engine_status_json(); }},
    };
    for (const Own& own : kOwn) {
        if (own.path != request.path) {
            continue;
        }
        if (!own.is_public && !is_permitted(served, "lambda:GetEngineStatus", {}, {})) {
            return true;
        }
        if (request.method == "GET" || request.method == "HEAD") {
            out.send({.content_type = own.content_type}, own.text(services_));
            return true;
        }
        if (request.method == "OPTIONS") {
            const std::array allow = {http::Header{.name = "Allow", .value = kOwnMethods}};
            out.send({.status = 204, .headers = allow}, {});
        } else {
            send_wrong_method(out, kOwnMethods);
        }
        return true;
    }
    return false;
}

}  // namespace hako::gateway::lambda
