#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "engine/base/result.h"
#include "engine/registry/control_parts.h"
#include "engine/registry/digest.h"
#include "engine/registry/json_writer.h"

// AddPermission, RemovePermission, GetPolicy. A policy's revision is that of the function, version
// or alias it belongs to.
namespace hako::registry {

namespace {

constexpr std::size_t kPolicyBytesMax = 20480;
constexpr std::string_view kPolicyApi = "GetPolicy";

bool is_account(std::string_view text) {
    return text.size() == 12 &&
           std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// `s3.amazonaws.com`, `apigateway.amazonaws.com`.
bool is_service(std::string_view text) {
    return text.find('.') != std::string_view::npos && !text.starts_with('.') &&
           !text.ends_with('.') && std::ranges::all_of(text, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
           });
}

bool is_identity_arn(std::string_view text) {
    return text.starts_with("arn:aws") && (text.find(":iam::") != std::string_view::npos ||
                                           text.find(":sts::") != std::string_view::npos);
}

Status write_principal(JsonWriter& json, std::string_view principal) {
    if (principal == "*") {
        json.member("Principal", "*");
        return {};
    }
    json.key("Principal").open_object();
    if (is_account(principal)) {
        json.member("AWS", fmt::format("arn:aws:iam::{}:root", principal));
    } else if (is_identity_arn(principal)) {
        json.member("AWS", principal);
    } else if (is_service(principal)) {
        json.member("Service", principal);
    } else {
        return std::unexpected(invalid_parameter(
            "The provided principal was invalid. Please check the principal and try again."
        ));
    }
    json.close_object();
    return {};
}

struct ConditionMember {
    std::string_view member;  // of the request
    std::string_view key;     // of the condition
};
constexpr std::array kEquals = {
    ConditionMember{"SourceAccount", "AWS:SourceAccount"},
    ConditionMember{"EventSourceToken", "lambda:EventSourceToken"},
    ConditionMember{"FunctionUrlAuthType", "lambda:FunctionUrlAuthType"},
    ConditionMember{"PrincipalOrgID", "aws:PrincipalOrgID"},
};

void write_conditions(JsonWriter& json, const Request& request) {
    const Value source = request["SourceArn"];
    const Value via_url = request["InvokedViaFunctionUrl"];
    const bool has_equals = std::ranges::any_of(kEquals, [&request](const ConditionMember& one) {
        return static_cast<bool>(request[one.member]);
    });
    if (!has_equals && !source && !via_url) {
        return;
    }
    json.key("Condition").open_object();
    if (has_equals) {
        json.key("StringEquals").open_object();
        for (const ConditionMember& one : kEquals) {
            if (const Value value = request[one.member]) {
                json.member(one.key, value.text());
            }
        }
        json.close_object();
    }
    if (source) {
        json.key("ArnLike").open_object().member("AWS:SourceArn", source.text()).close_object();
    }
    if (via_url) {
        json.key("Bool")
            .open_object()
            .member("lambda:InvokedViaFunctionUrl", via_url.boolean() ? "true" : "false")
            .close_object();
    }
    json.close_object();
}

std::expected<std::string, ApiError> statement_json(
    const Request& request, const std::string& resource
) {
    if (request["FunctionUrlAuthType"] && request["Action"].text() != "lambda:InvokeFunctionUrl") {
        return std::unexpected(invalid_parameter(
            "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"
        ));
    }
    JsonWriter json;
    json.open_object();
    json.member("Sid", request["StatementId"].text());
    json.member("Effect", "Allow");
    TRY(write_principal(json, request["Principal"].text()));
    json.member("Action", request["Action"].text());
    json.member("Resource", resource);
    write_conditions(json, request);
    json.close_object();
    return json.take();
}

/// What a policy hangs on: the function itself, a version or an alias.
std::expected<ControlTarget, ApiError> subject(ControlParts& parts, const ControlCall& call) {
    TRY_ASSIGN(ControlTarget target, parts.target(call, NameShape::kNamespaced));
    if (target.qualifier == "$LATEST") {
        return std::unexpected(
            invalid_parameter("We currently do not support adding policies for $LATEST.")
        );
    }
    return target;
}

const std::string& revision_of(const ControlTarget& target) {
    return target.alias != nullptr ? target.alias->revision_id : target.version->revision_id;
}

Policy policy_of(const ControlParts& parts, const ControlTarget& target) {
    const Policy* policy = parts.registry.policy(target.name(), target.qualifier);
    return policy == nullptr ? Policy() : *policy;
}

/// Durable, then visible, with a new revision of the subject. Under the function's mark.
Status install(ControlParts& parts, const ControlTarget& target, Policy policy) {
    Store::PolicyChange change{
        .function_name = target.name(),
        .qualifier = std::string(target.qualifier),
        .policy = std::move(policy),
        .alias = target.alias == nullptr ? std::string() : target.alias->name,
        .version_id = target.version->id,
        .revision_id = make_uuid(),
    };
    TRY(parts.store_blocking([&] { return parts.store.put_policy(change); }));
    parts.registry.put_policy(change.function_name, change.qualifier, std::move(change.policy));
    if (target.alias != nullptr) {
        Alias alias = *target.alias;
        alias.revision_id = change.revision_id;
        parts.registry.put_alias(change.function_name, std::move(alias));
        return {};
    }
    auto version = std::make_shared<FunctionVersion>(*target.version);
    version->revision_id = change.revision_id;
    parts.announce(parts.registry.put(version), version);
    return {};
}

Outcome add_permission(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget named, subject(parts, call));
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(named.name()));
    TRY(check_revision(call.request, revision_of(named), kPolicyApi));
    Policy policy = policy_of(parts, named);
    const std::string sid(call.request["StatementId"].text());
    if (std::ranges::find(policy, sid, &PolicyStatement::sid) != policy.end()) {
        return std::unexpected(conflict(fmt::format(
            "The statement id ({}) provided already exists. Please provide a new statement id, or "
            "remove the existing statement.",
            sid
        )));
    }
    TRY_ASSIGN(
        const std::string statement,
        statement_json(call.request, parts.arn(named.name(), named.qualifier))
    );
    policy.push_back({.sid = sid, .json = statement});
    const std::size_t policy_bytes = policy_text(policy).size();
    if (policy_bytes > kPolicyBytesMax) {
        return std::unexpected(ApiError{
            .status = 400,
            .code = "PolicyLengthExceededException",
            .message = fmt::format(
                "The final policy size ({}) is bigger than the limit ({}).",
                policy_bytes,
                kPolicyBytesMax
            ),
        });
    }
    TRY(install(parts, named, std::move(policy)));
    JsonWriter json;
    json.open_object().member("Statement", statement).close_object();
    return answer(201, json.take());
}

Outcome remove_permission(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget named, subject(parts, call));
    TRY_ASSIGN(const BusyMark mark, parts.mark_busy(named.name()));
    Policy policy = policy_of(parts, named);
    if (policy.empty()) {
        return std::unexpected(not_found("No policy is associated with the given resource."));
    }
    TRY(check_revision(call.request, revision_of(named), kPolicyApi));
    const std::string_view sid = call.request["StatementId"].text();
    const auto found = std::ranges::find(policy, sid, &PolicyStatement::sid);
    if (found == policy.end()) {
        return std::unexpected(
            not_found(fmt::format("Statement {} is not found in resource policy.", sid))
        );
    }
    policy.erase(found);
    TRY(install(parts, named, std::move(policy)));
    return no_content();
}

Outcome get_policy(ControlParts& parts, ControlCall& call) {
    TRY_ASSIGN(const ControlTarget named, parts.target(call, NameShape::kNamespaced));
    const Policy policy = policy_of(parts, named);
    if (policy.empty()) {
        return std::unexpected(not_found("The resource you requested does not exist."));
    }
    JsonWriter json;
    json.open_object();
    json.member("Policy", policy_text(policy));
    json.member("RevisionId", revision_of(named));
    json.close_object();
    return answer(200, json.take());
}

constexpr std::array kRoutes = {
    ControlRoute{"AddPermission", add_permission},
    ControlRoute{"RemovePermission", remove_permission},
    ControlRoute{"GetPolicy", get_policy},
};

}  // namespace

std::span<const ControlRoute> policy_routes() {
    return kRoutes;
}

}  // namespace hako::registry
