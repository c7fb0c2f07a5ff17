#pragma once

#include "engine/wire/spawner_protocol.h"

namespace hako::sandbox {

/// What a runtime family adds to a zygote. Every hook may be null except `runtime_main`.
struct ZygoteHooks {
    void (*before_clone)() = nullptr;           ///< in the zygote, before each clone
    void (*after_clone_in_zygote)() = nullptr;  ///< in the zygote, after it, also if it failed
    void (*after_clone_in_worker)() = nullptr;  ///< in the worker, once, before it is confined
    /// In the worker (pid 2), fully confined, working directory "/". Descriptors: 0 /dev/null,
    /// 1 and 2 the log pipe, 3 the channel memfd, 4 the doorbell; nothing else is open. It waits
    /// for `code_mounted` in the channel, then chdir()s to /var/task. Never returns.
    void (*runtime_main)(spawner::RuntimeKind kind) = nullptr;
};

/// The main loop of a zygote: moves into the synthetic root, then makes one sandbox per plan the
/// spawner sends, until the spawner goes away. Call it from main() in a process with one thread
/// and everything preloaded. Returns an exit status.
/// Options: --control-fd N, --seccomp-bpf FILE, --runtime-dir DIR (bound at /var/runtime),
/// --user-namespace (the spawner is root in one only).
int run_zygote(int argc, char** argv, const ZygoteHooks& hooks);

}  // namespace hako::sandbox
