#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>

#include "engine/config/settings.h"

namespace hako::config {

/// If `exit_code` is set the process is to end with it: everything there was to say is said.
struct ParseOutcome {
    Settings settings;
    std::optional<int> exit_code;
};

inline constexpr int kExitUsage = 2;  // a flag, key or value was refused

/// What the parser sees of the world; tests replace it.
struct ParseWorld {
    std::ostream& out;
    std::ostream& err;
    std::string system_file = "/etc/hako/hako.toml";  // read without --config, if it exists
    std::string binary_dir;                           // folder of the running hakod
    std::string home;                                 // of the caller; state of a non-root engine
    bool is_root = false;
    bool has_hako_user = false;
};

/// Defaults, then the TOML file, then the command line (the last one wins). Prints help, version,
/// reference or one error line to standard output and error. `argv` as main() has it.
[[nodiscard]] ParseOutcome parse(int argc, const char* const* argv);
[[nodiscard]] ParseOutcome parse(int argc, const char* const* argv, const ParseWorld& world);

/// docs/configuration.md, made from the table of keys.
[[nodiscard]] std::string reference_markdown();
/// A TOML file of `settings`, each key with its help as a comment.
[[nodiscard]] std::string to_toml(const Settings& settings);

}  // namespace hako::config
