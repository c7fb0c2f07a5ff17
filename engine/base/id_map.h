#pragma once

#include <cstdint>

// Which user and group ids exist for this process: user_namespaces(7).
namespace hako {

/// One past the last id that is mapped without a gap from `first` on, for users and for groups;
/// `first` if that is none.
[[nodiscard]] std::uint64_t end_of_ids(std::uint32_t first);
/// Whether the ids `first` .. `first + count - 1` exist here.
[[nodiscard]] bool has_ids(std::uint32_t first, std::uint32_t count);
/// Whether this process is in a user namespace below the machine's first one.
[[nodiscard]] bool is_in_user_namespace();

}  // namespace hako
