#include "sandbox/root_template.h"

#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/base/unique_fd.h"
#include "sandbox/root_files.h"
#include "sandbox/syscalls.h"

namespace hako::sandbox {
namespace {

// The new root is built over /proc: it exists everywhere, and no source of a bind lies below it.
constexpr const char* kStaging = "/proc";

Result<void> unshare_mounts() {
    if (::unshare(CLONE_NEWNS) != 0) {
        return fail_errno("root: unshare mounts");
    }
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0
               ? Result<void>{}
               : fail_errno("root: make private");
}

Result<void> mount_staging() {
    if (::mount("hako", kStaging, "tmpfs", MS_NOSUID, "mode=755,size=64m") != 0) {
        return fail_errno("root: mount tmpfs");
    }
    return ::chdir(kStaging) == 0 ? Result<void>{} : fail_errno("root: chdir");
}

constexpr unsigned kRecursive = 0x8000;  // AT_RECURSIVE

/// A copy of the mount at `source`. Without root the kernel keeps mounts below it in their places
/// (mount_namespaces(7)): then it comes with them or not at all.
UniqueFd clone_mount(const char* source, bool in_user_namespace) {
    constexpr unsigned kFlags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    return UniqueFd(sys::open_tree(AT_FDCWD, source, kFlags | (in_user_namespace ? kRecursive : 0))
    );
}

/// Binds `source` read-only at `target`, relative to the staging directory.
Result<void> bind(const char* source, const char* target, bool in_user_namespace) {
    const UniqueFd tree = clone_mount(source, in_user_namespace);
    if (!tree) {
        return fail_errno("root: open_tree");
    }
    constexpr std::uint64_t kAttributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    if (sys::mount_setattr(tree.get(), kAttributes, in_user_namespace ? kRecursive : 0) != 0) {
        return fail_errno("root: mount_setattr");
    }
    if (::mkdir(target, 0755) != 0 && errno != EEXIST) {
        return fail_errno("root: mkdir");
    }
    if (sys::move_mount(tree.get(), target) != 0) {
        return fail_errno("root: move_mount");
    }
    return {};
}

/// Merged-usr hosts have links to /usr here, others directories; the sandbox gets the same.
Result<void> add_system_directories(bool in_user_namespace) {
    TRY(bind("/usr", "usr", in_user_namespace));
    for (const char* name : {"bin", "sbin", "lib", "lib32", "lib64", "libx32"}) {
        const std::string source = std::string("/") + name;
        std::error_code gone;
        const auto status = std::filesystem::symlink_status(source, gone);
        if (std::filesystem::is_symlink(status)) {
            const std::string to = std::filesystem::read_symlink(source, gone).string();
            if (gone || ::symlink(to.c_str(), name) != 0) {
                return fail_errno("root: symlink");
            }
        } else if (std::filesystem::is_directory(status)) {
            TRY(bind(source.c_str(), name, in_user_namespace));
        }
    }
    return {};
}

/// Without root there are no device nodes to make: the host's own, one by one.
Result<void> bind_device(const char* target) {
    const std::string source = std::string("/") + target;
    const UniqueFd tree = clone_mount(source.c_str(), false);
    constexpr std::uint64_t kAttributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    if (!tree || sys::mount_setattr(tree.get(), kAttributes) != 0) {
        return fail_errno("root: open_tree of a device");
    }
    const UniqueFd file(::open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
    if (!file || sys::move_mount(tree.get(), target) != 0) {
        return fail_errno("root: bind a device");
    }
    return {};
}

Result<void> add_device(const char* path, unsigned minor_number, bool in_user_namespace) {
    if (in_user_namespace) {
        return bind_device(path);
    }
    return ::mknod(path, S_IFCHR | 0666, makedev(1, minor_number)) == 0 ? Result<void>{}
                                                                        : fail_errno("root: mknod");
}

Result<void> add_devices(bool in_user_namespace) {
    struct Node {
        const char* path;
        unsigned minor_number;
    };
    constexpr std::array kNodes = {
        Node{"dev/null", 3},
        Node{"dev/zero", 5},
        Node{"dev/full", 7},
        Node{"dev/random", 8},
        Node{"dev/urandom", 9},
    };
    for (const Node& node : kNodes) {
        TRY(add_device(node.path, node.minor_number, in_user_namespace));
    }
    struct Link {
        const char* to;
        const char* path;
    };
    // /dev/shm shares /tmp and its size limit.
    constexpr std::array kLinks = {
        Link{"/proc/self/fd", "dev/fd"},
        Link{"/proc/self/fd/0", "dev/stdin"},
        Link{"/proc/self/fd/1", "dev/stdout"},
        Link{"/proc/self/fd/2", "dev/stderr"},
        Link{"/tmp", "dev/shm"},
        Link{"/proc/self/mounts", "etc/mtab"},
    };
    for (const Link& link : kLinks) {
        if (::symlink(link.to, link.path) != 0) {
            return fail_errno("root: device link");
        }
    }
    return {};
}

Result<void> add_directories() {
    for (const char* path :
         {"dev",
          "etc",
          "proc",
          "sys",
          "tmp",
          "run",
          "root",
          "home",
          "opt",
          "var",
          "var/task",
          "var/runtime",
          "var/lib",
          "var/tmp"}) {
        if (::mkdir(path, 0755) != 0) {
            return fail_errno("root: mkdir");
        }
    }
    return {};
}

/// The old root goes away with everything under it.
Result<void> pivot() {
    const UniqueFd root(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root || sys::mount_setattr(root.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID) != 0) {
        return fail_errno("root: read-only");
    }
    if (::syscall(SYS_pivot_root, ".", ".") != 0) {
        return fail_errno("root: pivot_root");
    }
    if (::umount2(".", MNT_DETACH) != 0) {
        return fail_errno("root: umount old root");
    }
    return ::chdir("/") == 0 ? Result<void>{} : fail_errno("root: chdir new root");
}

}  // namespace

Result<void> enter_root_template(const RootOptions& options) {
    const bool in_user_namespace = options.in_user_namespace;
    const mode_t old_umask = ::umask(0);
    TRY(unshare_mounts());
    // Before the new root hides it. Each sandbox replaces it before it gets code (child.cc).
    const UniqueFd host_proc = in_user_namespace ? clone_mount("/proc", true) : UniqueFd();
    TRY(mount_staging());
    TRY(add_directories());
    TRY(add_system_directories(in_user_namespace));
    TRY(add_devices(in_user_namespace));
    TRY(add_root_files());
    if (!options.runtime_dir.empty()) {
        TRY(bind(options.runtime_dir.c_str(), "var/runtime", in_user_namespace));
    }
    if (in_user_namespace && (!host_proc || sys::move_mount(host_proc.get(), "proc") != 0)) {
        return fail_errno("root: take /proc along");
    }
    TRY(pivot());
    (void)::umask(old_umask);  // cannot fail
    return {};
}

}  // namespace hako::sandbox
