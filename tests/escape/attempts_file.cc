#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/escape/attempts.h"

// Mounts, devices, files of the host and of others, rights that come from files.
namespace hako::escape {
namespace {

template <long Number>
long plain(const char*) {
    return ::syscall(Number, 0, 0, 0, 0, 0, 0);
}

long refuse(int error) {
    errno = error;
    return -1;
}

long open_read(const char* path) {
    return ::open(path, O_RDONLY | O_CLOEXEC);
}

long open_write(const char* path) {
    return ::open(path, O_WRONLY | O_CLOEXEC);
}

/// Creates and removes again, so that a wall that is down leaves no trace on a host.
long create(const char* path) {
    const int fd = ::open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -1;
    }
    (void)::unlink(path);  // ours alone, and maybe gone already
    return fd;
}

/// Creates and leaves it for others to find.
long plant(const char* path) {
    return ::open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
}

long open_tree_of_root(const char*) {
    constexpr unsigned kClone = 1;
    return ::syscall(SYS_open_tree, AT_FDCWD, "/usr", kClone);
}

long open_new_file_system(const char*) {
    return ::syscall(SYS_fsopen, "tmpfs", 0);
}

struct Handle {
    unsigned bytes = 128;
    int type = 0;
    unsigned char data[128] = {};
};

long name_a_handle(const char*) {
    Handle handle;
    int mount_id = 0;
    // A tmpfs has handles wherever the suite runs; an overlay, as in the emulated machine, has
    // none.
    return ::syscall(SYS_name_to_handle_at, AT_FDCWD, "/tmp", &handle, &mount_id, 0);
}

/// The handle of inode 2, an ext file system's root: what "shocker" guessed.
long open_a_handle(const char*) {
    Handle handle;
    handle.bytes = 8;
    handle.type = 1;
    handle.data[0] = 2;
    const int mount = ::open("/var/task", O_RDONLY | O_CLOEXEC);
    return ::syscall(SYS_open_by_handle_at, mount, &handle, O_RDONLY);
}

/// Up from a directory outside the new root.
long climb_out_by_chroot(const char*) {
    const int up = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)::mkdir("/tmp/jail", 0700);  // there from an earlier try is as good
    if (up < 0 || ::chroot("/tmp/jail") != 0) {
        return -1;
    }
    return ::fchdir(up);
}

/// `..` of the root must be the root.
long climb_out_by_dots(const char*) {
    struct stat root{};
    struct stat above{};
    if (::stat("/", &root) != 0 || ::stat("/proc/self/root/../../..", &above) != 0) {
        return -1;
    }
    const bool same = root.st_ino == above.st_ino && root.st_dev == above.st_dev;
    return same ? refuse(ENOENT) : 0;
}

long watch_host_files(const char*) {
    const int fd = ::inotify_init1(IN_CLOEXEC);
    return fd < 0 ? -1 : ::inotify_add_watch(fd, "/usr/bin", IN_OPEN);
}

long lock_host_file(const char*) {
    const long fd = open_read("/usr/bin/env");
    return fd < 0 ? -1 : ::flock(static_cast<int>(fd), LOCK_EX | LOCK_NB);
}

long link_setuid_binary(const char*) {
    return ::link("/usr/bin/su", "/tmp/su");
}

bool copy_program(const char* from, int to) {
    const int source = ::open(from, O_RDONLY | O_CLOEXEC);
    char buffer[16384];
    ssize_t got = 0;
    while (source >= 0 && (got = ::read(source, buffer, sizeof(buffer))) > 0) {
        if (::write(to, buffer, static_cast<std::size_t>(got)) != got) {
            return false;
        }
    }
    return source >= 0 && got == 0;
}

/// Runs the program behind `fd` ("id -u") and tells whether it had become root.
long run_as_root(int fd) {
    std::array<int, 2> output{};
    if (::pipe2(output.data(), O_CLOEXEC) != 0) {
        return -1;
    }
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::dup2(output[1], 1);
        const char* const arguments[] = {"id", "-u", nullptr};
        ::syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH);
        ::_exit(errno);
    }
    ::close(output[1]);
    char text[32] = {};
    const ssize_t got = ::read(output[0], text, sizeof(text) - 1);
    int status = 0;
    if (pid < 0 || ::waitpid(pid, &status, 0) != pid) {
        return -1;
    }
    if (got <= 0) {
        return refuse(WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EIO);
    }
    return std::strcmp(text, "0\n") == 0 ? 0 : refuse(EPERM);
}

long run_setuid_memfd(const char*) {
    const int fd = ::memfd_create("id", MFD_CLOEXEC);
    if (fd < 0 || !copy_program("/usr/bin/id", fd) || ::fchmod(fd, 04755) != 0) {
        return -1;
    }
    return run_as_root(fd);
}

long run_setuid_copy(const char*) {
    const int fd = ::open("/tmp/id", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0700);
    if (fd < 0 || !copy_program("/usr/bin/id", fd) || ::fchmod(fd, 06755) != 0) {
        return -1;
    }
    ::close(fd);
    const int program = ::open("/tmp/id", O_PATH | O_CLOEXEC);
    return program < 0 ? -1 : run_as_root(program);
}

/// A real one of the host: neither may the mount honour the bit nor the process gain by it.
long run_setuid_binary(const char*) {
    for (const char* path : {"/usr/bin/su", "/usr/bin/mount", "/usr/bin/passwd"}) {
        struct stat info{};
        struct statvfs mount{};
        if (::stat(path, &info) == 0 && (info.st_mode & S_ISUID) != 0 &&
            ::statvfs(path, &mount) == 0 && (mount.f_flag & ST_NOSUID) == 0) {
            return 0;
        }
    }
    return refuse(EPERM);
}

/// A file of the package whose entry asked for set-user-id.
long find_setuid_in_package(const char* path) {
    struct stat info{};
    if (::stat(path, &info) != 0) {
        return -1;
    }
    return (info.st_mode & (S_ISUID | S_ISGID)) != 0 ? 0 : refuse(EPERM);
}

long give_file_capabilities(const char*) {
    vfs_cap_data all{};
    all.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
    all.data[0].permitted = 0xffffffffU;
    const int fd = ::open("/tmp/capable", O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
    return fd < 0 ? -1 : ::fsetxattr(fd, "security.capability", &all, XATTR_CAPS_SZ_2, 0);
}

long give_away_file(const char*) {
    const int fd = ::open("/tmp/given", O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
    return fd < 0 ? -1 : ::fchown(fd, 0, 0);
}

/// Only the pages of the channel may change, never its size: the engine would fault.
long shrink_channel(const char*) {
    return ::ftruncate(3, 4096);
}

long unseal_channel(const char*) {
    return ::fcntl(3, F_ADD_SEALS, F_SEAL_WRITE);
}

constexpr std::array kAttempts = {
    Attempt{"mount-tmpfs", [](const char*) { return long{::mount("x", "/tmp", "tmpfs", 0, "")}; }},
    Attempt{"mount-proc", [](const char*) { return long{::mount("x", "/tmp", "proc", 0, "")}; }},
    Attempt{"mount-bind", [](const char*) { return long{::mount("/", "/tmp", "", MS_BIND, "")}; }},
    Attempt{
        "mount-cgroup", [](const char*) { return long{::mount("x", "/tmp", "cgroup2", 0, "")}; }
    },
    Attempt{
        "remount-task",
        [](const char*) { return long{::mount("", "/var/task", "", MS_REMOUNT | MS_BIND, "")}; }
    },
    Attempt{"umount-proc", [](const char*) { return long{::umount2("/proc", MNT_DETACH)}; }},
    Attempt{"pivot-root", [](const char*) { return ::syscall(SYS_pivot_root, "/tmp", "/tmp"); }},
    Attempt{"chroot", climb_out_by_chroot},
    Attempt{"dots", climb_out_by_dots},
    Attempt{"open-tree", open_tree_of_root},
    Attempt{"fsopen", open_new_file_system},
    Attempt{"fsmount", plain<SYS_fsmount>},
    Attempt{"move-mount", plain<SYS_move_mount>},
    Attempt{"mount-setattr", plain<SYS_mount_setattr>},
    Attempt{"name-to-handle", name_a_handle},
    Attempt{"open-by-handle", open_a_handle},
    Attempt{
        "mknod-disk",
        [](const char*) { return long{::mknod("/tmp/disk", S_IFBLK | 0600, makedev(254, 0))}; }
    },
    Attempt{
        "mknod-char",
        [](const char*) { return long{::mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1))}; }
    },
    Attempt{
        "mknod-fifo",
        [](const char*) {
            (void)::unlink("/tmp/fifo");  // of an earlier try
            return long{::mknod("/tmp/fifo", S_IFIFO | 0600, 0)};
        }
    },
    Attempt{"create", create},
    Attempt{"plant", plant},
    Attempt{"open", open_read},
    Attempt{"open-write", open_write},
    Attempt{"inotify-host", watch_host_files},
    Attempt{"flock-host", lock_host_file},
    Attempt{"link-setuid", link_setuid_binary},
    Attempt{"setuid-memfd", run_setuid_memfd},
    Attempt{"setuid-copy", run_setuid_copy},
    Attempt{"setuid-binary", run_setuid_binary},
    Attempt{"setuid-package", find_setuid_in_package},
    Attempt{"file-capability", give_file_capabilities},
    Attempt{"chown-root", give_away_file},
    Attempt{"shrink-channel", shrink_channel},
    Attempt{"unseal-channel", unseal_channel},
};

}  // namespace

std::span<const Attempt> file_attempts() {
    return kAttempts;
}

}  // namespace hako::escape
