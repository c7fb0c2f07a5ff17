#pragma once

// The interpreter of the Python zygote and what its workers do.
namespace hako::shim {

/// Boots CPython as Debian's python3 would (without looking at the environment), imports the
/// runtime and what functions usually need, and freezes the garbage collector's view of it all.
/// Once per process. False after printing why not.
[[nodiscard]] bool boot_python() noexcept;

/// Around a clone of the booted process; the calling thread holds the GIL.
void before_python_clone() noexcept;
void after_python_clone_in_zygote() noexcept;
/// Renews in the copy what must not be shared: locks, thread state, the state of `random`.
void after_python_clone_in_worker() noexcept;

/// Serves one function until told to leave; answers the exit status. Does not return when the
/// function raises SystemExit: the process ends with that status.
[[nodiscard]] int run_python_worker() noexcept;

}  // namespace hako::shim
