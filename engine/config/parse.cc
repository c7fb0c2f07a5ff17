#include "engine/config/parse.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <expected>
#include <filesystem>
#include <iostream>
#include <map>
#include <sstream>
#include <vector>

#include <pwd.h>
#include <unistd.h>

#include <fmt/format.h>
#include <toml++/toml.h>
#include <CLI/CLI.hpp>

#include "engine/base/ensure.h"
#include "engine/base/id_map.h"
#include "engine/base/result.h"
#include "engine/config/derive.h"
#include "engine/config/keys.h"

namespace hako::config {

namespace {

using Status = std::expected<void, std::string>;

/// What the command line asks for besides settings.
struct Commands {
    std::string file;
    bool version = false;
    bool check = false;
    bool print = false;
    bool print_reference = false;
};

/// A TOML value as the text `assign` reads; nothing if its type cannot be right for the key.
std::optional<std::string> toml_text(const Key& key, const toml::node& node) {
    const std::string_view type = type_of(key);
    if (const auto* text = node.as_string()) {
        const bool is_none =
            text->get() == "none" &&
            std::holds_alternative<std::optional<std::uint32_t> Settings::*>(key.field);
        return type == "string" || is_none ? std::optional(text->get()) : std::nullopt;
    }
    if (const auto* truth = node.as_boolean(); truth != nullptr && type == "boolean") {
        return truth->get() ? "true" : "false";
    }
    if (const auto* number = node.as_integer()) {
        if (type == "string" || type == "boolean") {
            return std::nullopt;
        }
        return key.is_octal && number->get() >= 0 ? fmt::format("{:o}", number->get())
                                                  : std::to_string(number->get());
    }
    if (const auto* number = node.as_floating_point(); number != nullptr && type == "number") {
        return fmt::format("{}", number->get());
    }
    return std::nullopt;
}

Status read_table(const toml::table& table, const std::string& path, Settings& settings) {
    for (const auto& [name, node] : table) {
        const auto where = fmt::format("{}:{}", path, name.source().begin.line);
        const Key* key = find_key(name.str());
        if (key == nullptr) {
            return std::unexpected(fmt::format("{}: unknown key '{}'", where, name.str()));
        }
        const auto text = toml_text(*key, node);
        if (!text) {
            std::ostringstream type;
            type << node.type();
            return std::unexpected(fmt::format(
                "{}: {} must be of type {}, not {}", where, key->name, type_of(*key), type.str()
            ));
        }
        if (const auto fault = assign(*key, *text, settings)) {
            return std::unexpected(fmt::format("{}: {}: {}", where, key->name, *fault));
        }
    }
    return {};
}

Status read_file(const std::string& path, Settings& settings) {
    try {
        return read_table(toml::parse_file(path), path, settings);
    } catch (const toml::parse_error& error) {
        if (error.source().begin.line == 0) {
            return std::unexpected(fmt::format("{}: {}", path, error.description()));
        }
        return std::unexpected(
            fmt::format("{}:{}: {}", path, error.source().begin.line, error.description())
        );
    }
}

void apply_defaults(Settings& settings) {
    for (const Key& key : keys()) {
        if (!key.fallback.empty()) {
            const auto fault = assign(key, key.fallback, settings);
            ENSURE(!fault, "every default is in its own range");
        }
    }
}

void declare_flags(CLI::App& app, Commands& commands, std::vector<std::string>& texts) {
    app.set_help_flag("--help", "Print this and exit");
    app.add_flag("--version", commands.version, "Print the version and exit");
    app.add_option("--config", commands.file, "TOML file with settings")->option_text("FILE");
    app.add_flag("--check-config", commands.check, "Check the settings and exit");
    app.add_flag("--print-config", commands.print, "Print the settings in force as TOML and exit");
    app.add_flag(
        "--print-config-reference", commands.print_reference, "Print docs/configuration.md and exit"
    );
    std::string section;
    std::size_t index = 0;
    for (const Key& key : keys()) {
        section = key.section.empty() ? section : std::string(key.section);
        app.add_option(flag_of(key), texts[index], help_line(key))
            ->option_text(std::string(type_of(key)))
            ->group(section);
        ++index;
    }
}

Status apply_flags(const CLI::App& app, const std::vector<std::string>& texts, Settings& settings) {
    std::size_t index = 0;
    for (const Key& key : keys()) {
        const std::string& text = texts[index];
        ++index;
        const std::string flag = flag_of(key);
        if (app.count(flag) == 0) {
            continue;
        }
        if (const auto fault = assign(key, text, settings)) {
            return std::unexpected(fmt::format("{}: {}", flag, *fault));
        }
    }
    return {};
}

/// The file to read, empty if none.
std::string settings_file(const Commands& commands, const ParseWorld& world) {
    if (!commands.file.empty()) {
        return commands.file;
    }
    return access(world.system_file.c_str(), F_OK) == 0 ? world.system_file : std::string();
}

Status collect(
    const CLI::App& app,
    const std::vector<std::string>& texts,
    const std::string& file,
    const ParseWorld& world,
    Settings& settings
) {
    apply_defaults(settings);
    if (!file.empty()) {
        TRY(read_file(file, settings));
    }
    TRY(apply_flags(app, texts, settings));
    derive(settings, world);
    if (const auto fault = check(settings)) {
        return std::unexpected(*fault);
    }
    return {};
}

ParseOutcome ends_with(int exit_code) {
    return {.settings = {}, .exit_code = exit_code};
}

ParseOutcome refuse(const ParseWorld& world, std::string_view text) {
    world.err << "hakod: " << text << '\n';
    return ends_with(kExitUsage);
}

std::string own_directory() {
    std::error_code error;
    const auto binary = std::filesystem::read_symlink("/proc/self/exe", error);
    return error ? std::string(".") : binary.parent_path().string();
}

}  // namespace

ParseOutcome parse(int argc, const char* const* argv, const ParseWorld& world) {
    CLI::App app("hakod: runs AWS Lambda functions on this machine", "hakod");
    Commands commands;
    std::vector<std::string> texts(keys().size());
    declare_flags(app, commands, texts);
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        world.out << app.help();
        return ends_with(0);
    } catch (const CLI::ParseError& error) {
        return refuse(world, error.what());
    }
    if (commands.version) {
        world.out << "hakod " HAKO_VERSION "\n";
        return ends_with(0);
    }
    if (commands.print_reference) {
        world.out << reference_markdown();
        return ends_with(0);
    }
    ParseOutcome outcome;
    const std::string file = settings_file(commands, world);
    if (const Status done = collect(app, texts, file, world, outcome.settings); !done) {
        return refuse(world, done.error());
    }
    if (commands.print) {
        world.out << to_toml(outcome.settings);
        outcome.exit_code = 0;
    } else if (commands.check) {
        world.out << "configuration is valid\n";
        outcome.exit_code = 0;
    }
    return outcome;
}

ParseOutcome parse(int argc, const char* const* argv) {
    const char* home = std::getenv("HOME");
    return parse(
        argc,
        argv,
        {
            .out = std::cout,
            .err = std::cerr,
            .binary_dir = own_directory(),
            .home = home == nullptr ? "" : home,
            // Root of a user namespace without that id is an ordinary user outside.
            .is_root = geteuid() == 0 && has_ids(kEngineUid, 1),
            .has_hako_user = getpwnam("hako") != nullptr,
        }
    );
}

}  // namespace hako::config
