#pragma once

#include <string>
#include <vector>

#include "sandbox/settings.h"

// What `hako-spawner` does, by its options: from nothing to a running spawner or keeper. Each is
// for a process with one thread, returns an exit code and has said why it is not kExitOk.
namespace hako::sandbox {

/// The spawner itself. As an ordinary user it first becomes root of a user namespace.
[[nodiscard]] int serve_engine(Settings settings);

/// The keeper (keeper.h) of a spawner with `arguments`. As an ordinary user it makes the user
/// namespace, in which all its spawners are.
[[nodiscard]] int keep_spawner(
    Settings settings, int control_fd, std::vector<std::string> arguments
);

/// Prints as JSON what the kernel offers and which walls sandboxes would lack; changes nothing.
[[nodiscard]] int print_probe(Settings settings);

}  // namespace hako::sandbox
