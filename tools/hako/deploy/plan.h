#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tools/hako/deploy/template.h"
#include "tools/hako/engine.h"

namespace hako::cli::deploy {

/// One thing to do, decided by comparing the template with what the engine has.
struct Step {
    char sign = '~';  ///< + made, ~ changed, - removed
    std::string title;
    std::vector<std::string> differences;  ///< `MemorySize: 128 -> 256`
    std::function<void()> run;
    std::function<void()> undo;  ///< empty: what was done stays
};

struct Plan {
    std::vector<Step> steps;
    std::vector<std::string> unchanged;
    std::shared_ptr<void> owner;  ///< of what the steps use
};

/// What must be done for the engine to be as `stack` says: functions first, then versions and
/// aliases, then what brings requests to them, removals last. Reads only. Steps keep references to
/// both.
[[nodiscard]] Plan make_plan(Client& client, const Stack& stack);

/// Moves the alias of each function back to the version published before the present one.
[[nodiscard]] Plan make_rollback(Client& client, const Stack& stack);

void print_plan(const Context& context, const Stack& stack, const Plan& plan);

/// Runs the steps in order, a line each. If one fails, those before it that can be undone are, and
/// the failure goes on, with what stays named.
void apply(const Context& context, const Plan& plan);

}  // namespace hako::cli::deploy
