#pragma once

namespace hako::shim {

/// Loads the libraries that the shared object at `path` needs and that lie in a directory of
/// LD_LIBRARY_PATH. glibc reads that variable once, when a process starts, and the zygote started
/// long before the function's package and layers were there. What cannot be read or loaded is left
/// to dlopen() of the object itself, which has the better words.
void load_needed_libraries(const char* path) noexcept;

}  // namespace hako::shim
