#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/registry/api_error.h"

namespace hako::registry {

// The API model's patterns, as they stand in the error texts.
inline constexpr std::string_view kFunctionNamePattern =
    "(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?"
    "(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?";
inline constexpr std::string_view kNamespacedNamePattern =
    "(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:|"
    "(((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?))(function:)?"
    "([a-zA-Z0-9-_\\.]+)(:(\\$LATEST(\\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
inline constexpr std::string_view kQualifierPattern = "(|[a-zA-Z0-9$_-]+)";
inline constexpr std::string_view kHandlerPattern = "[^\\s]+";
inline constexpr std::string_view kRolePattern =
    "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+";
inline constexpr std::string_view kEnvironmentKeyPattern = "[a-zA-Z]([a-zA-Z0-9_])+";

/// Collects broken constraints in Lambda's words; a member's path is in lowerCamel.
class Validation {
public:
    void not_null(bool given, std::string_view path);
    void range(
        std::optional<std::int64_t> value, std::string_view path, std::int64_t min, std::int64_t max
    );
    /// In characters, as the API model counts; `value` is UTF-8.
    void length_max(
        const std::optional<std::string>& value, std::string_view path, std::size_t max
    );
    void pattern(std::string_view value, bool matches, std::string_view path, std::string_view re);
    void enumeration(
        const std::optional<std::string>& value,
        std::string_view path,
        const std::vector<std::string_view>& allowed
    );
    /// For members whose value Lambda does not repeat in the text.
    void environment_keys();

    /// `1 validation error detected: ..`, or nothing.
    [[nodiscard]] std::optional<ApiError> result() const;

private:
    void fail(std::string_view value, std::string_view path, std::string constraint);
    std::vector<std::string> faults_;
};

/// One fault's text: `Value 'V' at 'path' failed to satisfy constraint: C`.
[[nodiscard]] std::string constraint_text(
    std::string_view value, std::string_view path, std::string_view constraint
);

[[nodiscard]] bool is_role_arn(std::string_view text);
/// What stands behind `arn:`: empty, or `aws` with letters and hyphens.
[[nodiscard]] bool is_arn_partition(std::string_view text);
[[nodiscard]] bool is_environment_key(std::string_view text);
/// No white space, not empty.
[[nodiscard]] bool is_handler(std::string_view text);
/// `$LATEST`, digits or an alias; at most 128.
[[nodiscard]] bool is_qualifier(std::string_view text);

}  // namespace hako::registry
