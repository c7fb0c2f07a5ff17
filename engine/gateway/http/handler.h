#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/gateway/http/message.h"
#include "engine/registry/api_error.h"

// The stages behind the codec: who asks (AccessControl), then the first Handler that takes the
// request: function URLs by host or path, at last the Lambda API. `Router` joins them.
namespace hako::gateway::auth {
struct Grant;  // engine/gateway/auth/grant.h: what a known caller may do by itself
}

namespace hako::gateway::http {

/// Who asks, found out before anything looks at what is asked.
struct Caller {
    enum class Kind : std::uint8_t {
        kUnchecked,  ///< nothing was asked of it (no access control here): may do everything
        kAnonymous,  ///< unsigned where signatures count: may do what is open to everybody
        kKnown       ///< an access key or a Unix user
    };
    Kind kind = Kind::kUnchecked;
    std::string account;        ///< twelve digits; kKnown only, as are the next two
    std::string arn;            ///< arn:aws:iam::123456789012:user/name
    std::string access_key_id;  ///< empty for a Unix user
    std::shared_ptr<const auth::Grant> grant;
};

/// The rights of callers. Without one everybody may do everything.
class AccessControl {
public:
    AccessControl() = default;
    AccessControl(const AccessControl&) = delete;
    AccessControl& operator=(const AccessControl&) = delete;

    /// Who sent it. An unsigned request is no error (kAnonymous or kUnchecked). Errors: a signature
    /// that is malformed, wrong, too old, or of an unknown key. May park.
    [[nodiscard]] virtual std::expected<Caller, registry::ApiError> identify(const Request& request
    ) = 0;
    /// Whether a request of which only the head is there comes from somebody who may be known: its
    /// body may be large then. Cheap, and no promise. Does not park.
    [[nodiscard]] virtual bool is_plausible(const Request& head) = 0;
    /// Whether `caller` may do `action` (`lambda:InvokeFunction`) to `resource` (an ARN, with the
    /// qualifier if one was given; `*` where there is none). `url_auth_type` is that of the
    /// function URL it came through, `NONE` or `AWS_IAM`, else empty. Nothing if it may; else the
    /// refusal.
    [[nodiscard]] virtual std::optional<registry::ApiError> permit(
        const Caller& caller,
        std::string_view action,
        std::string_view resource,
        std::string_view url_auth_type = {}
    ) = 0;

protected:
    ~AccessControl() = default;
};

/// How much body a route takes. More is refused before it is read, with 413 in Lambda's words:
/// `Request must be smaller than N bytes for the OPERATION operation`.
struct BodyLimit {
    std::uint64_t bytes_max = 0;
    std::string_view operation;  ///< InvokeFunction
};

/// One of the things the front door serves.
class Handler {
public:
    Handler() = default;
    Handler(const Handler&) = delete;
    Handler& operator=(const Handler&) = delete;

    // For these `head` has no body yet; they decide by method, host, path and headers, are
    // called between fibers and do not park.

    /// Whether this handler answers the request, if only to say that there is nothing.
    [[nodiscard]] virtual bool takes(const Request& head) const = 0;
    [[nodiscard]] virtual BodyLimit body_limit(const Request& head) const = 0;
    /// Whether it matters who asks. Else the Authorization header is the function's own affair, and
    /// the caller is kAnonymous.
    [[nodiscard]] virtual bool asks_who(const Request& /*head*/) const { return true; }

    /// Answers; runs on the request's own fiber and may park. Returns with the answer sent,
    /// finished or aborted.
    virtual void handle(const Request& request, const Caller& caller, ResponseWriter& out) = 0;

protected:
    ~Handler() = default;
};

/// A refusal as an answer: status, `x-amzn-ErrorType`, JSON body.
void send_error(ResponseWriter& out, const registry::ApiError& error);

}  // namespace hako::gateway::http
