#pragma once

#include <functional>
#include <string>

#include "tools/hako/exit_code.h"

namespace CLI {
class App;
}

namespace hako::cli {

/// The global options, and what the chosen command left to run.
struct Context {
    std::string socket_path;  // empty: the default
    double wait_s = 0;        // 0: no limit
    bool json = false;
    bool no_color = false;
    std::function<Exit()> run;
};

/// HAKO_SOCKET, else the user's own engine if there is one, else /run/hako/hako.sock.
[[nodiscard]] std::string socket_path(const Context& context);

/// HAKO_STATE, else where the engine of this user keeps its state.
[[nodiscard]] std::string default_state_directory();

// Each adds one group of subcommands to `root`; a chosen one sets `context.run`.
void add_function_commands(CLI::App& root, Context& context);
void add_query_commands(CLI::App& root, Context& context);
void add_invoke_command(CLI::App& root, Context& context);
void add_engine_commands(CLI::App& root, Context& context);
void add_deploy_command(CLI::App& root, Context& context);
void add_doctor_command(CLI::App& root, Context& context);
void add_bill_command(CLI::App& root, Context& context);
void add_keys_command(CLI::App& root, Context& context);
void add_logs_command(CLI::App& root, Context& context);
void add_help_commands(CLI::App& root, Context& context);

}  // namespace hako::cli
