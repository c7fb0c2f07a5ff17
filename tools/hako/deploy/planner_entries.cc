#include "tools/hako/deploy/planner.h"

#include <algorithm>

#include <fmt/format.h>

#include "tools/hako/deploy/engine_state.h"

namespace hako::cli::deploy {
void Planner::plan_alias(const FunctionSpec& function) {
    if (function.alias.empty()) {
        return;
    }
    const auto progress = progress_.at(function.name);
    const auto now = ask(client_, "GetAlias", named(function.name, {{"Name", function.alias}}));
    const bool is_changed = changed_.contains(function.name);
    std::string latest;
    if (!is_changed) {
        const auto versions = versions_of(client_, function.name);
        latest = versions.empty() ? "" : fmt::format("{}", versions.back());
    }
    progress->alias_before = now ? text_at(now->root(), "FunctionVersion") : "";
    if (!is_changed && now && !latest.empty() && progress->alias_before == latest) {
        plan_.unchanged.push_back(fmt::format("alias {}:{}", function.name, function.alias));
        plan_provisioned(function);
        return;
    }
    const std::string before =
        progress->alias_before.empty() ? "none" : "version " + progress->alias_before;
    add({
        .sign = now ? '~' : '+',
        .title = fmt::format("alias {}:{}", function.name, function.alias),
        .differences = {fmt::format(
            "{} -> {}", before, latest.empty() ? "a new version" : "version " + latest
        )},
        .run =
            [this, &function, progress] {
                const std::string published = control(
                    client_,
                    "PublishVersion",
                    function.version_description.empty()
                        ? named(function.name)
                        : named(function.name, {{"Description", function.version_description}})
                );
                const auto answer = JsonDocument::parse(published);
                progress->version = answer ? text_at(answer->root(), "Version") : "";
                call(
                    progress->alias_before.empty() ? "CreateAlias" : "UpdateAlias",
                    named(
                        function.name,
                        {{"Name", function.alias}, {"FunctionVersion", progress->version}}
                    )
                );
            },
        .undo =
            [this, &function, progress] {
                if (progress->alias_before.empty()) {
                    return call("DeleteAlias", named(function.name, {{"Name", function.alias}}));
                }
                call(
                    "UpdateAlias",
                    named(
                        function.name,
                        {{"Name", function.alias}, {"FunctionVersion", progress->alias_before}}
                    )
                );
            },
    });
    plan_provisioned(function);
}

void Planner::plan_provisioned(const FunctionSpec& function) {
    const std::string request = named(function.name, {{"Qualifier", function.alias}});
    const auto now = ask(client_, "GetProvisionedConcurrencyConfig", request);
    const std::int64_t before =
        now ? number_at(now->root(), "RequestedProvisionedConcurrentExecutions") : 0;
    if (before == function.provisioned.value_or(0)) {
        return;
    }
    add({
        .sign = '~',
        .title = fmt::format("alias {}:{}: provisioned instances", function.name, function.alias),
        .differences = {fmt::format("{} -> {}", before, function.provisioned.value_or(0))},
        .run =
            [this, &function, request] {
                if (!function.provisioned) {
                    return call("DeleteProvisionedConcurrencyConfig", request);
                }
                JsonWriter put;
                put.begin_object().key("FunctionName").text(function.name);
                put.key("Qualifier").text(function.alias);
                put.key("ProvisionedConcurrentExecutions").number(*function.provisioned);
                call("PutProvisionedConcurrencyConfig", put.end_object().str());
            },
        .undo = {},
    });
}

/// What requests from outside call: the alias if there is one.
std::string Planner::target_of(const FunctionSpec& function) const {
    return function.alias.empty() ? function.name : function.name + ":" + function.alias;
}

void Planner::plan_url(const FunctionSpec& function) {
    const auto request = function.alias.empty()
                             ? named(function.name)
                             : named(function.name, {{"Qualifier", function.alias}});
    const auto now = ask(client_, "GetFunctionUrlConfig", request);
    if (!now && function.url_config.empty()) {
        return;
    }
    if (now && !function.url_config.empty()) {
        const auto wanted = JsonDocument::parse(function.url_config);
        bool is_same = true;
        for (const char* name : {"AuthType", "Cors", "InvokeMode"}) {
            const std::string after = wanted ? member_json(*wanted, name) : "";
            is_same = is_same && (after.empty() || after == member_json(*now, name));
        }
        if (is_same) {
            plan_.unchanged.push_back(fmt::format("URL of {}", target_of(function)));
            return;
        }
    }
    add({
        .sign = function.url_config.empty() ? '-'
                : now                       ? '~'
                                            : '+',
        .title = fmt::format("URL of {}", target_of(function)),
        .differences = {},
        .run =
            [this, &function, request, has = now.has_value()] {
                if (function.url_config.empty()) {
                    return call("DeleteFunctionUrlConfig", request);
                }
                std::string whole = request;
                whole.back() = ',';
                call(
                    has ? "UpdateFunctionUrlConfig" : "CreateFunctionUrlConfig",
                    whole + function.url_config.substr(1)
                );
            },
        .undo = {},
    });
}

void Planner::plan_apis() {
    for (const ApiSpec& api : stack_.apis) {
        JsonWriter wanted;
        wanted.begin_object().key("Name").text(api.name).key("Stage").text(api.stage);
        wanted.key("Type").text(api.is_v1 ? "REST" : "HTTP");
        wanted.key("Description").text(stack_description());
        std::string routes;
        for (const FunctionSpec& function : stack_.functions) {
            for (const Route& route : function.routes) {
                if (route.api != api.name) {
                    continue;
                }
                JsonWriter out;
                out.begin_object();
                if (route.path != "$default") {
                    out.key("Method").text(route.method);
                }
                out.key("Path").text(route.path);
                out.key("FunctionName").text(function.name);
                if (!function.alias.empty()) {
                    out.key("Qualifier").text(function.alias);
                }
                out.key("PayloadFormatVersion").text(route.is_v1 ? "1.0" : "2.0").end_object();
                routes += (routes.empty() ? "" : ",") + out.str();
            }
        }
        wanted.key("Routes").raw("[" + routes + "]").end_object();
        JsonWriter name;
        name.begin_object().key("Name").text(api.name).end_object();
        const auto now = ask(client_, "GetHttpApi", name.str());
        if (now && member_json(*now, "Routes") == "[" + routes + "]" &&
            text_at(now->root(), "Stage") == api.stage) {
            plan_.unchanged.push_back(fmt::format("API {}", api.name));
            continue;
        }
        const std::string before = now ? JsonWriter().raw(simdjson::minify(now->root())).str() : "";
        add({
            .sign = now ? '~' : '+',
            .title = fmt::format("API {}", api.name),
            .differences = {},
            .run = [this, request = wanted.str()] { call("PutHttpApi", request); },
            .undo = {},
        });
        for (const FunctionSpec& function : stack_.functions) {
            for (const Route& route : function.routes) {
                if (route.api == api.name) {
                    plan_.steps.back().differences.push_back(
                        fmt::format("{} {} -> {}", route.method, route.path, target_of(function))
                    );
                }
            }
        }
    }
}

std::string Planner::stack_description() const {
    return fmt::format("{}={}", kStackTag, stack_.name);
}

void Planner::plan_api_removals() {
    for (const std::string& json : list_all(client_, "ListHttpApis", "", "HttpApis")) {
        const auto api = JsonDocument::parse(json);
        const std::string name = api ? text_at(api->root(), "Name") : "";
        if (!api || text_at(api->root(), "Description") != stack_description() ||
            std::ranges::find(stack_.apis, name, &ApiSpec::name) != stack_.apis.end()) {
            continue;
        }
        add({
            .sign = '-',
            .title = fmt::format("API {}", name),
            .differences = {"it is not in the template any more"},
            .run =
                [this, name] {
                    JsonWriter request;
                    request.begin_object().key("Name").text(name).end_object();
                    call("DeleteHttpApi", request.str());
                },
            .undo = {},
        });
    }
}

void Planner::plan_schedules() {
    for (const FunctionSpec& function : stack_.functions) {
        for (const Schedule& schedule : function.schedules) {
            JsonWriter name;
            name.begin_object().key("Name").text(schedule.name).end_object();
            JsonWriter wanted;
            wanted.begin_object().key("Name").text(schedule.name);
            wanted.key("ScheduleExpression").text(schedule.expression);
            wanted.key("FunctionName").text(target_of(function));
            wanted.key("State").text(schedule.is_enabled ? "ENABLED" : "DISABLED");
            wanted.key("Description").text(schedule.description);
            wanted.key("Input").text(schedule.input).end_object();
            const auto now = ask(client_, "GetSchedule", name.str());
            const auto same = [&now](const char* member, const std::string& text) {
                return text_at(now->root(), member) == text;
            };
            if (now && same("ScheduleExpression", schedule.expression) &&
                same("FunctionName", target_of(function)) && same("Input", schedule.input) &&
                same("State", schedule.is_enabled ? "ENABLED" : "DISABLED") &&
                same("Description", schedule.description)) {
                plan_.unchanged.push_back(fmt::format("schedule {}", schedule.name));
                continue;
            }
            add({
                .sign = now ? '~' : '+',
                .title = fmt::format("schedule {}", schedule.name),
                .differences = {fmt::format("{} -> {}", schedule.expression, target_of(function))},
                .run = [this, request = wanted.str()] { call("PutSchedule", request); },
                .undo = {},
            });
        }
    }
}

}  // namespace hako::cli::deploy
