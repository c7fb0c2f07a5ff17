#include "engine/gateway/auth/grant.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/gateway/auth/text.h"

namespace hako::gateway::auth {

namespace {

constexpr std::array<std::pair<std::string_view, Right>, 3> kNames = {{
    {"invoke", Right::kInvoke},
    {"control", Right::kControl},
    {"admin", Right::kAdmin},
}};

// Operations and IAM actions that run a function.
constexpr std::array<std::string_view, 6> kInvokes = {
    "Invoke",
    "InvokeAsync",
    "InvokeWithResponseStream",
    "InvokeFunction",
    "InvokeFunctionUrl",
    "InvokeFunctionWithResponseStream",
};

// Our own operations, which no Lambda has: who may call.
constexpr std::array<std::string_view, 5> kAdministers = {
    "CreateAccessKey",
    "ListAccessKeys",
    "UpdateAccessKey",
    "RotateAccessKey",
    "DeleteAccessKey",
};

}  // namespace

std::vector<std::string_view> Rights::names() const {
    std::vector<std::string_view> found;
    for (const auto& [name, right] : kNames) {
        if ((bits_ & static_cast<unsigned>(right)) != 0) {
            found.push_back(name);
        }
    }
    return found;
}

std::optional<Right> right_named(std::string_view name) noexcept {
    for (const auto& [known, right] : kNames) {
        if (known == name) {
            return right;
        }
    }
    return std::nullopt;
}

Right right_for(std::string_view action) noexcept {
    if (action.starts_with("lambda:")) {
        action.remove_prefix(7);
    }
    if (std::ranges::find(kInvokes, action) != kInvokes.end()) {
        return Right::kInvoke;
    }
    const bool is_admin = std::ranges::find(kAdministers, action) != kAdministers.end();
    return is_admin ? Right::kAdmin : Right::kControl;
}

bool matches(std::string_view pattern, std::string_view text) noexcept {
    // The last star takes as little as it can; when the rest does not fit it takes one more.
    std::size_t at = 0;
    std::size_t p = 0;
    std::size_t star = std::string_view::npos;
    std::size_t star_at = 0;
    while (at < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            star_at = at;
        } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[at])) {
            ++p;
            ++at;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            at = ++star_at;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

bool Grant::covers(Right right, std::string_view resource) const noexcept {
    if (!rights.has(right)) {
        return false;
    }
    if (functions.empty()) {
        return true;
    }
    const std::string_view name = function_of_arn(resource);
    return !name.empty() && std::ranges::any_of(functions, [name](const std::string& pattern) {
        return matches(pattern, name);
    });
}

std::string_view function_of_arn(std::string_view arn, std::string_view* qualifier) noexcept {
    const bool is_arn = take_until(arn, ':') == "arn";
    const bool has_partition = !take_until(arn, ':').empty();
    if (!is_arn || !has_partition || take_until(arn, ':') != "lambda") {
        return {};
    }
    (void)take_until(arn, ':');  // region
    (void)take_until(arn, ':');  // account
    if (take_until(arn, ':') != "function") {
        return {};
    }
    const std::string_view name = take_until(arn, ':');
    if (qualifier != nullptr) {
        *qualifier = arn;
    }
    return name;
}

}  // namespace hako::gateway::auth
