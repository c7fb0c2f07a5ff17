#pragma once

#include <cstdint>

#include "sandbox/settings.h"

namespace hako::sandbox {

/// Which walls (bits of spawner::Wall) sandboxes will lack, as tried here: `features` are the
/// cgroup tree's, `settings` has the ids in use and whether we are root in a user namespace only.
[[nodiscard]] std::uint32_t find_missing_walls(const Settings& settings, std::uint64_t features);

}  // namespace hako::sandbox
