#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/gateway/http/message.h"
#include "engine/registry/function_url.h"
#include "engine/registry/http_api.h"

namespace hako::gateway::url {

/// What a request is for: a function URL or an HTTP API, by the name of the host or by the path.
struct Site {
    enum class Kind : std::uint8_t { kNone, kUrl, kApi, kUnknownUrl, kUnknownApi };
    Kind kind = Kind::kNone;
    registry::FunctionUrlRef url;
    registry::HttpApiTable::Ref api;
    std::string host;         ///< the Host header without its port
    std::string_view path;    ///< behind our prefix and the stage, percent-encoded; with its slash
    std::string_view prefix;  ///< what was taken off the path: /url/ID, /api/NAME
    bool stage_is_in_path = false;
};

/// Where the sites are found.
struct Sites {
    const registry::UrlTable& urls;
    const registry::HttpApiTable& apis;

    /// `ID.any.domain`, `ID.lambda-url.*`, a host name of an API, `APIID.any.domain`,
    /// `APIID.execute-api.*`, or whatever the host is `/url/ID`, `/url/FUNCTION[:ALIAS]`,
    /// `/api/NAME`. kNone: nothing of ours.
    [[nodiscard]] Site find(const http::Request& head) const;

private:
    [[nodiscard]] bool find_by_host(const http::Request& head, Site& site) const;
    [[nodiscard]] bool find_by_path(const http::Request& head, Site& site) const;
};

}  // namespace hako::gateway::url
