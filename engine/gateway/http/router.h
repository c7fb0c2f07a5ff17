#pragma once

#include <span>
#include <vector>

#include "engine/gateway/http/handler.h"

namespace hako::gateway::http {

/// The three stages in order: who asks, function URLs, the Lambda API.
class Router {
public:
    /// `handlers` in the order they are asked; the last must take everything. `access` may be null.
    /// All outlive the router.
    Router(std::vector<Handler*> handlers, AccessControl* access);

    [[nodiscard]] BodyLimit body_limit(const Request& head) const;
    void handle(const Request& request, ResponseWriter& out);

private:
    [[nodiscard]] Handler& handler_of(const Request& head) const;

    std::vector<Handler*> handlers_;
    AccessControl* access_;
};

}  // namespace hako::gateway::http
