#include "engine/registry/validation.h"

#include <algorithm>

#include <fmt/format.h>

namespace hako::registry {

namespace {

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

}  // namespace

std::string constraint_text(
    std::string_view value, std::string_view path, std::string_view constraint
) {
    return fmt::format(
        "Value '{}' at '{}' failed to satisfy constraint: {}", value, path, constraint
    );
}

bool is_arn_partition(std::string_view text) {
    constexpr std::string_view kPrefix = "aws";
    return text.empty() || (text.starts_with(kPrefix) &&
                            std::ranges::all_of(text.substr(kPrefix.size()), [](char c) {
                                return is_letter(c) || c == '-';
                            }));
}

bool is_qualifier(std::string_view text) {
    return text.size() <= 128 && std::ranges::all_of(text, [](char c) {
               return is_letter(c) || is_digit(c) || c == '$' || c == '_' || c == '-';
           });
}

}  // namespace hako::registry
