#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/registry/cors_rules.h"

namespace hako::registry {

/// One route of an HTTP API: which function answers which requests.
struct HttpRoute {
    std::string method;  ///< GET ..., or ANY; empty for the route `$default`
    std::string path;    ///< /items/{id}, /{proxy+}, or $default
    std::string function_name;
    std::string qualifier;
    bool is_version_1 = false;  ///< of the event; REST APIs know no other
};

/// An API in front of functions: what API Gateway keeps as API, routes, integrations and stage in
/// one object.
struct HttpApi {
    std::string id;  ///< ten lower-case letters and digits
    std::string name;
    std::string stage = "$default";
    bool is_rest = false;
    std::string description;
    std::vector<HttpRoute> routes;
    std::vector<std::string> host_names;  ///< lower case; served without the stage in the path
    std::vector<std::pair<std::string, std::string>> stage_variables;
    std::optional<CorsRules> cors;
    std::string created;  ///< 2017-12-14T10:00:00.123Z
    std::string modified;
};
using HttpApiRef = std::shared_ptr<const HttpApi>;

/// A route's path, cut into segments.
struct RouteTemplate {
    enum class Kind : std::uint8_t { kLiteral, kParameter, kGreedy };
    struct Segment {
        Kind kind = Kind::kLiteral;
        std::string text;  ///< the literal, or the parameter's name
    };
    std::vector<Segment> segments;
    bool is_default = false;

    /// Errors: what is wrong with it.
    [[nodiscard]] static std::expected<RouteTemplate, std::string> parse(std::string_view path);
    /// The same requests come to both.
    [[nodiscard]] bool has_shape_of(const RouteTemplate& other) const;
};

/// The routes of an API, ready to be looked up.
class RouteTable {
public:
    /// `api`'s routes must have valid paths.
    explicit RouteTable(HttpApiRef api);

    struct Match {
        const HttpRoute* route = nullptr;  ///< null: no route takes it
        /// Names and values as they stand in the path, percent-encoded.
        std::vector<std::pair<std::string, std::string>> parameters;
    };
    /// The most specific route, as AWS chooses: literal before {parameter} before {greedy+}, from
    /// left to right, then the method before ANY, then $default. REST APIs choose by path first and
    /// look for the method there. `path` is percent-encoded and begins with a slash.
    [[nodiscard]] Match match(std::string_view method, std::string_view path) const;
    [[nodiscard]] const HttpApi& api() const noexcept { return *api_; }

private:
    struct Entry {
        RouteTemplate path;
        std::size_t index = 0;
    };

    HttpApiRef api_;
    std::vector<Entry> entries_;  // most specific first
};

/// Every HTTP API, in memory. One thread (the loop).
class HttpApiTable {
public:
    using Ref = std::shared_ptr<const RouteTable>;

    /// Null if there is none.
    [[nodiscard]] Ref find(std::string_view name) const;
    [[nodiscard]] Ref find_id(std::string_view id) const;
    [[nodiscard]] Ref find_host(std::string_view host) const;
    /// Sorted by name, those behind `after_name`, at most `count_max`.
    [[nodiscard]] std::vector<Ref> list(std::string_view after_name, std::size_t count_max) const;

    /// Enters or replaces the one of the same name; its host names belong to nobody else.
    void put(const HttpApiRef& api);
    void remove(std::string_view name);
    [[nodiscard]] bool empty() const noexcept { return by_name_.empty(); }
    [[nodiscard]] std::size_t count() const noexcept { return by_name_.size(); }

private:
    using Table = std::map<std::string, Ref, std::less<>>;
    Table by_name_;
    Table by_id_;
    Table by_host_;
};

}  // namespace hako::registry
