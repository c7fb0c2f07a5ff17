#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace hako::sandbox {

/// Ids of the host that the administrator has given to a user: subuid(5), subgid(5).
struct SubIds {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
};

/// The largest range that `text` (lines `user:first:count`) has for the user of that name or that
/// number; nothing if there is none of at least two ids. Lines that say something else are skipped.
[[nodiscard]] std::optional<SubIds> find_sub_ids(
    std::string_view text, std::string_view user_name, std::uint32_t user_id
);

}  // namespace hako::sandbox
