#include "tools/hako/deploy/planner.h"

#include <algorithm>

#include <fmt/format.h>

#include "tools/hako/deploy/engine_state.h"

namespace hako::cli::deploy {
namespace {

constexpr const char* kDefaultRole = "arn:aws:iam::123456789012:role/hako";

std::string short_text(const std::string& json) {
    constexpr std::size_t kShownMax = 60;
    return json.size() <= kShownMax ? json : json.substr(0, kShownMax - 3) + "...";
}

}  // namespace

std::shared_ptr<Planner::Wanted> Planner::wanted_of(const FunctionSpec& function) const {
    auto wanted = std::make_shared<Wanted>();
    if (!function.code.path.empty()) {
        wanted->package = make_package(function.code.path, nullptr);
        wanted->sha256 = base64_sha256(wanted->package.zip);
    }
    wanted->members = function.members;
    // What a template does not name is what Lambda has when nobody names it.
    wanted->members.try_emplace("Description", R"("")");
    wanted->members.try_emplace("MemorySize", "128");
    wanted->members.try_emplace("Timeout", "3");
    wanted->members.try_emplace("EphemeralStorage", R"({"Size":512})");
    JsonWriter environment;
    environment.begin_object().key("Variables").begin_object();
    for (const auto& [key, value] : function.environment) {
        environment.key(key).text(value);
    }
    wanted->members["Environment"] = environment.end_object().end_object().str();
    return wanted;
}

void Planner::plan_function(const FunctionSpec& function) {
    progress_[function.name] = std::make_shared<Progress>();
    const auto wanted = wanted_of(function);
    const auto now = ask(client_, "GetFunctionConfiguration", named(function.name));
    if (!now) {
        plan_creation(function, wanted);
        plan_extras(function, nullptr);
        return;
    }
    plan_changes(function, *now, wanted);
    plan_extras(function, &*now);
}

void Planner::plan_creation(const FunctionSpec& function, const std::shared_ptr<Wanted>& wanted) {
    changed_.insert(function.name);
    add({
        .sign = '+',
        .title = fmt::format("function {}", function.name),
        .differences = {},
        .run =
            [this, &function, wanted] {
                JsonWriter request;
                request.begin_object().key("FunctionName").text(function.name);
                for (const auto& [name, json] : wanted->members) {
                    request.key(name).raw(json);
                }
                if (!wanted->members.contains("Role")) {
                    request.key("Role").text(kDefaultRole);
                }
                if (!function.layers.empty()) {
                    request.key("Layers").raw(layers_json(function));
                }
                if (wanted->package.zip.empty()) {
                    request.key("Code").raw(content_members(function.code));
                }
                request.key("Tags").begin_object().key(kStackTag).text(stack_.name);
                for (const auto& [key, value] : function.tags) {
                    request.key(key).text(value);
                }
                request.end_object().end_object();
                (void)control(
                    client_, "CreateFunction", request.str(), wanted->package.zip
                );  // its answer says what was sent
            },
        .undo = [this, &function] { call("DeleteFunction", named(function.name)); },
    });
}

/// Names only: values of variables are often secrets.
std::vector<std::string> environment_differences(
    const JsonDocument& now, const FunctionSpec& function
) {
    std::map<std::string, std::string> before;
    simdjson::dom::object members;
    if (now.root()["Environment"]["Variables"].get(members) == simdjson::SUCCESS) {
        for (const auto [key, value] : members) {
            before.emplace(key, std::string(value.get_string().value_unsafe()));
        }
    }
    std::vector<std::string> differences;
    for (const auto& [key, value] : function.environment) {
        const auto found = before.find(key);
        if (found == before.end()) {
            differences.push_back(fmt::format("Environment: {} is new", key));
        } else if (found->second != value) {
            differences.push_back(fmt::format("Environment: {} has another value", key));
        }
        before.erase(key);
    }
    for (const auto& [key, value] : before) {
        differences.push_back(fmt::format("Environment: {} goes", key));
    }
    return differences;
}

std::vector<std::string> layers_of(const JsonDocument& now) {
    std::vector<std::string> arns;
    simdjson::dom::array layers;
    if (now.root()["Layers"].get(layers) == simdjson::SUCCESS) {
        for (const auto layer : layers) {
            arns.push_back(text_at(layer, "Arn"));
        }
    }
    return arns;
}

void Planner::plan_changes(
    const FunctionSpec& function, const JsonDocument& now, const std::shared_ptr<Wanted>& wanted
) {
    const std::string sha256 = text_at(now.root(), "CodeSha256");
    if (wanted->package.zip.empty() || sha256 != wanted->sha256) {
        changed_.insert(function.name);
        add({
            .sign = '~',
            .title = fmt::format("function {}: code", function.name),
            .differences = {fmt::format(
                "CodeSha256: {} -> {}",
                sha256,
                wanted->package.zip.empty() ? "that of the object" : wanted->sha256
            )},
            .run =
                [this, &function, wanted] {
                    JsonWriter request;
                    request.begin_object().key("FunctionName").text(function.name);
                    if (wanted->package.zip.empty()) {
                        request.key("S3Bucket").text(function.code.bucket);
                        request.key("S3Key").text(function.code.key);
                    }
                    (void)control(
                        client_,
                        "UpdateFunctionCode",
                        request.end_object().str(),
                        wanted->package.zip
                    );  // its answer says what was sent
                },
            .undo = {},
        });
    }
    std::vector<std::string> differences = environment_differences(now, function);
    for (const auto& [name, json] : wanted->members) {
        const std::string before = member_json(now, name);
        if (name != "Environment" && name != "PackageType" && before != normal(json)) {
            differences.push_back(fmt::format(
                "{}: {} -> {}", name, before.empty() ? "none" : short_text(before), short_text(json)
            ));
        }
    }
    const std::vector<std::string> layers_before = layers_of(now);
    const std::string layers_wanted = layers_json(function);
    std::string before_json;
    for (const std::string& arn : layers_before) {
        before_json += (before_json.empty() ? "" : ",") + JsonWriter().text(arn).str();
    }
    if ("[" + before_json + "]" != layers_wanted) {
        differences.push_back(fmt::format("Layers: [{}] -> {}", before_json, layers_wanted));
    }
    if (differences.empty()) {
        return;
    }
    changed_.insert(function.name);
    add({
        .sign = '~',
        .title = fmt::format("function {}: configuration", function.name),
        .differences = std::move(differences),
        .run =
            [this, &function, wanted] {
                JsonWriter request;
                request.begin_object().key("FunctionName").text(function.name);
                for (const auto& [name, json] : wanted->members) {
                    if (name != "PackageType" && name != "Architectures") {
                        request.key(name).raw(json);
                    }
                }
                request.key("Layers").raw(layers_json(function)).end_object();
                call("UpdateFunctionConfiguration", request.str());
            },
        .undo = {},
    });
}

void Planner::plan_tags(const FunctionSpec& function, const JsonDocument& now) {
    const std::string arn = text_at(now.root(), "FunctionArn");
    std::map<std::string, std::string> before = tags_of(client_, arn);
    JsonWriter set;
    set.begin_object().key("Resource").text(arn).key("Tags").begin_object();
    std::vector<std::string> differences;
    Pairs wanted = function.tags;
    wanted.emplace_back(kStackTag, stack_.name);
    for (const auto& [key, value] : wanted) {
        const auto found = before.find(key);
        if (found == before.end() || found->second != value) {
            differences.push_back(fmt::format("{}: {}", key, value));
            set.key(key).text(value);
        }
        before.erase(key);
    }
    set.end_object().end_object();
    std::string removed;
    for (const auto& [key, value] : before) {
        differences.push_back(fmt::format("{} goes", key));
        removed += (removed.empty() ? "" : ",") + JsonWriter().text(key).str();
    }
    if (differences.empty()) {
        return;
    }
    const bool adopts = !std::ranges::none_of(differences, [](const std::string& line) {
        return line.starts_with(kStackTag);
    });
    add({
        .sign = '~',
        .title = fmt::format(
            "function {}: tags{}", function.name, adopts ? " (it becomes part of this stack)" : ""
        ),
        .differences = std::move(differences),
        .run =
            [this, arn, request = set.str(), removed] {
                call("TagResource", request);
                if (!removed.empty()) {
                    JsonWriter untag;
                    untag.begin_object().key("Resource").text(arn);
                    untag.key("TagKeys").raw("[" + removed + "]").end_object();
                    call("UntagResource", untag.str());
                }
            },
        .undo = {},
    });
}

void Planner::plan_extras(const FunctionSpec& function, const JsonDocument* now) {
    if (now != nullptr) {
        plan_tags(function, *now);
    }
    plan_concurrency(function);
    plan_event_config(function);
}

void Planner::plan_concurrency(const FunctionSpec& function) {
    const auto now = ask(client_, "GetFunctionConcurrency", named(function.name));
    std::int64_t count = 0;
    const bool has =
        now && now->root()["ReservedConcurrentExecutions"].get(count) == simdjson::SUCCESS;
    if (has == function.reserved.has_value() && (!has || count == *function.reserved)) {
        return;
    }
    add({
        .sign = '~',
        .title = fmt::format("function {}: reserved concurrency", function.name),
        .differences = {fmt::format(
            "{} -> {}",
            has ? fmt::format("{}", count) : "none",
            function.reserved ? fmt::format("{}", *function.reserved) : "none"
        )},
        .run =
            [this, &function] {
                if (!function.reserved) {
                    return call("DeleteFunctionConcurrency", named(function.name));
                }
                JsonWriter request;
                request.begin_object().key("FunctionName").text(function.name);
                request.key("ReservedConcurrentExecutions").number(*function.reserved);
                call("PutFunctionConcurrency", request.end_object().str());
            },
        .undo = {},
    });
}

void Planner::plan_event_config(const FunctionSpec& function) {
    const auto now =
        ask(client_,
            "GetFunctionEventInvokeConfig",
            named(function.name),
            !function.event_config.empty());
    if (!now && function.event_config.empty()) {
        return;
    }
    std::vector<std::string> differences;
    const auto wanted =
        JsonDocument::parse(function.event_config.empty() ? "{}" : function.event_config);
    for (const char* name : {"MaximumEventAgeInSeconds", "MaximumRetryAttempts"}) {
        const std::string before = now ? member_json(*now, name) : "";
        const std::string after = wanted ? member_json(*wanted, name) : "";
        if (before != after) {
            differences.push_back(fmt::format(
                "{}: {} -> {}",
                name,
                before.empty() ? "none" : before,
                after.empty() ? "none" : after
            ));
        }
    }
    if (differences.empty() && now && !function.event_config.empty()) {
        return;
    }
    add({
        .sign = '~',
        .title = fmt::format("function {}: asynchronous invocation", function.name),
        .differences = std::move(differences),
        .run =
            [this, &function] {
                if (function.event_config.empty()) {
                    return call("DeleteFunctionEventInvokeConfig", named(function.name));
                }
                std::string request = named(function.name);
                request.back() = ',';
                call("PutFunctionEventInvokeConfig", request + function.event_config.substr(1));
            },
        .undo = {},
    });
}

}  // namespace hako::cli::deploy
