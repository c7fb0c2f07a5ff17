#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/gateway/auth/function_policy.h"

namespace hako::gateway::auth {

/// Policies that were read before, by function and qualifier. Each question comes with the text in
/// force, so nobody has to say when one has changed. Bounded.
class PolicyCache {
public:
    explicit PolicyCache(std::size_t entries_max) : entries_max_(entries_max) {}

    /// The policy of this text. One that cannot be read grants nothing.
    [[nodiscard]] std::shared_ptr<const FunctionPolicy> get(
        std::string_view function_name, std::string_view qualifier, std::string_view json
    );
    [[nodiscard]] std::size_t count() const noexcept { return entries_.size(); }

private:
    struct Entry {
        std::string json;
        std::shared_ptr<const FunctionPolicy> policy;
    };

    std::size_t entries_max_;
    std::unordered_map<std::string, Entry> entries_;
};

}  // namespace hako::gateway::auth
