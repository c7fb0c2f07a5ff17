#pragma once

#include <string>

namespace hako::sandbox::testing {

/// Runs one command inside a sandbox: "cat PATH", "ls PATH", "fds", "exit N", "abort", "alloc MIB",
/// "fork N", "fill MIB", "sh TEXT", "wall WHAT" (an attempt of tests/escape). The answer is text.
[[nodiscard]] std::string run_command(const std::string& command);

}  // namespace hako::sandbox::testing
