#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/App.hpp>

#include "tools/hako/context.h"
#include "tools/hako/output.h"

namespace hako::cli {
namespace {

Exit help(CLI::App& root, const std::string& name) {
    if (name.empty()) {
        // root.help() would explain the chosen command, which is this one.
        write_out(root.get_formatter()->make_help(&root, "hako", CLI::AppFormatMode::Normal));
        return Exit::kOk;
    }
    const auto found = root.get_subcommands([&name](const CLI::App* command) {
        return command->get_name() == name;
    });
    if (found.empty()) {
        throw Failure(Exit::kUsage, fmt::format("no command \"{}\"", name));
    }
    write_out(found.front()->help("hako"));
    return Exit::kOk;
}

/// The long options of a command, space-separated.
std::string option_words(const CLI::App& command) {
    std::string words;
    for (const CLI::Option* option : command.get_options()) {
        for (const std::string& name : option->get_lnames()) {
            words += (words.empty() ? "--" : " --") + name;
        }
    }
    return words;
}

/// A bash completion made from the options as they are, so that it cannot fall behind them.
std::string bash_completion(const CLI::App& root) {
    std::string names;
    std::string cases;
    for (const CLI::App* command : root.get_subcommands([](const CLI::App*) { return true; })) {
        names += (names.empty() ? "" : " ") + command->get_name();
        cases += fmt::format(
            "        {}) options=\"{}\" ;;\n", command->get_name(), option_words(*command)
        );
    }
    return fmt::format(
        R"bash(# bash completion for hako; load it with: source <(hako completion bash)
_hako() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
    local command="" options="" word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case " {0} " in *" $word "*) command="$word"; break ;; esac
    done
    case "$previous" in
        --code|--payload-file|--socket|--state) COMPREPLY=($(compgen -f -- "$current")); return ;;
        --type) COMPREPLY=($(compgen -W "RequestResponse Event DryRun" -- "$current")); return ;;
    esac
    case "$command" in
        "") COMPREPLY=($(compgen -W "{0} {1}" -- "$current")); return ;;
{2}    esac
    case "$current" in
        -*) COMPREPLY=($(compgen -W "$options {1}" -- "$current")); return ;;
    esac
    case "$command" in
        help) COMPREPLY=($(compgen -W "{0}" -- "$current")) ;;
        completion) COMPREPLY=($(compgen -W "bash" -- "$current")) ;;
        update|delete|get|invoke|logs)
            COMPREPLY=($(compgen -W "$(hako --wait 1 list --names 2>/dev/null)" -- "$current")) ;;
    esac
}}
complete -F _hako hako
)bash",
        names,
        option_words(root),
        cases
    );
}

Exit completion(const CLI::App& root, const std::string& shell) {
    if (shell != "bash") {
        throw Failure(Exit::kUsage, fmt::format("shell: must be bash, not \"{}\"", shell));
    }
    write_out(bash_completion(root));
    return Exit::kOk;
}

Exit version(const Context& context) {
    write_out(context.json ? "{\"Version\":\"" HAKO_VERSION "\"}\n" : "hako " HAKO_VERSION "\n");
    return Exit::kOk;
}

}  // namespace

void add_help_commands(CLI::App& root, Context& context) {
    struct Options {
        std::string command;
        std::string shell;
    };
    auto options = std::make_shared<Options>();

    CLI::App* version_command = root.add_subcommand("version", "Print the version");
    version_command->callback([&context]() {
        context.run = [&context]() { return version(context); };
    });

    CLI::App* help_command = root.add_subcommand("help", "Explain a command");
    help_command->add_option("command", options->command, "Which one");
    help_command->callback([&root, &context, options]() {
        context.run = [&root, options]() { return help(root, options->command); };
    });

    CLI::App* completion_command = root.add_subcommand("completion", "Print a completion script");
    completion_command->add_option("shell", options->shell, "bash")->required();
    completion_command->callback([&root, &context, options]() {
        context.run = [&root, options]() { return completion(root, options->shell); };
    });
}

}  // namespace hako::cli
