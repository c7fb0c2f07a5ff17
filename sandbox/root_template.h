#pragma once

#include <string>

#include "engine/base/result.h"

namespace hako::sandbox {

struct RootOptions {
    std::string runtime_dir;         // if not empty, bound read-only at /var/runtime
    bool in_user_namespace = false;  // we are root in one only: no device nodes, the host's /proc
};

/// Moves this process into a new mount namespace whose root is what every sandbox sees: a read-only
/// tmpfs with the host's /usr bound read-only, a synthetic /etc, a minimal /dev and empty mount
/// points; nothing else of the host remains reachable. A sandbox then only copies this namespace
/// (two or three mounts) and adds its own /proc and /tmp. Errors: kSystem, with the step.
[[nodiscard]] Result<void> enter_root_template(const RootOptions& options);

}  // namespace hako::sandbox
