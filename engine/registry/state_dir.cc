#include "engine/registry/state_dir.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "engine/registry/file_tree.h"

namespace hako::registry {

namespace {

constexpr const char* kLockName = "lock";
constexpr std::array<const char*, 3> kDirectories = {"code", "ledger", "log"};
constexpr std::array<const char*, 7> kFiles = {
    kLockName, "registry.db", "registry.db-wal", "registry.db-shm", "keys", "keys.new", "secret.key"
};
constexpr int kOpenDir = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

std::unexpected<Failure> refuse(const std::string& path, std::string_view what) {
    return std::unexpected(Failure{fmt::format("state directory '{}' {}", path, what)});
}

std::unexpected<Failure> refuse_errno(const std::string& path, std::string_view what, int error) {
    return refuse(path, fmt::format("{}: {}", what, std::strerror(error)));
}

/// `mkdir -p`; the last one is ours alone.
std::expected<void, Failure> make_path(const std::string& path) {
    for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
        if (mkdir(path.substr(0, slash).c_str(), 0755) != 0 && errno != EEXIST) {
            return refuse_errno(path, "cannot be made", errno);
        }
    }
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        return refuse_errno(path, "cannot be made", errno);
    }
    return {};
}

/// A directory with files but without our lock is somebody else's: `--state /tmp` must not make
/// /tmp private.
std::expected<void, Failure> check_ours(const std::string& path, int root_fd) {
    if (faccessat(root_fd, kLockName, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        return {};
    }
    bool is_empty = true;
    const auto listed = for_each_name(root_fd, [&is_empty](const std::string&) -> Result<void> {
        is_empty = false;
        return {};
    });
    if (!listed) {
        return refuse_errno(path, "cannot be read", listed.error().sys_errno);
    }
    if (!is_empty) {
        return refuse(path, "is neither empty nor a hako state directory");
    }
    return {};
}

std::expected<UniqueFd, Failure> take_lock(const std::string& path, int root_fd) {
    UniqueFd lock(openat(root_fd, kLockName, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!lock) {
        return refuse_errno(path, "is not writable", errno);
    }
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        const int error = errno;
        if (error != EWOULDBLOCK) {
            return refuse_errno(path, "cannot be locked", error);
        }
        std::array<char, 32> text{};
        const ssize_t got = pread(lock.get(), text.data(), text.size() - 1, 0);
        const long pid = got > 0 ? std::strtol(text.data(), nullptr, 10) : 0;
        return refuse(path, fmt::format("is in use by another engine (pid {})", pid));
    }
    const std::string pid = fmt::format("{}\n", getpid());
    if (ftruncate(lock.get(), 0) != 0 ||
        pwrite(lock.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
        return refuse_errno(path, "is not writable", errno);
    }
    return lock;
}

std::expected<UniqueFd, Failure> open_private_dir(
    const std::string& path, int root_fd, const char* name
) {
    if (mkdirat(root_fd, name, 0700) != 0 && errno != EEXIST) {
        return refuse_errno(path, fmt::format("is not writable ({})", name), errno);
    }
    UniqueFd dir(openat(root_fd, name, kOpenDir | O_NOFOLLOW));
    if (!dir || faccessat(root_fd, name, R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
        return refuse_errno(path, fmt::format("has no usable {} directory", name), errno);
    }
    return dir;
}

}  // namespace

std::expected<StateDir, Failure> StateDir::open(const std::string& path) {
    if (path.empty()) {
        return refuse(path, "has no name");
    }
    TRY(make_path(path));
    StateDir state;
    state.path_ = path;
    state.root_.reset(::open(path.c_str(), kOpenDir));
    if (!state.root_) {
        return refuse_errno(path, "cannot be opened", errno);
    }
    TRY(check_ours(path, state.fd()));
    TRY_ASSIGN(state.lock_, take_lock(path, state.fd()));
    struct stat status{};
    if (fstat(state.fd(), &status) != 0) {
        return refuse_errno(path, "cannot be read", errno);
    }
    if ((status.st_mode & 0777U) != 0700 && fchmod(state.fd(), 0700) != 0) {
        return refuse_errno(path, "is open to others and not ours to close", errno);
    }
    TRY_ASSIGN(state.code_, open_private_dir(path, state.fd(), kDirectories[0]));
    TRY_ASSIGN(state.ledger_, open_private_dir(path, state.fd(), kDirectories[1]));
    TRY_ASSIGN(state.log_, open_private_dir(path, state.fd(), kDirectories[2]));
    return state;
}

std::expected<void, Failure> StateDir::chown_to(uid_t uid, gid_t gid) const {
    const auto give = [this, uid, gid](const char* name) -> std::expected<void, Failure> {
        if (const auto given = chown_tree(fd(), name, uid, gid); !given) {
            return refuse_errno(
                path_,
                fmt::format("cannot be given to uid {} ({}: {})", uid, name, given.error().what),
                given.error().sys_errno
            );
        }
        return {};
    };
    for (const char* name : kFiles) {
        TRY(give(name));
    }
    for (const char* name : kDirectories) {
        // Packages and logs made by an earlier run as root lie in directories that may be theirs
        // already, so each child is looked at by itself.
        const UniqueFd dir(openat(fd(), name, kOpenDir | O_NOFOLLOW));
        if (!dir) {
            return refuse_errno(path_, "cannot be read", errno);
        }
        const auto given = for_each_name(dir.get(), [&dir, uid, gid](const std::string& child) {
            return chown_tree(dir.get(), child, uid, gid);
        });
        if (!given) {
            return refuse_errno(path_, "cannot be given away", given.error().sys_errno);
        }
        TRY(give(name));
    }
    if (fchown(fd(), uid, gid) != 0) {
        return refuse_errno(path_, fmt::format("cannot be given to uid {}", uid), errno);
    }
    return {};
}

}  // namespace hako::registry
