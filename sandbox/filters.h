#pragma once

#include <span>
#include <vector>

#include <linux/filter.h>

#include "engine/base/result.h"

namespace hako::sandbox {

/// What functions may call: sandbox/policy/function.policy, compiled when hako was built.
[[nodiscard]] std::span<const sock_filter> function_filter() noexcept;
/// What a sandbox's init may call: sandbox/policy/init.policy.
[[nodiscard]] std::span<const sock_filter> init_filter() noexcept;
/// A filter that compile_policy wrote (OUT.bpf). Errors: kSystem, kInvalid.
[[nodiscard]] Result<std::vector<sock_filter>> read_filter(const char* path);

}  // namespace hako::sandbox
