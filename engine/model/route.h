#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/model.h"

// From a request line to an operation and the members that stand outside of the body.
namespace hako::model {

inline constexpr std::size_t kLabelsMax = 3;

/// What a request line means. Views are into the path that was given.
struct Route {
    const Operation* operation = nullptr;
    /// Still percent-encoded, in the order of the template's `{...}`.
    std::array<std::string_view, kLabelsMax> labels;

    /// The encoded label of that name; empty if the operation has none.
    [[nodiscard]] std::string_view label(std::string_view name) const noexcept;
};

enum class RouteFault : std::uint8_t {
    kUnknownPath,  // 404 UnknownOperationException, as Lambda answers it
    kWrongMethod,  // the path is there, but not for this method: 405
};

/// Finds the operation of `method` and `path` (without the query); one slash at the end is let
/// through. `query` only chooses between operations that share a path. Does not allocate.
[[nodiscard]] std::expected<Route, RouteFault> find_route(
    std::string_view method, std::string_view path, std::string_view query
) noexcept;

/// A member that came in the path, the query or a header, decoded. A list comes as several.
struct Given {
    const Member* member = nullptr;
    std::string text;
};

/// The value of a header by its name, compared without case; empty if there is none.
using HeaderLookup = std::function<std::string_view(std::string_view name)>;

/// All members of a request that are outside of its body. Query keys the operation does not have
/// are left out (signatures, trackers), as are empty headers. Nothing if a percent sign is not
/// followed by two hexadecimal digits.
[[nodiscard]] std::optional<std::vector<Given>> collect_given(
    const Route& route, std::string_view query, const HeaderLookup& header
);

/// `%41` to `A`; in a query also `+` to a space. Nothing if it is not well-formed.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text, bool in_query);

}  // namespace hako::model
