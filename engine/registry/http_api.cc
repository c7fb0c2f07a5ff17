#include "engine/registry/http_api.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/base/ensure.h"

namespace hako::registry {

namespace {

using Kind = RouteTemplate::Kind;
using Segment = RouteTemplate::Segment;

constexpr std::string_view kAny = "ANY";
constexpr std::size_t kPathBytesMax = 512;
constexpr std::size_t kSegmentsMax = 64;

bool is_alphanumeric(char character) {
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           (character >= '0' && character <= '9');
}

bool is_literal_character(char character) {
    constexpr std::string_view kMarks = "-._~!$&'()*+,;=:@%";  // RFC 3986 pchar
    return is_alphanumeric(character) || kMarks.find(character) != std::string_view::npos;
}

bool is_name_character(char character) {
    return is_alphanumeric(character) || character == '_' || character == '-' || character == '.';
}

std::vector<std::string_view> split_path(std::string_view path) {
    std::vector<std::string_view> segments;
    while (!path.empty() && segments.size() <= kSegmentsMax) {
        const std::size_t end = std::min(path.find('/', 1), path.size());
        segments.push_back(path.substr(1, end - 1));
        path.remove_prefix(end);
    }
    return segments;
}

std::expected<Segment, std::string> parse_segment(std::string_view text) {
    if (!text.starts_with('{')) {
        if (!std::ranges::all_of(text, is_literal_character)) {
            return std::unexpected(fmt::format(
                "'{}' has characters that stand in no path; a parameter is a whole segment", text
            ));
        }
        return Segment{.kind = Kind::kLiteral, .text = std::string(text)};
    }
    std::string_view name = text.substr(1);
    const bool is_closed = name.ends_with('}');
    name.remove_suffix(is_closed ? 1 : 0);
    const bool is_greedy = name.ends_with('+');
    name.remove_suffix(is_greedy ? 1 : 0);
    if (!is_closed || name.empty() || name.size() > 64 ||
        !std::ranges::all_of(name, is_name_character)) {
        return std::unexpected(fmt::format("'{}' is no parameter like {{id}} or {{proxy+}}", text));
    }
    return Segment{.kind = is_greedy ? Kind::kGreedy : Kind::kParameter, .text = std::string(name)};
}

bool is_greedy(const RouteTemplate& path) {
    return !path.segments.empty() && path.segments.back().kind == Kind::kGreedy;
}

/// Whether `left` is to be tried before `right`: $default last, greedy ones before it, else by kind
/// of segment, from left to right.
bool is_more_specific(const RouteTemplate& left, const RouteTemplate& right) {
    if (left.is_default != right.is_default) {
        return right.is_default;
    }
    if (is_greedy(left) != is_greedy(right)) {
        return is_greedy(right);
    }
    return std::ranges::lexicographical_compare(
        left.segments, right.segments, {}, &Segment::kind, &Segment::kind
    );
}

using Parameters = std::vector<std::pair<std::string, std::string>>;

/// The parameters' values if the path fits.
std::optional<Parameters> parameters_of(
    const RouteTemplate& path, const std::vector<std::string_view>& segments
) {
    Parameters parameters;
    if (path.is_default) {
        return parameters;
    }
    if (is_greedy(path) ? segments.size() < path.segments.size()
                        : segments.size() != path.segments.size()) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < path.segments.size(); ++i) {
        const Segment& wanted = path.segments[i];
        std::string_view value = segments[i];
        if (wanted.kind == Kind::kGreedy) {
            // The views are parts of one path: up to the end of the last one.
            value = {value.data(), segments.back().data() + segments.back().size()};
        }
        if (wanted.kind == Kind::kLiteral ? value != wanted.text : value.empty()) {
            return std::nullopt;
        }
        if (wanted.kind != Kind::kLiteral) {
            parameters.emplace_back(wanted.text, value);
        }
    }
    return parameters;
}

}  // namespace

std::expected<RouteTemplate, std::string> RouteTemplate::parse(std::string_view path) {
    RouteTemplate parsed;
    if (path == "$default") {
        parsed.is_default = true;
        return parsed;
    }
    if (!path.starts_with('/') || path.size() > kPathBytesMax) {
        return std::unexpected(fmt::format(
            "a path begins with a slash and has at most {} characters, or is $default",
            kPathBytesMax
        ));
    }
    const std::vector<std::string_view> segments = split_path(path);
    if (segments.size() > kSegmentsMax) {
        return std::unexpected(fmt::format("a path has at most {} segments", kSegmentsMax));
    }
    for (const std::string_view text : segments) {
        auto segment = parse_segment(text);
        if (!segment) {
            return std::unexpected(segment.error());
        }
        if (!parsed.segments.empty() && parsed.segments.back().kind == Kind::kGreedy) {
            return std::unexpected("a greedy parameter is the last segment");
        }
        const bool is_taken =
            segment->kind != Kind::kLiteral &&
            std::ranges::any_of(parsed.segments, [&segment](const Segment& other) {
                return other.kind != Kind::kLiteral && other.text == segment->text;
            });
        if (is_taken) {
            return std::unexpected(fmt::format("the parameter '{}' comes twice", segment->text));
        }
        parsed.segments.push_back(*std::move(segment));
    }
    return parsed;
}

bool RouteTemplate::has_shape_of(const RouteTemplate& other) const {
    return is_default == other.is_default &&
           std::ranges::equal(
               segments,
               other.segments,
               [](const Segment& left, const Segment& right) {
                   return left.kind == right.kind &&
                          (left.kind != Kind::kLiteral || left.text == right.text);
               }
           );
}

RouteTable::RouteTable(HttpApiRef api) : api_(std::move(api)) {
    for (std::size_t index = 0; index < api_->routes.size(); ++index) {
        auto path = RouteTemplate::parse(api_->routes[index].path);
        ENSURE(path.has_value(), "routes are checked before they are kept");
        entries_.push_back({.path = *std::move(path), .index = index});
    }
    std::ranges::stable_sort(entries_, [this](const Entry& left, const Entry& right) {
        if (is_more_specific(left.path, right.path) || is_more_specific(right.path, left.path)) {
            return is_more_specific(left.path, right.path);
        }
        return (api_->routes[left.index].method == kAny) <
               (api_->routes[right.index].method == kAny);
    });
}

RouteTable::Match RouteTable::match(std::string_view method, std::string_view path) const {
    if (api_->is_rest && path.size() > 1 && path.ends_with('/')) {
        path.remove_suffix(1);  // REST APIs do not tell /items/ from /items
    }
    const std::vector<std::string_view> segments = split_path(path);
    const RouteTemplate* resource = nullptr;  // what a REST API has settled on
    for (const Entry& entry : entries_) {
        const HttpRoute& route = api_->routes[entry.index];
        const bool takes_method =
            entry.path.is_default || route.method == kAny || route.method == method;
        if (resource != nullptr && !entry.path.has_shape_of(*resource)) {
            continue;
        }
        if (!takes_method && !(api_->is_rest && resource == nullptr)) {
            continue;
        }
        auto parameters = parameters_of(entry.path, segments);
        if (!parameters) {
            continue;
        }
        if (takes_method) {
            return {.route = &route, .parameters = *std::move(parameters)};
        }
        resource = &entry.path;
    }
    return {};
}

HttpApiTable::Ref HttpApiTable::find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
}

HttpApiTable::Ref HttpApiTable::find_id(std::string_view id) const {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
}

HttpApiTable::Ref HttpApiTable::find_host(std::string_view host) const {
    const auto found = by_host_.find(host);
    return found == by_host_.end() ? nullptr : found->second;
}

std::vector<HttpApiTable::Ref> HttpApiTable::list(
    std::string_view after_name, std::size_t count_max
) const {
    std::vector<Ref> apis;
    for (auto at = by_name_.upper_bound(after_name); at != by_name_.end(); ++at) {
        if (apis.size() == count_max) {
            break;
        }
        apis.push_back(at->second);
    }
    return apis;
}

void HttpApiTable::put(const HttpApiRef& api) {
    remove(api->name);
    const Ref table = std::make_shared<const RouteTable>(api);
    by_name_[api->name] = table;
    by_id_[api->id] = table;
    for (const std::string& host : api->host_names) {
        by_host_[host] = table;
    }
}

void HttpApiTable::remove(std::string_view name) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) {
        return;
    }
    const Ref table = found->second;
    by_name_.erase(found);
    by_id_.erase(table->api().id);
    for (const std::string& host : table->api().host_names) {
        by_host_.erase(host);
    }
}

}  // namespace hako::registry
