#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace hako::gateway::auth {

/// Signatures that were used and would still be taken: each works once. Bounded.
class ReplayCache {
public:
    enum class Outcome : std::uint8_t { kFresh, kSeen, kFull };

    explicit ReplayCache(std::size_t entries_max) : entries_max_(entries_max) {}

    /// Enters `signature` until `until_s`; kFresh if it was not there, kFull if there is no room.
    [[nodiscard]] Outcome enter(
        std::string_view signature, std::int64_t until_s, std::int64_t now_s
    );
    [[nodiscard]] std::size_t count() const noexcept { return seen_.size(); }

private:
    struct End {
        std::int64_t until_s = 0;
        const std::string* signature = nullptr;  // in seen_, whose nodes stay where they are
    };

    void forget_ended(std::int64_t now_s);

    std::size_t entries_max_;
    std::unordered_set<std::string> seen_;
    std::vector<End> ends_;  // a heap, the first to end on top
};

}  // namespace hako::gateway::auth
