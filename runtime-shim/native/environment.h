#pragma once

#include "hako/shim.h"

// The environment block of an INIT request, as the process environment.
namespace hako::shim {

/// Replaces the process environment by a copy of `block` ("NAME=VALUE\0" after one another).
/// Entries without '=' or a name are left out. The copy is never freed: `environ` points into it.
/// Answers 0 or an errno value.
[[nodiscard]] int replace_environment(hako_view block) noexcept;

/// Sets `fd` as the value of `name`. Answers 0 or an errno value.
[[nodiscard]] int set_fd_variable(const char* name, int fd) noexcept;

}  // namespace hako::shim
