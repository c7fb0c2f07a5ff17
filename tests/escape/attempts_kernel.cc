#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sandbox/probe.h"

// Attempts to get out. Each runs in a child of the probe and returns what the system call returned:
// 0 or more is a success of the attacker, -1 leaves errno.
namespace hako::sandbox::testing {
namespace {

struct Attempt {
    const char* name;
    long (*run)();
};

template <long Number>
long plain() {
    return ::syscall(Number, 0, 0, 0, 0, 0, 0);
}

long open_write(const char* path) {
    return ::open(path, O_WRONLY | O_CLOEXEC);
}

long int80() {
#if defined(__x86_64__)
    long result = 20;  // getpid of the 32-bit table
    asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result;
#else
    errno = ENOSYS;
    return -1;
#endif
}

/// A child in a stopped state that somebody would have to be able to see.
long trace_parent() {
    return ::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr);
}

long read_parent_memory() {
    char byte = 0;
    return ::syscall(SYS_process_vm_readv, ::getppid(), &byte, 1, &byte, 1, 0);
}

long set_core_limit() {
    const rlimit none{.rlim_cur = 0, .rlim_max = 0};
    return ::setrlimit(RLIMIT_CORE, &none);
}

long raise_fd_limit() {
    const rlimit more{.rlim_cur = 4096, .rlim_max = 4096};
    return ::setrlimit(RLIMIT_NOFILE, &more);
}

long push_terminal_input() {
    char byte = 'x';
    return ::ioctl(0, TIOCSTI, &byte);
}

long clone_user_namespace() {
    return ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
}

long raise_ambient() {
    return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0);
}

long set_capabilities() {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct data[2] = {{.effective = 1, .permitted = 1, .inheritable = 0}, {}};
    return ::syscall(SYS_capset, &header, data);
}

long map_address_zero() {
    void* at = ::mmap(nullptr, 4096, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? -1 : 0;
}

long map_huge_pages() {
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
    return ::mmap(nullptr, 2U << 20U, PROT_READ, kFlags, -1, 0) == MAP_FAILED ? -1 : 0;
}

long run_setuid_binary() {
    // Runs, but with no more rights: `id -u` of a set-user-id copy would print 0.
    for (const char* path : {"/usr/bin/su", "/usr/bin/mount", "/usr/bin/passwd"}) {
        struct stat info{};
        if (::stat(path, &info) == 0 && (info.st_mode & S_ISUID) != 0) {
            return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? (errno = EPERM, -1) : 0;
        }
    }
    errno = EPERM;
    return -1;
}

constexpr std::array kAttempts = {
    Attempt{"ptrace-attach", trace_parent},
    Attempt{"ptrace-traceme", [] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }},
    Attempt{"process-vm-readv", read_parent_memory},
    Attempt{"kill-init", [] { return long{::kill(1, SIGKILL)}; }},
    Attempt{"term-init", [] { return long{::kill(1, SIGTERM)}; }},
    Attempt{"stop-init", [] { return long{::kill(1, SIGSTOP)}; }},
    Attempt{"read-init-environ", [] { return long{::open("/proc/1/environ", O_RDONLY)}; }},
    Attempt{"open-init-root", [] { return long{::open("/proc/1/root/", O_RDONLY)}; }},
    Attempt{"open-init-mem", [] { return long{::open("/proc/1/mem", O_RDWR)}; }},
    Attempt{"list-init-fds", [] { return long{::open("/proc/1/fd/0", O_RDONLY)}; }},
    Attempt{"setns", [] { return ::syscall(SYS_setns, 3, 0); }},
    Attempt{"unshare-user", [] { return long{::unshare(CLONE_NEWUSER)}; }},
    Attempt{"unshare-mounts", [] { return long{::unshare(CLONE_NEWNS)}; }},
    Attempt{"clone-user", clone_user_namespace},
    Attempt{"clone3", plain<SYS_clone3>},
    Attempt{"mount-tmpfs", [] { return long{::mount("x", "/tmp", "tmpfs", 0, nullptr)}; }},
    Attempt{
        "remount-task", [] { return long{::mount(nullptr, "/var/task", nullptr, MS_REMOUNT, "")}; }
    },
    Attempt{"umount-proc", [] { return long{::umount2("/proc", MNT_DETACH)}; }},
    Attempt{"pivot-root", plain<SYS_pivot_root>},
    Attempt{"chroot", [] { return long{::chroot("/tmp")}; }},
    Attempt{"open-tree", plain<SYS_open_tree>},
    Attempt{"fsopen", plain<SYS_fsopen>},
    Attempt{"mount-setattr", plain<SYS_mount_setattr>},
    Attempt{"name-to-handle", plain<SYS_name_to_handle_at>},
    Attempt{"open-by-handle", plain<SYS_open_by_handle_at>},
    Attempt{
        "mknod-disk", [] { return long{::mknod("/tmp/disk", S_IFBLK | 0600, makedev(254, 0))}; }
    },
    Attempt{"mknod-char", [] { return long{::mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1))}; }},
    Attempt{"mknod-fifo", [] { return long{::mknod("/tmp/fifo", S_IFIFO | 0600, 0)}; }},
    Attempt{"write-task", [] { return long{::open("/var/task/new", O_CREAT | O_WRONLY, 0600)}; }},
    Attempt{"write-etc", [] { return long{::open("/etc/new", O_CREAT | O_WRONLY, 0600)}; }},
    Attempt{"write-usr", [] { return long{::open("/usr/bin/new", O_CREAT | O_WRONLY, 0600)}; }},
    Attempt{"write-root", [] { return long{::open("/new", O_CREAT | O_WRONLY, 0600)}; }},
    Attempt{"write-dev", [] { return long{::open("/dev/new", O_CREAT | O_WRONLY, 0600)}; }},
    Attempt{"write-tmp", [] { return long{::open("/tmp/new", O_CREAT | O_WRONLY, 0600)}; }},
    Attempt{"core-pattern", [] { return open_write("/proc/sys/kernel/core_pattern"); }},
    Attempt{"sysrq", [] { return open_write("/proc/sysrq-trigger"); }},
    Attempt{"kcore", [] { return long{::open("/proc/kcore", O_RDONLY)}; }},
    Attempt{"own-oom-score", [] { return open_write("/proc/self/oom_score_adj"); }},
    Attempt{"own-uid-map", [] { return open_write("/proc/self/uid_map"); }},
    Attempt{"sysfs", [] { return long{::open("/sys/kernel/uevent_helper", O_RDONLY)}; }},
    Attempt{"cgroupfs", [] { return long{::open("/sys/fs/cgroup", O_RDONLY)}; }},
    Attempt{"dev-mem", [] { return long{::open("/dev/mem", O_RDONLY)}; }},
    Attempt{"dev-kmsg", [] { return long{::open("/dev/kmsg", O_RDONLY)}; }},
    Attempt{"host-work", [] { return long{::open("/home/hako", O_RDONLY)}; }},
    Attempt{"host-root", [] { return long{::open("/root/.ssh", O_RDONLY)}; }},
    Attempt{"keyctl", plain<SYS_keyctl>},
    Attempt{"add-key", plain<SYS_add_key>},
    Attempt{"bpf", plain<SYS_bpf>},
    Attempt{"perf-event", plain<SYS_perf_event_open>},
    Attempt{"io-uring", plain<SYS_io_uring_setup>},
    Attempt{"userfaultfd", plain<SYS_userfaultfd>},
    Attempt{"kexec", plain<SYS_kexec_load>},
    Attempt{"init-module", plain<SYS_finit_module>},
    Attempt{"reboot", plain<SYS_reboot>},
    Attempt{"clock-settime", plain<SYS_clock_settime>},
    Attempt{"swapon", plain<SYS_swapon>},
    Attempt{"quotactl", plain<SYS_quotactl>},
    Attempt{"acct", plain<SYS_acct>},
    Attempt{"syslog", [] { return long{::klogctl(10, nullptr, 0)}; }},
    Attempt{"sethostname", [] { return long{::sethostname("x", 1)}; }},
#if defined(__x86_64__)
    Attempt{"ioperm", plain<SYS_ioperm>},
    Attempt{"modify-ldt", plain<SYS_modify_ldt>},
    Attempt{"x32", [] { return ::syscall(0x40000000 + SYS_getpid); }},
#endif
    Attempt{"int80", int80},
    Attempt{"personality", [] { return long{::personality(READ_IMPLIES_EXEC)}; }},
    Attempt{"raw-socket", [] { return long{::socket(AF_INET, SOCK_RAW, 1)}; }},
    Attempt{"packet-socket", [] { return long{::socket(AF_PACKET, SOCK_RAW, 0)}; }},
    Attempt{"netlink", [] { return long{::socket(AF_NETLINK, SOCK_RAW, 0)}; }},
    Attempt{"vsock", [] { return long{::socket(AF_VSOCK, SOCK_STREAM, 0)}; }},
    Attempt{"alg", [] { return long{::socket(AF_ALG, SOCK_SEQPACKET, 0)}; }},
    Attempt{"tcp-socket", [] { return long{::socket(AF_INET, SOCK_STREAM, 0)}; }},
    Attempt{"tiocsti", push_terminal_input},
    Attempt{"new-syscall", [] { return ::syscall(999); }},
    Attempt{"shmget", plain<SYS_shmget>},
    Attempt{"sync", plain<SYS_sync>},
    Attempt{"core-limit", set_core_limit},
    Attempt{"fd-limit", raise_fd_limit},
    Attempt{"setuid-root", [] { return long{::setuid(0)}; }},
    Attempt{"ambient", raise_ambient},
    Attempt{"capset", set_capabilities},
    Attempt{"map-zero", map_address_zero},
    Attempt{"huge-pages", map_huge_pages},
    Attempt{"setuid-binary", run_setuid_binary},
};

}  // namespace

std::string try_wall(const std::string& name) {
    for (const Attempt& attempt : kAttempts) {
        if (name != attempt.name) {
            continue;
        }
        const pid_t pid = ::fork();
        if (pid == 0) {
            errno = 0;
            const long rc = attempt.run();
            ::_exit(rc >= 0 ? 0 : errno);
        }
        int status = 0;
        if (pid < 0 || ::waitpid(pid, &status, 0) != pid) {
            return "could not try";
        }
        if (WIFSIGNALED(status)) {
            return std::string("killed ") + sigabbrev_np(WTERMSIG(status));
        }
        return WEXITSTATUS(status) == 0 ? "ok" : strerrorname_np(WEXITSTATUS(status));
    }
    return "unknown attempt";
}

}  // namespace hako::sandbox::testing
