#include "sandbox/user_namespace.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/id_map.h"
#include "engine/base/unique_fd.h"
#include "sandbox/spawner.h"
#include "sandbox/sub_ids.h"

namespace hako::sandbox {
namespace {

constexpr const char* kUidHelper = "/usr/bin/newuidmap";
constexpr const char* kGidHelper = "/usr/bin/newgidmap";

std::string read_text(const char* path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

bool write_file(const char* path, const std::string& text) {
    const UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
    return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// What the mapper runs: `newuidmap PID 0 OWN 1 1 FIRST COUNT`.
struct MapCommand {
    std::array<std::string, 8> words;
};

MapCommand make_command(const char* helper, pid_t pid, std::uint32_t own, const SubIds& ids) {
    return {
        {helper,
         std::to_string(pid),
         "0",
         std::to_string(own),
         "1",
         "1",
         std::to_string(ids.first),
         std::to_string(ids.count)}
    };
}

int run_command(const MapCommand& command) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        std::array<char*, std::tuple_size_v<decltype(command.words)> + 1> arguments{};
        std::ranges::transform(command.words, arguments.begin(), [](const std::string& word) {
            return const_cast<char*>(word.c_str());
        });
        ::execv(arguments[0], arguments.data());
        ::_exit(127);
    }
    int status = -1;
    return pid > 0 && ::waitpid(pid, &status, 0) == pid ? status : -1;
}

/// A child that stays in the old user namespace, because only from there set-user-id helpers have
/// rights over the new one. It waits for a byte that says that the new one is there.
class Mapper {
public:
    [[nodiscard]] bool start(const SubIds& users, const SubIds& groups) {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
            return false;
        }
        UniqueFd read_end(ends[0]);
        go_.reset(ends[1]);
        const MapCommand group = make_command(kGidHelper, ::getpid(), ::getegid(), groups);
        const MapCommand user = make_command(kUidHelper, ::getpid(), ::geteuid(), users);
        pid_ = ::fork();
        if (pid_ == 0) {
            go_.reset();  // so that the parent's end is the end
            char go = 0;
            const bool is_there = ::read(read_end.get(), &go, 1) == 1;
            ::_exit(is_there && run_command(group) == 0 && run_command(user) == 0 ? 0 : 1);
        }
        return pid_ > 0;
    }
    [[nodiscard]] bool run() {
        const bool told = ::write(go_.get(), "g", 1) == 1;
        return finish() && told;
    }
    bool finish() {
        go_.reset();
        int status = -1;
        return pid_ > 0 && ::waitpid(std::exchange(pid_, -1), &status, 0) > 0 && status == 0;
    }

private:
    UniqueFd go_;
    pid_t pid_ = -1;
};

struct Ranges {
    SubIds users;
    SubIds groups;
};

std::optional<Ranges> find_ranges(std::uint32_t wanted_count) {
    if (::access(kUidHelper, X_OK) != 0 || ::access(kGidHelper, X_OK) != 0) {
        log_line("no subordinate ids: newuidmap or newgidmap is not installed");
        return std::nullopt;
    }
    const passwd* entry = ::getpwuid(::getuid());
    const std::string name = entry == nullptr ? "" : entry->pw_name;
    auto users = find_sub_ids(read_text("/etc/subuid"), name, ::getuid());
    auto groups = find_sub_ids(read_text("/etc/subgid"), name, ::getuid());
    if (!users || !groups) {
        log_line(
            "no subordinate ids: user %u (%s) has none in /etc/%s",
            ::getuid(),
            name.c_str(),
            users ? "subgid" : "subuid"
        );
        return std::nullopt;
    }
    const std::uint32_t count = std::min({users->count, groups->count, wanted_count});
    users->count = count;
    groups->count = count;
    return Ranges{.users = *users, .groups = *groups};
}

/// Only the own id. The kernel wants setgroups forbidden first: else dropping a group could open
/// what is closed to it.
Result<void> map_own_id(uid_t uid, gid_t gid) {
    if (read_text("/proc/self/gid_map").empty()) {
        (void)write_file("/proc/self/setgroups", "deny");  // the next write tells
        if (!write_file("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1")) {
            return fail_errno("map the own group id");
        }
    }
    if (read_text("/proc/self/uid_map").empty() &&
        !write_file("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1")) {
        return fail_errno("map the own user id");
    }
    return {};
}

}  // namespace

Result<std::uint32_t> enter_user_namespace(std::uint32_t wanted_count) {
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    Mapper mapper;
    const auto ranges = find_ranges(wanted_count);
    const bool has_mapper = ranges && mapper.start(ranges->users, ranges->groups);
    if (::unshare(CLONE_NEWUSER) != 0) {
        const Error error{
            .code = Errc::kUnsupported, .sys_errno = errno, .what = "make a user namespace"
        };
        (void)mapper.finish();
        return fail(error);
    }
    if (has_mapper && !mapper.run()) {
        log_line("no subordinate ids: newgidmap or newuidmap failed");
    }
    if (auto mapped = map_own_id(uid, gid); !mapped) {
        return fail(Error{
            .code = Errc::kUnsupported,
            .sys_errno = mapped.error().sys_errno,
            .what = mapped.error().what
        });
    }
    return static_cast<std::uint32_t>(std::max<std::uint64_t>(end_of_ids(0), 1) - 1);
}

Result<void> enter_mount_namespace() {
    if (::unshare(CLONE_NEWNS) != 0) {
        return fail_errno("make a mount namespace");
    }
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0
               ? Result<void>{}
               : fail_errno("make mounts private");
}

std::string describe_user_namespace_settings() {
    std::string text;
    for (const char* name :
         {"user/max_user_namespaces",
          "kernel/unprivileged_userns_clone",
          "kernel/apparmor_restrict_unprivileged_userns"}) {
        std::ifstream file(std::string("/proc/sys/") + name);
        if (std::string value; file >> value) {
            text += std::string(text.empty() ? "" : ", ") + name + " = " + value;
        }
    }
    std::ranges::replace(text, '/', '.');
    return text;
}

}  // namespace hako::sandbox
