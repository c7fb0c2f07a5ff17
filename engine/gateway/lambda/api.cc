#include "engine/gateway/lambda/api.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "engine/gateway/lambda/invoke.h"

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
    return {
        .status = 404,
        .code = "UnknownOperationException",
        .message = "",
        .type = "",
    };
}

ApiError wrong_method() {
    return {
        .status = 405,
        .code = "MethodNotAllowedException",
        .message = "The method is not allowed for this resource.",
        .type = "User",
    };
}

}  // namespace

Api::Api(ApiServices services) : services_(std::move(services)) {}

bool Api::takes(const Request&) const {
    return true;
}

http::BodyLimit Api::body_limit(const Request& head) const {
    if (!invoked_name(head.path).empty()) {
        return {.bytes_max = services_.payload_bytes_max, .operation = "InvokeFunction"};
    }
    if (head.method == "POST" &&
        http::is_same_word(head.path.substr(0, 21), "/2015-03-31/functions")) {
        return {.bytes_max = kPackageRequestBytesMax, .operation = "CreateFunction"};
    }
    return {.bytes_max = kSmallRequestBytesMax, .operation = "requested"};
}

void Api::handle(const Request& request, const Caller& caller, ResponseWriter& out) {
    if (const std::string_view name = invoked_name(request.path); !name.empty()) {
        if (request.method != "POST") {
            http::send_error(out, wrong_method());
            return;
        }
        invoke(request, name, caller, out);
        return;
    }
    if (!answer_own(request, out)) {
        http::send_error(out, unknown_operation());
    }
}

void Api::invoke(
    const Request& request, std::string_view encoded_name, const Caller&, ResponseWriter& out
) {
    InvokeRequest invocation;
    if (const auto read = invocation.read(request, encoded_name); !read) {
        http::send_error(out, read.error());
        return;
    }
    out.cancel_when_gone();
    InvokeAnswer answer(out, invocation);
    services_.invoker.invoke(invocation.call(), answer);
}

/// The engine's own resources: read with GET and HEAD.
struct Api::Own {
    std::string_view path;
    std::string_view content_type;
    std::string (*text)(const ApiServices& services);
};

bool Api::answer_own(const Request& request, ResponseWriter& out) {
    static constexpr std::array kOwn = {
        Own{"/",
            "application/json",
            [](const ApiServices&) { return std::string(R"({"Service":"hako"})"); }},
        Own{"/healthz", "text/plain", [](const ApiServices&) { return std::string("ok\n"); }},
        Own{"/metrics",
            "text/plain; version=0.0.4",
            [](const ApiServices& services) { return services.metrics_text(); }},
        Own{"/status",
            "application/json",
            [](const ApiServices& services) { return services.engine_status_json(); }},
    };
    for (const Own& own : kOwn) {
        if (own.path != request.path) {
            continue;
        }
        if (request.method == "GET" || request.method == "HEAD") {
            out.send({.content_type = own.content_type}, own.text(services_));
            return true;
        }
        const std::array allow = {http::Header{.name = "Allow", .value = "GET, HEAD, OPTIONS"}};
        if (request.method == "OPTIONS") {
            out.send({.status = 204, .headers = allow}, {});
        } else {
            http::send_error(out, wrong_method());
        }
        return true;
    }
    return false;
}

}  // namespace hako::gateway::lambda
