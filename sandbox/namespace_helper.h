#pragma once

namespace hako::sandbox {

/// The helper that makes network namespaces (with lo up) and user namespaces ahead, on another core
/// than the zygotes: a net namespace is the dearest part of a sandbox. `hako-spawner
/// --namespace-helper`. Returns an exit status.
int run_namespace_helper(int control_fd, bool in_user_namespace);

}  // namespace hako::sandbox
