#include "engine/model/route.h"

#include <utility>

#include "engine/base/ensure.h"

namespace hako::model {

namespace {

bool is_label(std::string_view segment) {
    return segment.starts_with('{');
}

std::string_view take_until(std::string_view& rest, char separator) {
    const std::size_t at = rest.find(separator);
    const std::string_view part = rest.substr(0, at);
    rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
    return part;
}

/// Fills the labels if `path` (without the slash it starts with) has the operation's form.
bool matches(const Operation& operation, std::string_view path, Route& route) noexcept {
    std::size_t labels_count = 0;
    for (std::size_t at = 0; at < operation.segments.size(); ++at) {
        const std::string_view wanted = operation.segments[at];
        const bool is_last = at + 1 == operation.segments.size();
        if (is_last != (path.find('/') == std::string_view::npos)) {
            return false;
        }
        const std::string_view part = take_until(path, '/');
        if (!is_label(wanted)) {
            if (part != wanted) {
                return false;
            }
        } else if (part.empty()) {
            return false;
        } else {
            ENSURE(labels_count < kLabelsMax, "a path has room for its labels");
            route.labels[labels_count++] = part;
        }
    }
    return true;
}

bool has_pair(std::string_view query, std::string_view pair) noexcept {
    while (!query.empty()) {
        if (take_until(query, '&') == pair) {
            return true;
        }
    }
    return false;
}

int digit_of(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

const Member* member_of_key(const Operation& operation, std::string_view key) {
    for (const Member& member : operation.members) {
        if (member.place == Place::kQuery && member.wire == key) {
            return &member;
        }
    }
    return nullptr;
}

bool collect_query(const Operation& operation, std::string_view query, std::vector<Given>& into) {
    while (!query.empty()) {
        std::string_view value = take_until(query, '&');
        const auto key = percent_decode(take_until(value, '='), true);
        auto text = percent_decode(value, true);
        if (!key || !text) {
            return false;
        }
        if (const Member* member = member_of_key(operation, *key)) {
            into.push_back({.member = member, .text = std::move(*text)});
        }
    }
    return true;
}

}  // namespace

std::string_view Route::label(std::string_view name) const noexcept {
    std::size_t index = 0;
    for (const std::string_view segment : operation->segments) {
        if (!is_label(segment)) {
            continue;
        }
        if (segment.substr(1, segment.size() - 2) == name) {
            return labels[index];
        }
        ++index;
    }
    return {};
}

std::expected<Route, RouteFault> find_route(
    std::string_view method, std::string_view path, std::string_view query
) noexcept {
    if (!path.starts_with('/')) {
        return std::unexpected(RouteFault::kUnknownPath);
    }
    path.remove_prefix(1);
    if (path.ends_with('/')) {
        path.remove_suffix(1);
    }
    bool path_known = false;
    Route found;
    for (const Operation& operation : operations()) {
        Route route;
        if (!path.starts_with(operation.segments.front()) || !matches(operation, path, route)) {
            continue;
        }
        path_known = true;
        const bool is_chosen = !operation.query.empty();
        if (operation.method != method || (is_chosen && !has_pair(query, operation.query))) {
            continue;
        }
        route.operation = &operation;
        if (is_chosen) {
            return route;
        }
        if (found.operation == nullptr) {
            found = route;
        }
        // Only a path that another operation shares by its query needs a second look.
        if (query.empty()) {
            break;
        }
    }
    if (found.operation == nullptr) {
        return std::unexpected(path_known ? RouteFault::kWrongMethod : RouteFault::kUnknownPath);
    }
    return found;
}

std::optional<std::vector<Given>> collect_given(
    const Route& route, std::string_view query, const HeaderLookup& header
) {
    std::vector<Given> given;
    for (const Member& member : route.operation->members) {
        if (member.place == Place::kPath) {
            auto text = percent_decode(route.label(member.name), false);
            if (!text) {
                return std::nullopt;
            }
            given.push_back({.member = &member, .text = std::move(*text)});
        } else if (member.place == Place::kHeader) {
            if (const std::string_view value = header(member.wire); !value.empty()) {
                given.push_back({.member = &member, .text = std::string(value)});
            }
        }
    }
    if (!collect_query(*route.operation, query, given)) {
        return std::nullopt;
    }
    return given;
}

std::optional<std::string> percent_decode(std::string_view text, bool in_query) {
    std::string decoded;
    decoded.reserve(text.size());
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            decoded.push_back(in_query && text[at] == '+' ? ' ' : text[at]);
            continue;
        }
        const int high = at + 2 < text.size() ? digit_of(text[at + 1]) : -1;
        const int low = at + 2 < text.size() ? digit_of(text[at + 2]) : -1;
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        decoded.push_back(static_cast<char>(high * 16 + low));
        at += 2;
    }
    return decoded;
}

}  // namespace hako::model
