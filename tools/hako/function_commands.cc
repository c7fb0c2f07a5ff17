#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>
#include <CLI/App.hpp>

#include "tools/hako/engine.h"
#include "tools/hako/json.h"
#include "tools/hako/output.h"
#include "tools/hako/package.h"

// create, update, delete: what changes functions.
namespace hako::cli {
namespace {

constexpr const char* kDefaultRole = "arn:aws:iam::123456789012:role/hako";

/// The members of a function that create and update share. Absent ones are not sent: the engine has
/// the defaults and the ranges, and names the field when one is broken.
struct FunctionOptions {
    std::string name;
    std::string code;
    std::optional<std::string> runtime;
    std::optional<std::string> handler;
    std::optional<std::string> role;
    std::optional<std::string> description;
    std::optional<std::int64_t> memory_mb;
    std::optional<std::int64_t> timeout_s;
    std::optional<std::int64_t> storage_mb;
    std::optional<std::int64_t> provisioned;
    std::optional<std::int64_t> reserved;
    std::vector<std::string> environment;
    bool clears_environment = false;

    [[nodiscard]] bool has_configuration() const {
        return runtime || handler || role || description || memory_mb || timeout_s || storage_mb ||
               !environment.empty() || clears_environment;
    }
};

void add_options(CLI::App& command, FunctionOptions& options) {
    command.add_option("--memory", options.memory_mb, "Memory, 128 to 10240 (default 128)")
        ->type_name("MB");
    command.add_option("--timeout", options.timeout_s, "Longest run, 1 to 900 (default 3)")
        ->type_name("SECONDS");
    command.add_option("--env", options.environment, "Environment variable; may be repeated")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    command.add_option("--description", options.description, "Free text")->type_name("TEXT");
    command.add_option("--role", options.role, "Role ARN; kept and shown, not used")
        ->type_name("ARN");
    command.add_option("--ephemeral-storage", options.storage_mb, "Size of /tmp, 512 to 10240")
        ->type_name("MB");
    command
        .add_option("--provisioned", options.provisioned, "Keep this many instances initialised")
        ->type_name("COUNT");
    command
        .add_option(
            "--reserved-concurrency", options.reserved, "Never run more than this many at a time"
        )
        ->type_name("COUNT");
}

void write_environment(JsonWriter& out, const FunctionOptions& options) {
    if (options.environment.empty() && !options.clears_environment) {
        return;
    }
    out.key("Environment").begin_object().key("Variables").begin_object();
    for (const std::string& variable : options.environment) {
        const std::size_t equals = variable.find('=');
        if (equals == 0 || equals == std::string::npos) {
            throw Failure(
                Exit::kUsage, fmt::format("--env: must be KEY=VALUE, not \"{}\"", variable)
            );
        }
        out.key(variable.substr(0, equals)).text(variable.substr(equals + 1));
    }
    out.end_object().end_object();
}

void write_configuration(JsonWriter& out, const FunctionOptions& options) {
    const auto text = [&out](const char* name, const std::optional<std::string>& value) {
        if (value) {
            out.key(name).text(*value);
        }
    };
    const auto number = [&out](const char* name, const std::optional<std::int64_t>& value) {
        if (value) {
            out.key(name).number(*value);
        }
    };
    text("Runtime", options.runtime);
    text("Handler", options.handler);
    text("Role", options.role);
    text("Description", options.description);
    number("MemorySize", options.memory_mb);
    number("Timeout", options.timeout_s);
    if (options.storage_mb) {
        out.key("EphemeralStorage").begin_object().key("Size").number(*options.storage_mb);
        out.end_object();
    }
    write_environment(out, options);
}

/// Packs with a line of progress on a terminal; small packages are done before it shows.
Package pack(const std::string& path) {
    if (::isatty(STDERR_FILENO) != 1) {
        return make_package(path, nullptr);
    }
    bool has_shown = false;
    Package package = make_package(path, [&has_shown](double part) {
        fmt::print(stderr, "\rpacking {:3.0f} %", part * 100);
        std::fflush(stderr);
        has_shown = true;
    });
    if (has_shown) {
        fmt::print(stderr, "\r\x1b[K");
    }
    return package;
}

void put_concurrency(Client& client, const FunctionOptions& options) {
    if (options.reserved) {
        JsonWriter request;
        request.begin_object().key("FunctionName").text(options.name);
        request.key("ReservedConcurrentExecutions").number(*options.reserved).end_object();
        (void)control(client, "PutFunctionConcurrency", request.str());  // says what we sent
    }
    if (options.provisioned) {
        JsonWriter request;
        request.begin_object().key("FunctionName").text(options.name);
        request.key("Qualifier").text("$LATEST");
        request.key("ProvisionedConcurrentExecutions").number(*options.provisioned).end_object();
        (void)control(client, "PutProvisionedConcurrencyConfig", request.str());  // likewise
    }
}

void report(const Context& context, const char* done, const std::string& configuration) {
    if (context.json) {
        write_out(configuration + "\n");
        return;
    }
    const auto document = JsonDocument::parse(configuration);
    if (!document) {
        throw Failure(Exit::kServiceError, "the engine's answer is not JSON");
    }
    const auto root = document->root();
    write_out(fmt::format(
        "{} {} ({}, {} MB, {} s, code {})\n",
        done,
        text_at(root, "FunctionName"),
        text_at(root, "Runtime"),
        number_at(root, "MemorySize"),
        number_at(root, "Timeout"),
        bytes_text(static_cast<std::uint64_t>(number_at(root, "CodeSize")))
    ));
}

Exit create(const Context& context, const FunctionOptions& options) {
    JsonWriter request;
    request.begin_object().key("FunctionName").text(options.name);
    FunctionOptions sent = options;
    sent.role = options.role.value_or(kDefaultRole);
    write_configuration(request, sent);
    request.end_object();
    const Package package = pack(options.code);
    Client client = connect(context);
    const std::string configuration = control(client, "CreateFunction", request.str(), package.zip);
    try {
        put_concurrency(client, options);
    } catch (const Failure& failure) {
        throw Failure(
            failure.exit(),
            fmt::format(
                "the function was created, but its concurrency was not set: {}", failure.what()
            )
        );
    }
    report(context, "created", configuration);
    return Exit::kOk;
}

Exit update(const Context& context, const FunctionOptions& options) {
    if (options.code.empty() && !options.has_configuration() && !options.provisioned &&
        !options.reserved) {
        throw Failure(Exit::kUsage, "nothing to update: give --code or another option");
    }
    JsonWriter request;
    request.begin_object().key("FunctionName").text(options.name);
    write_configuration(request, options);
    request.end_object();
    const Package package = options.code.empty() ? Package{} : pack(options.code);
    Client client = connect(context);
    JsonWriter named;
    named.begin_object().key("FunctionName").text(options.name).end_object();
    std::string configuration;
    if (!options.code.empty()) {
        configuration = control(client, "UpdateFunctionCode", named.str(), package.zip);
    }
    if (options.has_configuration()) {
        configuration = control(client, "UpdateFunctionConfiguration", request.str());
    }
    put_concurrency(client, options);
    if (configuration.empty()) {
        configuration = control(client, "GetFunctionConfiguration", named.str());
    }
    report(context, "updated", configuration);
    return Exit::kOk;
}

Exit remove(const Context& context, const std::string& name, const std::string& qualifier) {
    JsonWriter request;
    request.begin_object().key("FunctionName").text(name);
    if (!qualifier.empty()) {
        request.key("Qualifier").text(qualifier);
    }
    request.end_object();
    Client client = connect(context);
    (void)control(client, "DeleteFunction", request.str());  // the answer is empty
    if (!context.json) {
        write_out(fmt::format("deleted {}{}{}\n", name, qualifier.empty() ? "" : ":", qualifier));
    }
    return Exit::kOk;
}

void add_create(CLI::App& root, Context& context) {
    CLI::App* command =
        root.add_subcommand("create", "Create a function from a zip, directory or file");
    auto options = std::make_shared<FunctionOptions>();
    command->add_option("name", options->name, "Name of the function")->required();
    command->add_option("--runtime", options->runtime, "Runtime, for example python3.11")
        ->required()
        ->type_name("NAME");
    command->add_option("--handler", options->handler, "Handler, for example app.handler")
        ->required()
        ->type_name("NAME");
    command
        ->add_option(
            "--code", options->code, "A .zip or .jar as it is; a directory or one file is packed"
        )
        ->required()
        ->type_name("PATH");
    add_options(*command, *options);
    command->callback([&context, options]() {
        context.run = [&context, options]() { return create(context, *options); };
    });
}

void add_update(CLI::App& root, Context& context) {
    CLI::App* command =
        root.add_subcommand("update", "Change the code or configuration of a function");
    auto options = std::make_shared<FunctionOptions>();
    command->add_option("name", options->name, "Name of the function")->required();
    command->add_option("--code", options->code, "New code: a zip, a directory or one file")
        ->type_name("PATH");
    command->add_option("--runtime", options->runtime, "New runtime")->type_name("NAME");
    command->add_option("--handler", options->handler, "New handler")->type_name("NAME");
    add_options(*command, *options);
    command->add_flag("--clear-env", options->clears_environment, "Remove all variables")
        ->excludes(command->get_option("--env"));
    command->callback([&context, options]() {
        context.run = [&context, options]() { return update(context, *options); };
    });
}

void add_delete(CLI::App& root, Context& context) {
    struct Options {
        std::string name;
        std::string qualifier;
    };
    CLI::App* command = root.add_subcommand("delete", "Delete a function, or one version of it");
    auto options = std::make_shared<Options>();
    command->add_option("name", options->name, "Name of the function")->required();
    command->add_option("--qualifier", options->qualifier, "Only this version")
        ->type_name("VERSION");
    command->callback([&context, options]() {
        context.run = [&context, options]() {
            return remove(context, options->name, options->qualifier);
        };
    });
}

}  // namespace

void add_function_commands(CLI::App& root, Context& context) {
    add_create(root, context);
    add_update(root, context);
    add_delete(root, context);
}

}  // namespace hako::cli
