#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "engine/gateway/http/handler.h"
#include "engine/instance/invoker.h"
#include "engine/model/route.h"
#include "engine/registry/control_service.h"
#include "engine/registry/registry.h"

namespace hako::gateway::lambda {

/// What the API hands requests to.
struct ApiServices {
    instance::Invoker& invoker;
    registry::ControlService& control;
    const registry::Registry& registry;
    http::AccessControl* access = nullptr;  ///< null: everybody may do everything
    std::function<std::string()> engine_status_json;
    std::function<std::string()> metrics_text;  ///< Prometheus' text format
    std::uint64_t payload_bytes_max = 0;
};

/// Lambda's REST API, and the engine's own `/healthz`, `/metrics` and `/status`. Takes whatever
/// nobody else took. Wire details: FACTS of Lambda as recorded in docs/http.md.
class Api final : public http::Handler {
public:
    explicit Api(ApiServices services);

    [[nodiscard]] bool takes(const http::Request& head) const override;
    [[nodiscard]] http::BodyLimit body_limit(const http::Request& head) const override;
    void handle(const http::Request& request, const http::Caller& caller, http::ResponseWriter& out)
        override;

private:
    struct Own;
    struct Served;

    void invoke(const Served& served, std::string_view encoded_name);
    void invoke_stream(const Served& served, std::string_view encoded_name);
    void invoke_async(const Served& served, std::string_view encoded_name);
    void operate(const Served& served, const model::Route& route);
    void control(const Served& served, const model::Route& route);
    [[nodiscard]] bool answer_own(const Served& served);
    /// Whether the caller may; if not, it has been answered.
    [[nodiscard]] bool is_permitted(
        const Served& served,
        std::string_view action,
        std::string_view encoded_name,
        std::string_view encoded_qualifier
    );

    ApiServices services_;
};

}  // namespace hako::gateway::lambda
