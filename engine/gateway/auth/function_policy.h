#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hako::gateway::auth {

/// What is asked of a function's policy. Empty members are not known, and then match no condition.
struct PolicyQuestion {
    std::string_view action;    ///< lambda:InvokeFunction
    std::string_view resource;  ///< the ARN as it was asked for, with its qualifier
    // The caller: an anonymous one has none of these.
    std::string_view principal_arn;
    std::string_view role_arn;  ///< the role behind an assumed-role ARN
    std::string_view account;
    std::string_view service;  ///< s3.amazonaws.com: a part of hako that acts for it
    bool is_own_account = false;
    // Keys of conditions.
    std::string_view source_arn;
    std::string_view source_account;
    std::string_view event_source_token;
    std::string_view url_auth_type;
    std::string_view organization;
};

/// A function's resource policy as AddPermission builds it, read once and then only compared. What
/// it does not understand grants nothing.
class FunctionPolicy {
public:
    enum class Verdict : std::uint8_t { kSilent, kAllow, kDeny };

    /// From the text that GetPolicy gives, or from one statement. Errors: why it is not a policy.
    [[nodiscard]] static std::expected<FunctionPolicy, std::string> parse(std::string_view json);

    /// kDeny if any statement that applies denies, else kAllow if one allows.
    [[nodiscard]] Verdict evaluate(const PolicyQuestion& question) const;
    [[nodiscard]] std::size_t statements_count() const noexcept { return statements_.size(); }

private:
    friend struct PolicyReader;

    enum class Operator : std::uint8_t { kEquals, kEqualsAnyCase, kLike, kNever };
    struct Condition {
        Operator op = Operator::kNever;
        std::string_view PolicyQuestion::* key = nullptr;
        bool is_arn = false;
        bool through_url = false;  // lambda:InvokedViaFunctionUrl
        std::vector<std::string> values;
    };
    enum class PrincipalKind : std::uint8_t { kAnybody, kAws, kService, kNobody };
    struct Principal {
        PrincipalKind kind = PrincipalKind::kNobody;
        std::string value;
    };
    struct Statement {
        bool is_allow = false;
        bool is_understood = true;  // else an Allow grants nothing and a Deny denies everything
        std::vector<Principal> principals;
        std::vector<std::string> actions;
        std::vector<std::string> resources;
        std::vector<Condition> conditions;
    };

    [[nodiscard]] static bool applies(const Statement& statement, const PolicyQuestion& question);
    [[nodiscard]] static bool holds(const Condition& condition, const PolicyQuestion& question);
    [[nodiscard]] static bool is_meant(const Principal& principal, const PolicyQuestion& question);

    std::vector<Statement> statements_;
};

}  // namespace hako::gateway::auth
