#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace hako::gateway::auth {

/// Which users of the machine a setting names: `any`, `none`, or a list of user names, user ids and
/// `@group`s with commas between.
class LocalUsers {
public:
    /// Names are looked up here, once: later the engine cannot. A group's members are those it has
    /// now, and everybody whose primary group it is. Errors: names what there is not.
    [[nodiscard]] static std::expected<LocalUsers, std::string> parse(std::string_view text);

    [[nodiscard]] bool includes(uid_t uid, gid_t gid) const noexcept;

private:
    bool any_ = false;
    std::vector<uid_t> uids_;
    std::vector<gid_t> gids_;
};

}  // namespace hako::gateway::auth
