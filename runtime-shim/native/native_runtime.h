#pragma once

#include "engine/wire/spawner_protocol.h"

// What the native zygote's workers do: functions in shared objects and in executables.
namespace hako::shim {

/// Serves one function of kind kNative or kExecutable over the channel of this process until it is
/// told to leave, and answers the exit status. For kExecutable that works the process becomes the
/// function's program, and this never returns. The code lies below LAMBDA_TASK_ROOT of the INIT
/// environment, /var/task if that is not set.
[[nodiscard]] int run_native_worker(spawner::RuntimeKind kind) noexcept;

}  // namespace hako::shim
