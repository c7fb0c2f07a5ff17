#include "engine/gateway/auth/local_users.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <grp.h>
#include <pwd.h>

#include <fmt/format.h>

#include "engine/base/result.h"
#include "engine/gateway/auth/text.h"

namespace hako::gateway::auth {

namespace {

std::optional<std::uint32_t> number_in(std::string_view text) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return number;
}

std::expected<void, std::string> add_group(
    const std::string& name, std::vector<gid_t>& gids, std::vector<uid_t>& uids
) {
    const auto number = number_in(name);
    const group* entry = number ? ::getgrgid(*number) : ::getgrnam(name.c_str());
    if (entry == nullptr) {
        if (!number) {
            return std::unexpected(fmt::format("no group named '{}'", name));
        }
        gids.push_back(*number);
        return {};
    }
    gids.push_back(entry->gr_gid);
    std::vector<std::string> members;
    for (char** member = entry->gr_mem; *member != nullptr; ++member) {
        members.emplace_back(*member);
    }
    for (const std::string& member : members) {
        if (const passwd* user = ::getpwnam(member.c_str()); user != nullptr) {
            uids.push_back(user->pw_uid);
        }
    }
    return {};
}

}  // namespace

std::expected<LocalUsers, std::string> LocalUsers::parse(std::string_view text) {
    LocalUsers users;
    if (text == "any" || text == "none") {
        users.any_ = text == "any";
        return users;
    }
    while (!text.empty()) {
        std::string_view part = take_until(text, ',');
        while (part.starts_with(' ')) {
            part.remove_prefix(1);
        }
        while (part.ends_with(' ')) {
            part.remove_suffix(1);
        }
        if (part.empty() || part == "@") {
            return std::unexpected(std::string("a name is missing"));
        }
        if (part.starts_with('@')) {
            TRY(add_group(std::string(part.substr(1)), users.gids_, users.uids_));
            continue;
        }
        if (const auto uid = number_in(part)) {
            users.uids_.push_back(*uid);
            continue;
        }
        const passwd* user = ::getpwnam(std::string(part).c_str());
        if (user == nullptr) {
            return std::unexpected(fmt::format("no user named '{}'", part));
        }
        users.uids_.push_back(user->pw_uid);
    }
    return users;
}

bool LocalUsers::includes(uid_t uid, gid_t gid) const noexcept {
    return any_ || std::ranges::find(uids_, uid) != uids_.end() ||
           std::ranges::find(gids_, gid) != gids_.end();
}

}  // namespace hako::gateway::auth
