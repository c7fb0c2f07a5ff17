#include "engine/registry/function_name.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/registry/validation.h"

namespace hako::registry {

namespace {

constexpr std::size_t kPlainNameMax = 64;

bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_word(char c) {
    return is_lower(c) || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_';
}

bool take(std::string_view& rest, std::string_view prefix) {
    if (!rest.starts_with(prefix)) {
        return false;
    }
    rest.remove_prefix(prefix.size());
    return true;
}

/// `us-east-1`, `us-gov-west-1`: two letters, words, one digit.
bool is_region(std::string_view text) {
    (void)take(text, "eusc-");  // optional in the pattern
    if (text.size() < 6 || !is_lower(text[0]) || !is_lower(text[1]) || text[2] != '-') {
        return false;
    }
    if (!is_digit(text.back()) || text[text.size() - 2] != '-') {
        return false;
    }
    const std::string_view middle = text.substr(3, text.size() - 5);
    const std::size_t dash = middle.find('-');
    const std::string_view word = dash == std::string_view::npos ? middle : middle.substr(dash + 1);
    const std::string_view prefix = dash == std::string_view::npos ? "gov" : middle.substr(0, dash);
    const bool prefix_ok = prefix == "gov" || (prefix.starts_with("iso") && prefix.size() <= 4 &&
                                               std::ranges::all_of(prefix, is_lower));
    return prefix_ok && !word.empty() && std::ranges::all_of(word, is_lower);
}

std::string_view until_colon(std::string_view text) {
    return text.substr(0, text.find(':'));
}

/// Takes `X:` off the front if `X` satisfies `check` and something follows.
template <typename Check>
std::string_view take_part(std::string_view& rest, Check&& check) {
    const std::string_view part = until_colon(rest);
    if (part.size() == rest.size() || !check(part)) {
        return {};
    }
    rest.remove_prefix(part.size() + 1);
    return part;
}

bool is_plain_name(std::string_view text, NameShape shape) {
    return !text.empty() && std::ranges::all_of(text, [shape](char c) {
        return is_word(c) || (c == '.' && shape == NameShape::kNamespaced);
    });
}

bool is_inner_qualifier(std::string_view text) {
    return text == "$LATEST" || (!text.empty() && std::ranges::all_of(text, is_word));
}

/// `name[:qualifier]`, all of `rest`.
bool split_tail(std::string_view rest, NameShape shape, FunctionName& parts) {
    parts.name = until_colon(rest);
    if (parts.name.size() < rest.size()) {
        parts.qualifier = rest.substr(parts.name.size() + 1);
        if (!is_inner_qualifier(parts.qualifier)) {
            return false;
        }
    }
    return is_plain_name(parts.name, shape);
}

bool split(std::string_view text, NameShape shape, FunctionName& parts) {
    std::string_view rest = text;
    const bool is_arn = take(rest, "arn:");
    if (is_arn) {
        const std::string_view partition = until_colon(rest);
        rest.remove_prefix(partition.size());
        if (!is_arn_partition(partition) || !take(rest, ":lambda:")) {
            return false;
        }
    }
    parts.region = take_part(rest, is_region);
    parts.account = take_part(rest, [](std::string_view part) {
        return part.size() == 12 && std::ranges::all_of(part, is_digit);
    });
    const bool has_function = take(rest, "function:");
    if (is_arn && (parts.region.empty() || parts.account.empty() || !has_function)) {
        return false;
    }
    return split_tail(rest, shape, parts);
}

std::unexpected<ApiError> fault(
    std::string_view value, std::string_view path, std::string_view constraint
) {
    return std::unexpected(
        validation_error("1 validation error detected: " + constraint_text(value, path, constraint))
    );
}

std::expected<void, ApiError> check_length(std::string_view text, NameShape shape) {
    const std::size_t max = shape == NameShape::kFunctionName ? 140 : 256;
    if (text.empty()) {
        return fault(text, "functionName", "Member must have length greater than or equal to 1");
    }
    if (text.size() > max) {
        return fault(
            text,
            "functionName",
            fmt::format("Member must have length less than or equal to {}", max)
        );
    }
    return {};
}

std::expected<void, ApiError> check_owner(const FunctionName& parts, const Identity& identity) {
    if (!parts.region.empty() && parts.region != identity.region) {
        return std::unexpected(not_found(fmt::format(
            "Functions from '{}' are not reachable in this region ('{}')",
            parts.region,
            identity.region
        )));
    }
    if (!parts.account.empty() && parts.account != identity.account) {
        return std::unexpected(ApiError{
            .status = 403,
            .code = "AccessDeniedException",
            .message = fmt::format(
                "Functions of account {} are not accessible: this engine serves account {}",
                parts.account,
                identity.account
            ),
            .type = ""
        });
    }
    return {};
}

}  // namespace

std::expected<FunctionName, ApiError> parse_function_name(std::string_view text, NameShape shape) {
    TRY(check_length(text, shape));
    FunctionName parts;
    if (!split(text, shape, parts)) {
        // The prefixes are optional: `arn:7` or `function:7` may be a name with a qualifier.
        parts = {};
        if (!split_tail(text, shape, parts)) {
            return fault(
                text,
                "functionName",
                fmt::format(
                    "Member must satisfy regular expression pattern: {}",
                    shape == NameShape::kFunctionName ? kFunctionNamePattern
                                                      : kNamespacedNamePattern
                )
            );
        }
    }
    if (parts.name.size() > kPlainNameMax) {
        return std::unexpected(invalid_parameter(
            "1 validation error detected: " +
            constraint_text(
                parts.name, "functionName", "Member must have length less than or equal to 64"
            )
        ));
    }
    return parts;
}

std::expected<FunctionName, ApiError> resolve_function_name(
    std::string_view text, std::string_view qualifier, NameShape shape, const Identity& identity
) {
    TRY_ASSIGN(FunctionName parts, parse_function_name(text, shape));
    if (qualifier.size() > 128) {
        return fault(qualifier, "qualifier", "Member must have length less than or equal to 128");
    }
    if (!is_qualifier(qualifier)) {
        return fault(
            qualifier,
            "qualifier",
            fmt::format("Member must satisfy regular expression pattern: {}", kQualifierPattern)
        );
    }
    if (!qualifier.empty() && !parts.qualifier.empty() && qualifier != parts.qualifier) {
        return std::unexpected(invalid_parameter(
            "The derived qualifier from the function name does not match the specified qualifier."
        ));
    }
    TRY(check_owner(parts, identity));
    if (!qualifier.empty()) {
        parts.qualifier = qualifier;
    }
    return parts;
}

std::string function_arn(const Identity& identity, std::string_view name) {
    return fmt::format("arn:aws:lambda:{}:{}:function:{}", identity.region, identity.account, name);
}

ApiError function_not_found(
    const Identity& identity, std::string_view name, std::string_view qualifier
) {
    return not_found(fmt::format(
        "Function not found: {}{}{}",
        function_arn(identity, name),
        qualifier.empty() ? "" : ":",
        qualifier
    ));
}

}  // namespace hako::registry
