#pragma once

#include <cstdint>
#include <string>

#include "engine/base/result.h"

// What an ordinary user has instead of root: a user namespace of its own, in which it is root over
// everything that it makes itself.
namespace hako::sandbox {

/// Moves this process, which must have one thread, into a new user namespace: id 0 inside is its
/// own outside; from id 1 on come the user's subordinate ids, if there are any and the helpers
/// newuidmap and newgidmap may map them. Why there are none is logged. Returns how many there are,
/// at most `wanted_count`. Errors: kUnsupported (this machine forbids it; errno says how).
[[nodiscard]] Result<std::uint32_t> enter_user_namespace(std::uint32_t wanted_count);

/// A mount namespace in which an entered user namespace may mount. Errors: kSystem.
[[nodiscard]] Result<void> enter_mount_namespace();

/// The settings of the kernel that forbid user namespaces to ordinary users, "name=value ...".
[[nodiscard]] std::string describe_user_namespace_settings();

}  // namespace hako::sandbox
