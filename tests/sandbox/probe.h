#pragma once

#include <string>

namespace hako::sandbox::testing {

/// Runs one command inside a sandbox: "cat PATH", "ls PATH", "fds", "exit N", "abort", "alloc MIB",
/// "fork N", "fill MIB", "sh TEXT", "wall NAME" (an attempt of walls.cc). The answer is text.
[[nodiscard]] std::string run_command(const std::string& command);

/// Tries the attempt `name`; "ok" if it succeeded, else the errno's name or "killed SIGNAL".
[[nodiscard]] std::string try_wall(const std::string& name);

}  // namespace hako::sandbox::testing
