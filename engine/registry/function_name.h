#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "engine/registry/api_error.h"

namespace hako::registry {

/// Whose functions this engine serves.
struct Identity {
    std::string account = "123456789012";
    std::string region = "us-east-1";
};

/// The parts of a name as clients write it; views into the caller's string, empty if absent.
struct FunctionName {
    std::string_view region;
    std::string_view account;
    std::string_view name;
    std::string_view qualifier;
};

/// The API model knows two shapes: one for operations that change a function, one for the others.
enum class NameShape { kFunctionName, kNamespaced };

/// Splits `name`, `name:q`, `ACCOUNT:function:name[:q]`, `arn:aws:lambda:R:A:function:name[:q]`.
/// Errors: ValidationException (length, pattern), InvalidParameterValueException (plain name over
/// 64 characters). Does not allocate if it works.
[[nodiscard]] std::expected<FunctionName, ApiError> parse_function_name(
    std::string_view text, NameShape shape
);

/// The same, and checks that region and account are ours and that `qualifier` agrees with the one
/// inside the name; the result's qualifier is the one that holds (may be empty).
[[nodiscard]] std::expected<FunctionName, ApiError> resolve_function_name(
    std::string_view text, std::string_view qualifier, NameShape shape, const Identity& identity
);

[[nodiscard]] std::string function_arn(const Identity& identity, std::string_view name);
/// 404 `Function not found: ARN[:qualifier]`.
[[nodiscard]] ApiError function_not_found(
    const Identity& identity, std::string_view name, std::string_view qualifier
);

}  // namespace hako::registry
