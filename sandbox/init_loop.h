#pragma once

#include <sys/types.h>

namespace hako::sandbox {

/// Unregisters glibc's restartable sequences: the kernel writes to their area whenever it preempts
/// the thread, which is fatal once that is unmapped. Returns 0 or an errno.
[[nodiscard]] int leave_rseq() noexcept;

/// The rest of an init's life, confined: reports that it is ready on descriptor 0, reaps until
/// `worker` has ended, reports its status, ends the sandbox. First it unmaps everything but one
/// page of code and its stack: page tables and copied pages of a zygote cost 50 KiB per sandbox and
/// far more for Python's, and what is not mapped cannot be attacked.
[[noreturn]] void run_init_loop(pid_t worker) noexcept;

}  // namespace hako::sandbox
