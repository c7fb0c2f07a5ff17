#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tools/hako/deploy/plan.h"
#include "tools/hako/json.h"
#include "tools/hako/package.h"

namespace hako::cli::deploy {

/// The member as compact JSON; empty if there is none.
[[nodiscard]] std::string member_json(const JsonDocument& document, std::string_view name);
/// A JSON value in one spelling, so that two can be compared.
[[nodiscard]] std::string normal(const std::string& json);
/// `{"S3Bucket": ..., "S3Key": ...}`
[[nodiscard]] std::string content_members(const Content& content);
[[nodiscard]] std::string base64_sha256(const std::string& bytes);

/// What an alias has come to while the plan is carried out.
struct Progress {
    std::string version;       // just published
    std::string alias_before;  // version it pointed to; empty: there was none
};

/// Compares a stack with an engine.
class Planner {
public:
    Planner(Client& client, const Stack& stack) : client_(client), stack_(stack) {}
    Planner(const Planner&) = delete;
    Planner& operator=(const Planner&) = delete;

    /// Once. The steps that it returns call back into this object.
    [[nodiscard]] Plan make();

private:
    struct Wanted {
        Package package;
        std::string sha256;
        std::map<std::string, std::string> members;  // of CreateFunction, as JSON
    };

    void plan_layer(const LayerSpec& layer);
    void plan_function(const FunctionSpec& function);
    void plan_creation(const FunctionSpec& function, const std::shared_ptr<Wanted>& wanted);
    void plan_changes(
        const FunctionSpec& function, const JsonDocument& now, const std::shared_ptr<Wanted>& wanted
    );
    void plan_extras(const FunctionSpec& function, const JsonDocument* now);
    void plan_concurrency(const FunctionSpec& function);
    void plan_event_config(const FunctionSpec& function);
    void plan_tags(const FunctionSpec& function, const JsonDocument& now);
    void plan_alias(const FunctionSpec& function);
    void plan_provisioned(const FunctionSpec& function);
    void plan_url(const FunctionSpec& function);
    void plan_apis();
    void plan_api_removals();
    void plan_schedules();
    void plan_removals();

    [[nodiscard]] std::shared_ptr<Wanted> wanted_of(const FunctionSpec& function) const;
    [[nodiscard]] std::string layers_json(const FunctionSpec& function) const;
    [[nodiscard]] std::string stack_description() const;
    [[nodiscard]] std::string target_of(const FunctionSpec& function) const;
    void add(Step step) { plan_.steps.push_back(std::move(step)); }
    void call(const std::string& operation, const std::string& request) {
        (void)control(client_, operation, request);  // its answer says what was sent
    }

    Client& client_;
    const Stack& stack_;
    Plan plan_;
    std::map<std::string, std::shared_ptr<std::string>> layer_arns_;  // by logical id
    std::set<std::string> changed_;                                   // functions
    std::map<std::string, std::shared_ptr<Progress>> progress_;       // by function
};

}  // namespace hako::cli::deploy
