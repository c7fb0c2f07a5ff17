#pragma once

#include <span>
#include <string>
#include <string_view>

namespace hako::escape {

/// One way to try to get out. `run` does it for real in a child of its own and returns what the
/// system call returned: 0 or more is a success of the attacker, -1 leaves errno. `argument` is
/// what the table or the caller gives with it (a path, a port, a secret to look for); mostly empty.
struct Attempt {
    const char* name;
    long (*run)(const char* argument);
};

/// By what they go for; attempts.txt has one line for each, with what must come of it.
[[nodiscard]] std::span<const Attempt> kernel_attempts();
[[nodiscard]] std::span<const Attempt> process_attempts();
[[nodiscard]] std::span<const Attempt> file_attempts();
[[nodiscard]] std::span<const Attempt> socket_attempts();

/// Tries `what`, which is "NAME" or "NAME ARGUMENT": "ok" if it succeeded, else the errno's name,
/// "killed SIGNAL" or "unknown attempt".
[[nodiscard]] std::string try_attempt(std::string_view what);

}  // namespace hako::escape
