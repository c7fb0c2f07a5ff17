#pragma once

#include "engine/base/result.h"

namespace hako::bench {

/// Pins the calling process to processor `cpu`; a negative number leaves it where it may run.
/// Children inherit it. Errors: kSystem.
[[nodiscard]] Result<void> pin_to_cpu(int cpu);

}  // namespace hako::bench
