#include "engine/gateway/http/router.h"

#include <array>
#include <utility>

#include "engine/base/ensure.h"

namespace hako::gateway::http {

namespace {

// Who shows no key of ours is going to be refused: his body is not worth more memory than this.
constexpr std::uint64_t kStrangerBytesMax = 64 * 1024;

}  // namespace

Router::Router(std::vector<Handler*> handlers, AccessControl* access)
    : handlers_(std::move(handlers)), access_(access) {
    ENSURE(!handlers_.empty(), "somebody takes what nobody else does");
}

Handler& Router::handler_of(const Request& head) const {
    for (Handler* handler : handlers_) {
        if (handler->takes(head)) {
            return *handler;
        }
    }
    return *handlers_.back();
}

BodyLimit Router::body_limit(const Request& head) const {
    const Handler& handler = handler_of(head);
    BodyLimit limit = handler.body_limit(head);
    if (access_ != nullptr && limit.bytes_max > kStrangerBytesMax && handler.asks_who(head) &&
        !access_->is_plausible(head)) {
        limit.bytes_max = kStrangerBytesMax;
    }
    return limit;
}

void Router::handle(const Request& request, ResponseWriter& out) {
    Caller caller;
    Handler& handler = handler_of(request);
    if (access_ != nullptr && !handler.asks_who(request)) {
        caller.kind = Caller::Kind::kAnonymous;
    } else if (access_ != nullptr) {
        auto identified = access_->identify(request);
        if (!identified) {
            send_error(out, identified.error());
            return;
        }
        caller = *std::move(identified);
    }
    handler.handle(request, caller, out);
}

void send_error(ResponseWriter& out, const registry::ApiError& error) {
    const std::array headers = {Header{.name = "x-amzn-ErrorType", .value = error.code}};
    const std::string body = error.to_json();
    out.send({.status = static_cast<std::uint32_t>(error.status), .headers = headers}, body);
}

}  // namespace hako::gateway::http
