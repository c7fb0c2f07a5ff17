#include "engine/gateway/url/cors.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/gateway/url/text.h"

namespace hako::gateway::url {

namespace {

using registry::CorsRules;

bool has(const std::vector<std::string>& list, std::string_view text) {
    return std::ranges::any_of(list, [text](const std::string& item) {
        return item == "*" || http::is_same_word(item, text);
    });
}

/// `https://*` stands for every origin of that scheme.
bool permits_origin(const CorsRules& rules, std::string_view origin) {
    return std::ranges::any_of(rules.allow_origins, [origin](std::string_view allowed) {
        if (allowed == "*" || http::is_same_word(allowed, origin)) {
            return true;
        }
        return allowed.ends_with("://*") &&
               lower_case(origin).starts_with(lower_case(allowed.substr(0, allowed.size() - 1)));
    });
}

/// What Access-Control-Allow-Origin says; empty if the origin is not permitted. With credentials
/// browsers do not take `*`.
std::string_view granted_origin(const CorsRules& rules, std::string_view origin) {
    if (origin.empty() || !is_field_value(origin) || !permits_origin(rules, origin)) {
        return {};
    }
    const bool for_all = rules.allow_origins.size() == 1 && rules.allow_origins[0] == "*";
    return for_all && !rules.allow_credentials.value_or(false) ? "*" : origin;
}

void add(Answer& answer, std::string_view name, std::string_view value) {
    answer.headers.emplace_back(name, value);
}

void add_list(Answer& answer, std::string_view name, const std::vector<std::string>& list) {
    if (!list.empty()) {
        add(answer, name, fmt::format("{}", fmt::join(list, ",")));
    }
}

/// Grants the origin; false if it is not permitted.
bool add_origin(const CorsRules& rules, const http::Request& request, Answer& answer) {
    const std::string_view granted = granted_origin(rules, request.header("origin"));
    if (granted != "*") {
        add(answer, "vary", "Origin"
        );  // also where nothing is granted: caches must not mix them up
    }
    if (granted.empty()) {
        return false;
    }
    add(answer, "access-control-allow-origin", granted);
    if (rules.allow_credentials.value_or(false)) {
        add(answer, "access-control-allow-credentials", "true");
    }
    return true;
}

}  // namespace

bool is_preflight(const http::Request& request) {
    return request.method == "OPTIONS" && !request.header("origin").empty() &&
           !request.header("access-control-request-method").empty();
}

Answer preflight_answer(const CorsRules& rules, const http::Request& request) {
    Answer answer;
    if (!add_origin(rules, request, answer)) {
        return answer;
    }
    const std::string_view method = request.header("access-control-request-method");
    if (has(rules.allow_methods, method)) {
        add_list(answer, "access-control-allow-methods", rules.allow_methods);
    }
    add_list(answer, "access-control-allow-headers", rules.allow_headers);
    add_list(answer, "access-control-expose-headers", rules.expose_headers);
    if (rules.max_age_s) {
        add(answer, "access-control-max-age", fmt::format("{}", *rules.max_age_s));
    }
    return answer;
}

void apply_cors(const CorsRules& rules, const http::Request& request, Answer& answer) {
    std::erase_if(answer.headers, [](const auto& header) {
        return lower_case(header.first).starts_with("access-control-");
    });
    if (!request.header("origin").empty() && add_origin(rules, request, answer)) {
        add_list(answer, "access-control-expose-headers", rules.expose_headers);
    }
}

}  // namespace hako::gateway::url
