#pragma once

#include <string>
#include <string_view>

namespace hako::registry {

// The API model's patterns of names, which the invoke path checks by hand: as they stand in the
// error texts, and in engine/model/api/types.api.
inline constexpr std::string_view kFunctionNamePattern =
    "(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?"
    "(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?";
inline constexpr std::string_view kNamespacedNamePattern =
    "(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:|"
    "(((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?))(function:)?"
    "([a-zA-Z0-9-_\\.]+)(:(\\$LATEST(\\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
inline constexpr std::string_view kQualifierPattern = "(|[a-zA-Z0-9$_-]+)";

/// One fault's text: `Value 'V' at 'path' failed to satisfy constraint: C`.
[[nodiscard]] std::string constraint_text(
    std::string_view value, std::string_view path, std::string_view constraint
);

/// What stands behind `arn:`: empty, or `aws` with letters and hyphens.
[[nodiscard]] bool is_arn_partition(std::string_view text);
/// `$LATEST`, digits or an alias; at most 128.
[[nodiscard]] bool is_qualifier(std::string_view text);

}  // namespace hako::registry
