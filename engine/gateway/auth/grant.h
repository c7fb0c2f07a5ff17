#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hako::gateway::auth {

enum class Right : std::uint8_t {
    kInvoke = 1,   ///< run functions
    kControl = 2,  ///< Lambda's other operations: read and change functions
    kAdmin = 4     ///< keys of others, and everything else
};

/// A set of rights; kAdmin holds all.
class Rights {
public:
    constexpr Rights() = default;
    explicit constexpr Rights(Right right) : bits_(static_cast<std::uint8_t>(right)) {}
    [[nodiscard]] static constexpr Rights all() { return Rights(Right::kAdmin); }

    [[nodiscard]] constexpr bool has(Right right) const noexcept {
        return (bits_ & (static_cast<unsigned>(right) | static_cast<unsigned>(Right::kAdmin))) != 0;
    }
    constexpr void add(Right right) noexcept {
        bits_ = static_cast<std::uint8_t>(bits_ | static_cast<unsigned>(right));
    }
    [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }
    [[nodiscard]] constexpr bool operator==(const Rights&) const = default;

    /// The names of those that were added: `invoke`, `control`, `admin`.
    [[nodiscard]] std::vector<std::string_view> names() const;

private:
    std::uint8_t bits_ = 0;
};

[[nodiscard]] std::optional<Right> right_named(std::string_view name) noexcept;

/// The right that an IAM action (`lambda:InvokeFunction`) or the name of an operation (`Invoke`)
/// takes. What is in neither list of ours counts as control.
[[nodiscard]] Right right_for(std::string_view action) noexcept;

/// `*` for any characters, `?` for one; all of `text` must match. Linear in text times stars.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view text) noexcept;

/// What a caller may do by itself; what it has not may come from a function's policy.
struct Grant {
    Rights rights;
    /// Patterns of plain function names the rights are limited to; empty: all functions, and what
    /// belongs to no function.
    std::vector<std::string> functions;
    /// Of a function's own credentials: the role they stand for; else empty.
    std::string role_arn;

    /// Whether `right` covers this resource: a function's ARN (with or without qualifier), another
    /// ARN, or `*`.
    [[nodiscard]] bool covers(Right right, std::string_view resource) const noexcept;
};

/// The plain name in `arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]`; empty if the text
/// is no function's ARN. `qualifier` gets what follows the name.
[[nodiscard]] std::string_view function_of_arn(
    std::string_view arn, std::string_view* qualifier = nullptr
) noexcept;

}  // namespace hako::gateway::auth
