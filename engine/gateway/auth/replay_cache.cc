#include "engine/gateway/auth/replay_cache.h"

#include <algorithm>

namespace hako::gateway::auth {

namespace {

constexpr auto kLaterEnd = [](const auto& a, const auto& b) { return a.until_s > b.until_s; };

}  // namespace

ReplayCache::Outcome ReplayCache::enter(
    std::string_view signature, std::int64_t until_s, std::int64_t now_s
) {
    forget_ended(now_s);
    std::string key(signature);
    if (seen_.contains(key)) {
        return Outcome::kSeen;
    }
    if (seen_.size() >= entries_max_) {
        return Outcome::kFull;
    }
    const auto [entered, is_new] = seen_.insert(std::move(key));
    ends_.push_back({.until_s = until_s, .signature = &*entered});
    std::ranges::push_heap(ends_, kLaterEnd);
    return Outcome::kFresh;
}

void ReplayCache::forget_ended(std::int64_t now_s) {
    while (!ends_.empty() && ends_.front().until_s < now_s) {
        std::ranges::pop_heap(ends_, kLaterEnd);
        seen_.erase(seen_.find(*ends_.back().signature));
        ends_.pop_back();
    }
}

}  // namespace hako::gateway::auth
