#include "engine/gateway/auth/function_policy.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <simdjson.h>

#include "engine/base/result.h"
#include "engine/gateway/auth/grant.h"
#include "engine/gateway/auth/text.h"
#include "engine/registry/json_reader.h"

namespace hako::gateway::auth {

namespace {

using simdjson::dom::element;
using simdjson::dom::object;

struct KnownKey {
    std::string_view name;
    std::string_view PolicyQuestion::* field;
};

// Condition keys, compared without case as AWS does.
constexpr std::array<KnownKey, 7> kKeys = {{
    {"aws:SourceArn", &PolicyQuestion::source_arn},
    {"aws:SourceAccount", &PolicyQuestion::source_account},
    {"lambda:EventSourceToken", &PolicyQuestion::event_source_token},
    {"lambda:FunctionUrlAuthType", &PolicyQuestion::url_auth_type},
    {"aws:PrincipalOrgID", &PolicyQuestion::organization},
    {"aws:PrincipalArn", &PolicyQuestion::principal_arn},
    {"aws:PrincipalAccount", &PolicyQuestion::account},
}};

/// One string or a list of strings. False if it is anything else.
bool read_strings(element value, std::vector<std::string>& into) {
    std::string_view text;
    if (value.get(text) == simdjson::SUCCESS) {
        into.emplace_back(text);
        return true;
    }
    simdjson::dom::array items;
    if (value.get(items) != simdjson::SUCCESS) {
        return false;
    }
    for (const element item : items) {
        if (item.get(text) != simdjson::SUCCESS) {
            return false;
        }
        into.emplace_back(text);
    }
    return true;
}

bool same_any_case(std::string_view a, std::string_view b) {
    return same_name(a, b);
}

/// ARNs are compared part by part: a `*` does not reach over a colon, but in the last part.
bool arn_matches(std::string_view pattern, std::string_view arn) {
    for (int part = 0; part < 5; ++part) {
        if (!matches(take_until(pattern, ':'), take_until(arn, ':'))) {
            return false;
        }
    }
    return matches(pattern, arn);
}

bool is_account(std::string_view text) {
    return text.size() == 12 &&
           std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

/// Turns JSON into statements.
struct PolicyReader {
    using Statement = FunctionPolicy::Statement;
    using Operator = FunctionPolicy::Operator;
    using Kind = FunctionPolicy::PrincipalKind;

    static Statement read(object json) {
        Statement statement;
        bool has_effect = false;
        for (const auto [name, value] : json) {
            if (name == "Sid") {
                continue;
            }
            if (name == "Effect") {
                std::string_view effect;
                has_effect = value.get(effect) == simdjson::SUCCESS &&
                             (effect == "Allow" || effect == "Deny");
                statement.is_allow = effect == "Allow";
            } else if (name == "Principal") {
                statement.is_understood &= read_principal(value, statement);
            } else if (name == "Action") {
                statement.is_understood &= read_strings(value, statement.actions);
            } else if (name == "Resource") {
                statement.is_understood &= read_strings(value, statement.resources);
            } else if (name == "Condition") {
                statement.is_understood &= read_conditions(value, statement);
            } else {
                statement.is_understood = false;  // NotPrincipal, NotAction, NotResource
            }
        }
        statement.is_understood &= has_effect;
        return statement;
    }

    static bool read_principal(element json, Statement& into) {
        std::string_view text;
        if (json.get(text) == simdjson::SUCCESS) {
            into.principals.push_back({text == "*" ? Kind::kAnybody : Kind::kNobody, {}});
            return text == "*";
        }
        object members;
        if (json.get(members) != simdjson::SUCCESS) {
            return false;
        }
        for (const auto [name, value] : members) {
            std::vector<std::string> values;
            if (!read_strings(value, values)) {
                return false;
            }
            for (std::string& one : values) {
                into.principals.push_back({kind_of(name, one), std::move(one)});
            }
        }
        return true;
    }

    static Kind kind_of(std::string_view name, std::string_view value) {
        if (name == "AWS") {
            return value == "*" ? Kind::kAnybody : Kind::kAws;
        }
        return name == "Service" ? Kind::kService : Kind::kNobody;  // Federated, CanonicalUser
    }

    static bool read_conditions(element json, Statement& into) {
        object operators;
        if (json.get(operators) != simdjson::SUCCESS) {
            return false;
        }
        for (const auto [name, value] : operators) {
            object keys;
            if (value.get(keys) != simdjson::SUCCESS) {
                return false;
            }
            for (const auto [key, wanted] : keys) {
                FunctionPolicy::Condition condition;
                if (!read_strings(wanted, condition.values)) {
                    return false;
                }
                set_key(key, name, condition);
                into.conditions.push_back(std::move(condition));
            }
        }
        return true;
    }

    static void set_key(
        std::string_view key, std::string_view op, FunctionPolicy::Condition& condition
    ) {
        if (same_any_case(key, "lambda:InvokedViaFunctionUrl")) {
            condition.through_url = true;
            condition.op = op == "Bool" ? Operator::kEqualsAnyCase : Operator::kNever;
            return;
        }
        const auto known = std::ranges::find_if(kKeys, [key](const KnownKey& candidate) {
            return same_any_case(candidate.name, key);
        });
        if (known == kKeys.end()) {
            return;  // never holds
        }
        condition.key = known->field;
        if (op == "StringEquals" || op == "ArnEquals") {
            condition.op = op == "ArnEquals" ? Operator::kLike : Operator::kEquals;
        } else if (op == "StringLike" || op == "ArnLike") {
            condition.op = Operator::kLike;
        } else if (op == "StringEqualsIgnoreCase") {
            condition.op = Operator::kEqualsAnyCase;
        }
        condition.is_arn = op == "ArnLike" || op == "ArnEquals";
    }
};

std::expected<FunctionPolicy, std::string> FunctionPolicy::parse(std::string_view json) {
    registry::JsonDocument document;
    TRY_ASSIGN(const object root, document.parse(json));
    FunctionPolicy policy;
    element statements;
    if (root["Statement"].get(statements) != simdjson::SUCCESS) {
        policy.statements_.push_back(PolicyReader::read(root));
        return policy;
    }
    object single;
    if (statements.get(single) == simdjson::SUCCESS) {
        policy.statements_.push_back(PolicyReader::read(single));
        return policy;
    }
    simdjson::dom::array items;
    if (statements.get(items) != simdjson::SUCCESS) {
        return std::unexpected(std::string("Statement is neither an object nor a list"));
    }
    for (const element item : items) {
        object statement;
        if (item.get(statement) != simdjson::SUCCESS) {
            return std::unexpected(std::string("Statement has an item that is no object"));
        }
        policy.statements_.push_back(PolicyReader::read(statement));
    }
    return policy;
}

FunctionPolicy::Verdict FunctionPolicy::evaluate(const PolicyQuestion& question) const {
    Verdict verdict = Verdict::kSilent;
    for (const Statement& statement : statements_) {
        if (!statement.is_understood) {
            if (!statement.is_allow) {
                return Verdict::kDeny;
            }
            continue;
        }
        if (!applies(statement, question)) {
            continue;
        }
        if (!statement.is_allow) {
            return Verdict::kDeny;
        }
        verdict = Verdict::kAllow;
    }
    return verdict;
}

bool FunctionPolicy::applies(const Statement& statement, const PolicyQuestion& question) {
    const auto is_action = [&question](const std::string& pattern) {
        // Service and name of an action are compared without case.
        std::string lower_pattern = pattern;
        std::string lower_action(question.action);
        std::ranges::transform(lower_pattern, lower_pattern.begin(), [](char c) {
            return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
        });
        std::ranges::transform(lower_action, lower_action.begin(), [](char c) {
            return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
        });
        return matches(lower_pattern, lower_action);
    };
    return std::ranges::any_of(statement.actions, is_action) &&
           std::ranges::any_of(
               statement.resources,
               [&question](const std::string& pattern) {
                   return pattern == "*" || arn_matches(pattern, question.resource);
               }
           ) &&
           std::ranges::any_of(
               statement.principals,
               [&question](const Principal& principal) { return is_meant(principal, question); }
           ) &&
           std::ranges::all_of(statement.conditions, [&question](const Condition& condition) {
               return holds(condition, question);
           });
}

bool FunctionPolicy::holds(const Condition& condition, const PolicyQuestion& question) {
    std::string_view actual;
    if (condition.through_url) {
        actual = question.url_auth_type.empty() ? "false" : "true";
    } else if (condition.key != nullptr) {
        actual = question.*condition.key;
    }
    if (actual.empty()) {
        return false;
    }
    return std::ranges::any_of(condition.values, [&](const std::string& wanted) {
        switch (condition.op) {
            case Operator::kEquals:
                return actual == wanted;
            case Operator::kEqualsAnyCase:
                return same_any_case(actual, wanted);
            case Operator::kLike:
                return condition.is_arn ? arn_matches(wanted, actual) : matches(wanted, actual);
            case Operator::kNever:
                return false;
        }
        return false;
    });
}

bool FunctionPolicy::is_meant(const Principal& principal, const PolicyQuestion& question) {
    switch (principal.kind) {
        case PrincipalKind::kAnybody:
            return true;
        case PrincipalKind::kService:
            return !question.service.empty() && question.service == principal.value;
        case PrincipalKind::kNobody:
            return false;
        case PrincipalKind::kAws:
            break;
    }
    const std::string_view value = principal.value;
    const std::string_view account = question.account;
    if (account.empty()) {
        return false;
    }
    if (is_account(value) || value.ends_with(":root")) {
        std::string_view rest = value;
        if (!is_account(value)) {
            for (int part = 0; part < 4; ++part) {
                (void)take_until(rest, ':');
            }
        }
        // An account as principal hands the decision to that account's own rules. Ours have said no
        // before anybody asked the policy; those of others hako does not know.
        return take_until(rest, ':') == account && !question.is_own_account;
    }
    return value == question.principal_arn ||
           (!question.role_arn.empty() && value == question.role_arn);
}

}  // namespace hako::gateway::auth
