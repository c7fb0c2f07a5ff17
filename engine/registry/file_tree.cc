#include "engine/registry/file_tree.h"

#include <cerrno>
#include <memory>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace hako::registry {

namespace {

constexpr int kOpenDir = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

struct CloseDir {
    void operator()(DIR* dir) const noexcept { closedir(dir); }
};

Result<std::vector<std::string>> read_names(int dir_fd) {
    // A new description: the position of the caller's stays where it is.
    UniqueFd own(openat(dir_fd, ".", kOpenDir));
    if (!own) {
        return fail_errno("open a directory to list it");
    }
    const std::unique_ptr<DIR, CloseDir> dir(fdopendir(own.get()));
    if (dir == nullptr) {
        return fail_errno("list a directory");
    }
    (void)own.release();  // closedir() closes it
    std::vector<std::string> names;
    for (;;) {
        errno = 0;
        const dirent* entry = readdir(dir.get());
        if (entry == nullptr) {
            break;
        }
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") {
            names.emplace_back(name);
        }
    }
    if (errno != 0) {
        return fail_errno("read a directory");
    }
    return names;
}

}  // namespace

Result<UniqueFd> open_beneath(int dir_fd, const std::string& path, int flags, mode_t mode) {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.mode = mode;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const long fd = syscall(SYS_openat2, dir_fd, path.c_str(), &how, sizeof(how));
    if (fd < 0) {
        return fail_errno("openat2");
    }
    return UniqueFd(static_cast<int>(fd));
}

Result<void> for_each_name(
    int dir_fd, const std::function<Result<void>(const std::string& name)>& visit
) {
    TRY_ASSIGN(const std::vector<std::string> names, read_names(dir_fd));
    for (const std::string& name : names) {
        TRY(visit(name));
    }
    return {};
}

Result<void> remove_tree(int dir_fd, const std::string& name) {
    if (unlinkat(dir_fd, name.c_str(), 0) == 0 || errno == ENOENT) {
        return {};
    }
    if (errno != EISDIR && errno != EPERM) {
        return fail_errno("remove a file");
    }
    const UniqueFd dir(openat(dir_fd, name.c_str(), kOpenDir));
    if (!dir) {
        return fail_errno("open a directory to remove it");
    }
    if (fchmod(dir.get(), 0700) != 0) {
        return fail_errno("make a directory writable");
    }
    const int fd = dir.get();
    TRY(for_each_name(fd, [fd](const std::string& inner) { return remove_tree(fd, inner); }));
    if (unlinkat(dir_fd, name.c_str(), AT_REMOVEDIR) != 0) {
        return fail_errno("remove a directory");
    }
    return {};
}

Result<void> chown_tree(int dir_fd, const std::string& name, uid_t uid, gid_t gid) {
    struct stat status{};
    if (fstatat(dir_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) {
            return {};
        }
        return fail_errno("stat");
    }
    const bool is_dir = S_ISDIR(status.st_mode);
    if ((status.st_uid == uid && status.st_gid == gid) || (!is_dir && status.st_nlink > 1)) {
        return {};
    }
    if (is_dir) {
        const UniqueFd dir(openat(dir_fd, name.c_str(), kOpenDir));
        if (!dir) {
            return fail_errno("open a directory to give it away");
        }
        const int fd = dir.get();
        TRY(for_each_name(fd, [fd, uid, gid](const std::string& inner) {
            return chown_tree(fd, inner, uid, gid);
        }));
        // Last, so that a directory that is theirs means that all in it is.
        if (fchown(fd, uid, gid) != 0) {
            return fail_errno("give a directory away");
        }
        return {};
    }
    if (fchownat(dir_fd, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
        return fail_errno("give a file away");
    }
    return {};
}

}  // namespace hako::registry
