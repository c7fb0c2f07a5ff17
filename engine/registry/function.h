#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/registry/function_version.h"

namespace hako::registry {

/// The part of an alias's invocations that goes to a second version.
struct AliasRouting {
    std::uint64_t number = 0;
    double weight = 0;  // 0 to 1
};

/// A name for a version that can be moved.
struct Alias {
    std::string name;
    std::uint64_t number = 0;  // of the version; 0 for $LATEST
    std::optional<AliasRouting> routing;
    std::string description;
    std::string revision_id;
    std::uint32_t provisioned_count = 0;
    std::string provisioned_modified;

    /// How many provisioned instances it wants of a version.
    [[nodiscard]] std::uint32_t provisioned_of(std::uint64_t version_number) const noexcept;
};

/// One statement of a resource policy.
struct PolicyStatement {
    std::string sid;
    std::string json;  // the whole statement, as GetPolicy shows it
};
using Policy = std::vector<PolicyStatement>;

/// The whole policy as GetPolicy shows it.
[[nodiscard]] std::string policy_text(const Policy& policy);

/// A function with all there is of it. Loop thread only.
struct Function {
    FunctionRef latest;
    std::map<std::uint64_t, FunctionRef> versions;        // published, by number
    std::map<std::string, Alias, std::less<>> aliases;    // by name
    std::map<std::string, Policy, std::less<>> policies;  // by qualifier; "" for the function
    std::uint64_t last_number = 0;                        // the highest ever published

    [[nodiscard]] const std::string& name() const noexcept { return latest->name; }
    [[nodiscard]] FunctionCommon& common() const noexcept { return *latest->common; }
    /// Null if it was never published or is deleted; 0 is $LATEST.
    [[nodiscard]] FunctionRef version(std::uint64_t number) const;
    [[nodiscard]] const Alias* alias(std::string_view alias_name) const;
    /// The alias and the version that a qualifier means; both null if there is none.
    struct Meaning {
        FunctionRef version;
        const Alias* alias = nullptr;
    };
    [[nodiscard]] Meaning resolve(std::string_view qualifier) const;
};

/// `$LATEST` for 0.
[[nodiscard]] std::string version_text(std::uint64_t number);
/// The other way round; nothing if it is neither `$LATEST` nor digits that fit.
[[nodiscard]] std::optional<std::uint64_t> version_number(std::string_view text);

}  // namespace hako::registry
