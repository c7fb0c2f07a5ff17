#include "engine/gateway/auth/policy_cache.h"

#include <utility>

#include <fmt/format.h>

namespace hako::gateway::auth {

std::shared_ptr<const FunctionPolicy> PolicyCache::get(
    std::string_view function_name, std::string_view qualifier, std::string_view json
) {
    std::string key = fmt::format("{}:{}", function_name, qualifier);
    const auto found = entries_.find(key);
    if (found != entries_.end() && found->second.json == json) {
        return found->second.policy;
    }
    auto read = FunctionPolicy::parse(json);
    auto policy =
        std::make_shared<const FunctionPolicy>(read ? *std::move(read) : FunctionPolicy());
    if (found == entries_.end() && entries_.size() >= entries_max_) {
        entries_.clear();  // so many functions with policies are rare, and reading is cheap
    }
    entries_.insert_or_assign(std::move(key), Entry{.json = std::string(json), .policy = policy});
    return policy;
}

}  // namespace hako::gateway::auth
