#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>
#include <CLI/App.hpp>

#include "tools/hako/context.h"

namespace hako::cli {
namespace {

namespace fs = std::filesystem;

/// HAKO_HAKOD, else hakod beside this program, installed or in the build directory.
std::string find_engine() {
    const char* named = std::getenv("HAKO_HAKOD");
    if (named != nullptr && *named != '\0') {
        return named;
    }
    std::error_code error;
    const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
    for (const char* place :
         {"hakod",
          "../libexec/hako/hakod",
          "../libexec/hakod",
          "../sbin/hakod",
          "../../engine/hakod"}) {
        const fs::path candidate = folder / place;
        if (::access(candidate.c_str(), X_OK) == 0) {
            return candidate.lexically_normal().string();
        }
    }
    throw Failure(
        Exit::kUnreachable,
        fmt::format("hakod is not beside {} (HAKO_HAKOD names another place)", folder.string())
    );
}

Exit serve(const Context& context, std::vector<std::string> arguments) {
    const std::string engine = find_engine();
    if (!context.socket_path.empty()) {
        arguments.insert(arguments.begin(), {"--socket", context.socket_path});
    }
    arguments.insert(arguments.begin(), engine);
    std::vector<char*> raw;
    for (std::string& argument : arguments) {
        raw.push_back(argument.data());
    }
    raw.push_back(nullptr);
    ::execv(engine.c_str(), raw.data());
    throw Failure(Exit::kUnreachable, fmt::format("{}: {}", engine, std::strerror(errno)));
}

}  // namespace

void add_engine_commands(CLI::App& root, Context& context) {
    CLI::App* command =
        root.add_subcommand("serve", "Run the engine: hakod with the flags that follow");
    // Everything behind `serve` is hakod's own, also what looks like one of ours.
    command->prefix_command();
    command->fallthrough(false);
    command->set_help_flag();
    command->callback([&context, command]() {
        context.run = [&context, command]() { return serve(context, command->remaining()); };
    });
}

}  // namespace hako::cli
