#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/App.hpp>

#include "tools/hako/deploy/plan.h"
#include "tools/hako/deploy/template.h"
#include "tools/hako/engine.h"
#include "tools/hako/json.h"
#include "tools/hako/output.h"

// deploy: makes the engine as an AWS SAM template says.
namespace hako::cli {
namespace {

struct DeployOptions {
    std::string path;
    std::string stack;
    std::vector<std::string> parameters;
    bool only_plan = false;
    bool goes_back = false;
};

deploy::Pairs parameters_of(const DeployOptions& options) {
    deploy::Pairs pairs;
    for (const std::string& text : options.parameters) {
        const std::size_t equals = text.find('=');
        if (equals == 0 || equals == std::string::npos) {
            throw Failure(
                Exit::kUsage, fmt::format("--parameter: must be NAME=VALUE, not \"{}\"", text)
            );
        }
        pairs.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
    return pairs;
}

std::string stack_name(const DeployOptions& options) {
    if (!options.stack.empty()) {
        return options.stack;
    }
    const auto path = std::filesystem::absolute(options.path).lexically_normal();
    return path.parent_path().filename().string();
}

void print_outputs(const Context& context, const deploy::Stack& stack) {
    if (context.json || stack.outputs.empty()) {
        return;
    }
    write_out("\nOutputs\n");
    for (const auto& [name, value] : stack.outputs) {
        write_out(fmt::format("  {}: {}\n", name, value));
    }
}

Exit deploy_stack(const Context& context, const DeployOptions& options) {
    const deploy::Source source(options.path);
    Client client = connect(context);
    const auto status = JsonDocument::parse(control(client, "GetEngineStatus", "{}"));
    if (!status) {
        throw Failure(Exit::kServiceError, "the engine's answer is not JSON");
    }
    const auto root = status->root();
    const deploy::Surroundings surroundings{
        .stack_name = stack_name(options),
        .account = text_at(root, "Account"),
        .region = text_at(root, "Region"),
        .api_base_url = text_at(root, "UrlBase") + "/api",
        .parameters = parameters_of(options),
    };
    const deploy::Stack stack = deploy::read_template(source, surroundings);
    const deploy::Plan plan =
        options.goes_back ? deploy::make_rollback(client, stack) : deploy::make_plan(client, stack);
    deploy::print_plan(context, stack, plan);
    if (!options.only_plan) {
        deploy::apply(context, plan);
        print_outputs(context, stack);
    }
    return Exit::kOk;
}

}  // namespace

void add_deploy_command(CLI::App& root, Context& context) {
    CLI::App* command =
        root.add_subcommand("deploy", "Make the engine as an AWS SAM template says");
    auto options = std::make_shared<DeployOptions>();
    command->add_option("template", options->path, "The template, for example template.yaml")
        ->required()
        ->type_name("FILE");
    command
        ->add_option(
            "--stack", options->stack, "Name of the stack (default: that of the template's folder)"
        )
        ->type_name("NAME");
    command->add_option("--parameter", options->parameters, "Value of a parameter; may be repeated")
        ->type_name("NAME=VALUE")
        ->allow_extra_args(false);
    command->add_flag("--plan", options->only_plan, "Only show what would be done");
    command->add_flag(
        "--rollback",
        options->goes_back,
        "Move the alias of each function back to the version before"
    );
    command->callback([&context, options]() {
        context.run = [&context, options]() { return deploy_stack(context, *options); };
    });
}

}  // namespace hako::cli
