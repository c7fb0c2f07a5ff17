#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/byte_buffer.h"
#include "engine/gateway/http/message.h"

// An HTTP request as the event that API Gateway and function URLs make of it (docs/http-events.md).
namespace hako::gateway::url {

enum class EventForm : std::uint8_t {
    kFunctionUrl,  ///< payload version 2.0, the path as sent
    kHttpApi2,     ///< payload version 2.0, the path decoded (as HTTP APIs do)
    kHttpApi1,     ///< payload version 1.0 of an HTTP API, the path decoded
    kRestApi       ///< REST API proxy integration: no version member, the path as sent
};

/// Who signed the request, for `requestContext.authorizer.iam`; views.
struct EventSigner {
    std::string_view access_key;
    std::string_view account;
    std::string_view arn;
};

using NamedTexts = std::span<const std::pair<std::string, std::string>>;

/// Everything an event says besides the request itself; views, used during the call only.
struct EventInput {
    EventForm form = EventForm::kFunctionUrl;
    std::string_view account;  ///< of the API; `anonymous` for an open function URL
    std::string_view api_id;
    std::string_view domain;  ///< what the client called us
    std::string_view path;    ///< percent-encoded, without our own prefix and without the stage
    std::string_view stage = "$default";
    bool stage_is_in_path = false;  ///< the client wrote it: /Prod/items
    std::string_view route_key = "$default";
    std::string_view resource;   ///< path template of the route
    NamedTexts path_parameters;  ///< decoded
    NamedTexts stage_variables;
    std::string_view source_ip;
    std::string_view forwarded_for;  ///< whole chains, as the three headers are to say
    std::string_view forwarded_proto;
    std::string_view forwarded_port;
    std::string_view forwarded_prefix;  ///< part of the path that was taken off; may be empty
    const EventSigner* signer = nullptr;
    bool hides_authorization = false;  ///< the signature was for us
    std::int64_t wall_us = 0;
};

/// Appends the event to `out`: valid JSON whatever the request holds.
void write_event(const http::Request& request, const EventInput& input, ByteBuffer& out);

/// Whether a body of this content type is handed over as text (if it is UTF-8) and not in base64.
[[nodiscard]] bool is_text_type(std::string_view content_type);

/// Headers that mean one connection and not the message (RFC 9110 section 7.6.1).
[[nodiscard]] bool is_hop_by_hop(std::string_view name);

/// `12/Mar/2020:19:03:58 +0000`.
[[nodiscard]] std::string event_time(std::int64_t wall_us);

}  // namespace hako::gateway::url
