#pragma once

#include <csignal>
#include <cstdint>

#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <unistd.h>

// System calls that Debian 12's glibc has no wrapper for (or one we cannot use with its headers).
namespace hako::sandbox::sys {

inline long clone3(const clone_args& args) noexcept {
    return ::syscall(SYS_clone3, &args, sizeof(args));
}
inline int pidfd_open(pid_t pid) noexcept {
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U));
}
inline int pidfd_kill(int pidfd) noexcept {
    return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0U));
}
inline int open_tree(int dirfd, const char* path, unsigned flags) noexcept {
    return static_cast<int>(::syscall(SYS_open_tree, dirfd, path, flags));
}
inline int move_mount(int fd, const char* to) noexcept {
    return static_cast<int>(
        ::syscall(SYS_move_mount, fd, "", -100 /* AT_FDCWD */, to, MOVE_MOUNT_F_EMPTY_PATH)
    );
}
inline int mount_setattr(int fd, std::uint64_t attributes, unsigned flags = 0) noexcept {
    mount_attr attr{};
    attr.attr_set = attributes;
    constexpr unsigned kEmptyPath = 0x1000;  // AT_EMPTY_PATH
    return static_cast<int>(
        ::syscall(SYS_mount_setattr, fd, "", kEmptyPath | flags, &attr, sizeof(attr))
    );
}
inline int close_from(unsigned first) noexcept {
    return static_cast<int>(::syscall(SYS_close_range, first, ~0U, 0U));
}

}  // namespace hako::sandbox::sys
