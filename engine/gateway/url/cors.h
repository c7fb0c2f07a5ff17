#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/gateway/http/message.h"
#include "engine/gateway/url/answer.h"
#include "engine/registry/cors_rules.h"

// Cross-origin rules of a function URL or an HTTP API (Fetch Standard, section "CORS protocol").
namespace hako::gateway::url {

/// Whether this asks for permission to ask: OPTIONS with an origin and a method to come.
[[nodiscard]] bool is_preflight(const http::Request& request);

/// The answer to a preflight: what the rules permit, nothing where they do not.
[[nodiscard]] Answer preflight_answer(
    const registry::CorsRules& rules, const http::Request& request
);

/// Adds what the rules say to an answer, in place of what the function said about it.
void apply_cors(const registry::CorsRules& rules, const http::Request& request, Answer& answer);

}  // namespace hako::gateway::url
