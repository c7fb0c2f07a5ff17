#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <sys/stat.h>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

// Work below a directory descriptor. Nothing here follows a symlink.
namespace hako::registry {

/// openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS. `mode` only with O_CREAT.
[[nodiscard]] Result<UniqueFd> open_beneath(
    int dir_fd, const std::string& path, int flags, mode_t mode = 0
);

/// Calls `visit` with each name but `.` and `..` until it gives an error. The names are read
/// before the first call, so `visit` may remove them.
[[nodiscard]] Result<void> for_each_name(
    int dir_fd, const std::function<Result<void>(const std::string& name)>& visit
);

/// Removes `name` and everything in it, read-only directories too. Fine if it is not there.
[[nodiscard]] Result<void> remove_tree(int dir_fd, const std::string& name);

/// Gives `name` and everything in it to `uid`:`gid`. Skips a directory (with all in it) that
/// already belongs to them, and files with more than one link.
[[nodiscard]] Result<void> chown_tree(int dir_fd, const std::string& name, uid_t uid, gid_t gid);

}  // namespace hako::registry
