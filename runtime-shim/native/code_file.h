#pragma once

#include <cstddef>

// What is wrong with a file that cannot be loaded, in words a function's author can act on.
namespace hako::shim {

/// Writes into `reason` (`bytes` of room, always terminated) why `path` is no code for this
/// machine: another processor, a script without interpreter, not a program at all. False if it
/// looks right.
[[nodiscard]] bool explain_code_file(const char* path, char* reason, std::size_t bytes) noexcept;

}  // namespace hako::shim
