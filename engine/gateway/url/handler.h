#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/gateway/http/handler.h"
#include "engine/gateway/url/answer.h"
#include "engine/gateway/url/event.h"
#include "engine/gateway/url/site.h"
#include "engine/gateway/url/trusted_proxies.h"
#include "engine/instance/invoker.h"
#include "engine/registry/registry.h"

namespace hako::gateway::url {

/// What function URLs and HTTP APIs hand requests to.
struct UrlServices {
    instance::Invoker& invoker;
    const registry::Registry& registry;
    Sites sites;
    http::AccessControl* access = nullptr;  ///< null: everybody may do everything
    TrustedProxies proxies;
    std::uint64_t payload_bytes_max = 0;
};

/// Function URLs and HTTP APIs: an HTTP request becomes an event, the result an HTTP answer
/// (docs/http-events.md).
class UrlHandler final : public http::Handler {
public:
    explicit UrlHandler(UrlServices services);

    [[nodiscard]] bool takes(const http::Request& head) const override;
    [[nodiscard]] http::BodyLimit body_limit(const http::Request& head) const override;
    [[nodiscard]] bool asks_who(const http::Request& head) const override;
    void handle(const http::Request& request, const http::Caller& caller, http::ResponseWriter& out)
        override;

private:
    struct Target;

    void serve_url(
        const http::Request& request,
        const http::Caller& caller,
        const Site& site,
        http::ResponseWriter& out
    );
    void serve_api(const http::Request& request, const Site& site, http::ResponseWriter& out);
    void invoke(
        const http::Request& request,
        const Target& target,
        EventInput& event,
        http::ResponseWriter& out
    );
    void fill_forwarded(const http::Request& request, const Site& site, Target& target) const;

    UrlServices services_;
    AnswerReader reader_;
};

}  // namespace hako::gateway::url
