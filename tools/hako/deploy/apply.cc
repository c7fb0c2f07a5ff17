#include <algorithm>

#include <fmt/format.h>

#include "tools/hako/deploy/engine_state.h"
#include "tools/hako/deploy/plan.h"
#include "tools/hako/json.h"
#include "tools/hako/output.h"

// Shows a plan, carries it out, and makes the plan that goes back.
namespace hako::cli::deploy {
namespace {

std::string coloured(const Context& context, char sign, const std::string& text) {
    const char* colour = sign == '+' ? "\x1b[32m" : sign == '-' ? "\x1b[31m" : "\x1b[33m";
    return out_has_color(context) ? colour + text + "\x1b[0m" : text;
}

void undo(const Context& context, const Plan& plan, std::size_t done_count) {
    for (std::size_t index = done_count; index > 0; --index) {
        const Step& step = plan.steps[index - 1];
        if (!step.undo) {
            print_error(context, fmt::format("stays as it is now: {}", step.title));
            continue;
        }
        try {
            step.undo();
            print_error(context, fmt::format("undone: {}", step.title));
        } catch (const std::exception& error) {
            print_error(context, fmt::format("cannot be undone: {}: {}", step.title, error.what()));
        }
    }
}

}  // namespace

void print_plan(const Context& context, const Stack& stack, const Plan& plan) {
    if (context.json) {
        JsonWriter out;
        out.begin_object().key("Stack").text(stack.name).key("Steps");
        std::string steps;
        for (const Step& step : plan.steps) {
            JsonWriter each;
            each.begin_object().key("Action").text(
                step.sign == '+'   ? "create"
                : step.sign == '-' ? "delete"
                                   : "update"
            );
            each.key("Title").text(step.title);
            std::string lines;
            for (const std::string& line : step.differences) {
                lines += (lines.empty() ? "" : ",") + JsonWriter().text(line).str();
            }
            each.key("Differences").raw("[" + lines + "]").end_object();
            steps += (steps.empty() ? "" : ",") + each.str();
        }
        out.raw("[" + steps + "]");
        out.key("UnchangedCount").number(std::uint64_t{plan.unchanged.size()}).end_object();
        write_out(out.str() + "\n");
        return;
    }
    for (const std::string& note : stack.notes) {
        print_error(context, "note: " + note);
    }
    for (const Step& step : plan.steps) {
        write_out(coloured(context, step.sign, fmt::format("{} {}", step.sign, step.title)) + "\n");
        for (const std::string& line : step.differences) {
            write_out(fmt::format("      {}\n", line));
        }
    }
    if (plan.steps.empty()) {
        write_out(fmt::format("{}: nothing to do, all is as the template says\n", stack.name));
    }
}

void apply(const Context& context, const Plan& plan) {
    for (std::size_t index = 0; index < plan.steps.size(); ++index) {
        const Step& step = plan.steps[index];
        try {
            step.run();
        } catch (const Failure&) {
            print_error(context, fmt::format("failed: {}", step.title));
            undo(context, plan, index);
            throw;
        }
        if (!context.json) {
            write_out(fmt::format("[{}/{}] {}\n", index + 1, plan.steps.size(), step.title));
        }
    }
}

Plan make_rollback(Client& client, const Stack& stack) {
    Plan plan;
    for (const FunctionSpec& function : stack.functions) {
        if (function.alias.empty()) {
            throw Failure(
                Exit::kUsage,
                fmt::format(
                    "function {} has no AutoPublishAlias: there is no version to go back to",
                    function.name
                )
            );
        }
        const std::string request = named(function.name, {{"Name", function.alias}});
        const auto alias = ask(client, "GetAlias", request);
        if (!alias) {
            throw Failure(
                Exit::kUsage, fmt::format("there is no alias {}:{}", function.name, function.alias)
            );
        }
        const std::string now = text_at(alias->root(), "FunctionVersion");
        std::string before;
        for (const std::int64_t version : versions_of(client, function.name)) {
            const std::string text = fmt::format("{}", version);
            if (text == now) {
                break;
            }
            before = text;
        }
        if (before.empty()) {
            plan.unchanged.push_back(fmt::format(
                "alias {}:{}: version {} is the first", function.name, function.alias, now
            ));
            continue;
        }
        const auto move = [&client, &function](const std::string& version) {
            (void)control(
                client,
                "UpdateAlias",
                named(function.name, {{"Name", function.alias}, {"FunctionVersion", version}})
            );  // its answer says what was sent
        };
        plan.steps.push_back({
            .sign = '~',
            .title = fmt::format("alias {}:{}", function.name, function.alias),
            .differences = {fmt::format("version {} -> version {}", now, before)},
            .run = [move, before] { move(before); },
            .undo = [move, now] { move(now); },
        });
    }
    return plan;
}

}  // namespace hako::cli::deploy
