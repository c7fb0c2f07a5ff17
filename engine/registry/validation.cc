#include "engine/registry/validation.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace hako::registry {

namespace {

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

std::size_t utf8_length(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
    }));
}

bool take(std::string_view& rest, std::string_view prefix) {
    if (!rest.starts_with(prefix)) {
        return false;
    }
    rest.remove_prefix(prefix.size());
    return true;
}

}  // namespace

std::string constraint_text(
    std::string_view value, std::string_view path, std::string_view constraint
) {
    return fmt::format(
        "Value '{}' at '{}' failed to satisfy constraint: {}", value, path, constraint
    );
}

void Validation::fail(std::string_view value, std::string_view path, std::string constraint) {
    faults_.push_back(constraint_text(value, path, constraint));
}

void Validation::not_null(bool given, std::string_view path) {
    if (!given) {
        faults_.push_back(fmt::format(
            "Value null at '{}' failed to satisfy constraint: Member must not be null", path
        ));
    }
}

void Validation::range(
    std::optional<std::int64_t> value, std::string_view path, std::int64_t min, std::int64_t max
) {
    if (!value) {
        return;
    }
    if (*value < min) {
        fail(
            std::to_string(*value),
            path,
            fmt::format("Member must have value greater than or equal to {}", min)
        );
    } else if (*value > max) {
        fail(
            std::to_string(*value),
            path,
            fmt::format("Member must have value less than or equal to {}", max)
        );
    }
}

void Validation::length_max(
    const std::optional<std::string>& value, std::string_view path, std::size_t max
) {
    if (value && utf8_length(*value) > max) {
        fail(*value, path, fmt::format("Member must have length less than or equal to {}", max));
    }
}

void Validation::pattern(
    std::string_view value, bool matches, std::string_view path, std::string_view re
) {
    if (!matches) {
        fail(value, path, fmt::format("Member must satisfy regular expression pattern: {}", re));
    }
}

void Validation::enumeration(
    const std::optional<std::string>& value,
    std::string_view path,
    const std::vector<std::string_view>& allowed
) {
    if (value && std::ranges::find(allowed, *value) == allowed.end()) {
        fail(
            *value,
            path,
            fmt::format("Member must satisfy enum value set: [{}]", fmt::join(allowed, ", "))
        );
    }
}

void Validation::environment_keys() {
    // The model marks the variables as sensitive: Lambda leaves the value out.
    faults_.push_back(fmt::format(
        "Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy "
        "constraint: [Member must satisfy regular expression pattern: {}]",
        kEnvironmentKeyPattern
    ));
}

std::optional<ApiError> Validation::result() const {
    if (faults_.empty()) {
        return std::nullopt;
    }
    return validation_error(fmt::format(
        "{} validation error{} detected: {}",
        faults_.size(),
        faults_.size() == 1 ? "" : "s",
        fmt::join(faults_, "; ")
    ));
}

bool is_arn_partition(std::string_view text) {
    return text.empty() || (take(text, "aws") && std::ranges::all_of(text, [](char c) {
                                return is_letter(c) || c == '-';
                            }));
}

bool is_role_arn(std::string_view text) {
    if (!take(text, "arn:")) {
        return false;
    }
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos) {
        return false;
    }
    const std::string_view partition = text.substr(0, colon);
    text.remove_prefix(colon);
    if (!is_arn_partition(partition) || !take(text, ":iam::") || text.size() < 12 ||
        !std::ranges::all_of(text.substr(0, 12), is_digit)) {
        return false;
    }
    text.remove_prefix(12);
    return take(text, ":role") && !text.empty() && std::ranges::all_of(text, [](char c) {
               return is_letter(c) || is_digit(c) ||
                      std::string_view("_+=,.@-/").find(c) != std::string_view::npos;
           });
}

bool is_environment_key(std::string_view text) {
    return text.size() >= 2 && is_letter(text.front()) && std::ranges::all_of(text, [](char c) {
               return is_letter(c) || is_digit(c) || c == '_';
           });
}

bool is_handler(std::string_view text) {
    return !text.empty() && std::ranges::none_of(text, [](char c) {
        return std::isspace(static_cast<unsigned char>(c)) != 0 || c == '\0';
    });
}

bool is_qualifier(std::string_view text) {
    return text.size() <= 128 && std::ranges::all_of(text, [](char c) {
               return is_letter(c) || is_digit(c) || c == '$' || c == '_' || c == '-';
           });
}

}  // namespace hako::registry
