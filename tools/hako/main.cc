#include <cstdlib>
#include <exception>

#include <fmt/format.h>
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "tools/hako/engine.h"
#include "tools/hako/output.h"

// The `hako` command. Commands say why they end by throwing Failure; this is the only place that
// turns that into an exit code.
namespace hako::cli {
namespace {

using AddCommands = void (*)(CLI::App& root, Context& context);

constexpr AddCommands kCommandGroups[] = {
    add_function_commands,
    add_query_commands,
    add_invoke_command,
    add_engine_commands,
    add_deploy_command,
    add_doctor_command,
    add_bill_command,
    add_keys_command,
    add_logs_command,
    add_help_commands,
};

constexpr const char* kFooter =
    "Exit codes: 0 fine, 1 function error (doctor: hako cannot run), 2 usage, 3 no engine,\n"
    "            4 API error (4xx), 5 service error (5xx), 6 throttled (429)";

void add_global_options(CLI::App& app, Context& context) {
    app.add_option(
           "--socket",
           context.socket_path,
           "The engine's socket (or HAKO_SOCKET; default $XDG_RUNTIME_DIR/hako/hako.sock "
           "or /run/hako/hako.sock)"
    )
        ->type_name("PATH");
    app.add_option("--wait", context.wait_s, "Give up after so long without an answer; 0: never")
        ->type_name("SECONDS")
        ->capture_default_str();
    app.add_flag("--json", context.json, "Print JSON");
    app.add_flag("--no-color", context.no_color, "No colours on a terminal (or NO_COLOR)");
}

Exit run(const Context& context) {
    try {
        return context.run();
    } catch (const ClientError& error) {
        throw failure_of(error);
    }
}

Exit guarded_run(const Context& context) {
    try {
        return run(context);
    } catch (const ApiFailure& failure) {
        if (context.json) {
            fmt::print(stderr, "{}\n", failure.json());
        } else {
            print_error(context, failure.what());
        }
        return failure.exit();
    } catch (const Failure& failure) {
        print_error(context, failure.what());
        return failure.exit();
    } catch (const std::exception& error) {
        print_error(context, error.what());
        return Exit::kUsage;
    }
}

int main_of(int argc, char** argv) {
    Context context;
    CLI::App app("hako: run Lambda functions on this machine", "hako");
    app.require_subcommand(0, 1);  // none is found below, so that an unknown word is named first
    app.fallthrough();
    app.footer(kFooter);
    app.set_version_flag("--version", "hako " HAKO_VERSION);
    add_global_options(app, context);
    for (const AddCommands add : kCommandGroups) {
        add(app, context);
    }
    for (CLI::App* command : app.get_subcommands({})) {
        command->footer("Global options: --socket, --wait, --json, --no-color (see hako help).");
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& asked) {  // --help, --version
        return app.exit(asked);
    } catch (const CLI::ParseError& error) {
        print_error(context, fmt::format("{} (see hako help)", error.what()));
        return static_cast<int>(Exit::kUsage);
    }
    if (!context.run) {
        print_error(context, "a command is required (see hako help)");
        return static_cast<int>(Exit::kUsage);
    }
    return static_cast<int>(guarded_run(context));
}

}  // namespace
}  // namespace hako::cli

int main(int argc, char** argv) {
    return hako::cli::main_of(argc, argv);
}
