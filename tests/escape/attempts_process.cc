#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/escape/attempts.h"

// Other processes, more rights, higher limits, and what a process finds in itself.
namespace hako::escape {
namespace {

long refuse(int error) {
    errno = error;
    return -1;
}

long open_read(const char* path) {
    return ::open(path, O_RDONLY | O_CLOEXEC);
}

long trace_parent(const char*) {
    const pid_t parent = ::getppid();
    if (::ptrace(PTRACE_SEIZE, parent, nullptr, nullptr) != 0) {
        return -1;
    }
    return ::ptrace(PTRACE_DETACH, parent, nullptr, nullptr) == 0 || errno == ESRCH ? 0 : -1;
}

long read_parent_memory(const char*) {
    char byte = 0;
    const iovec here{.iov_base = &byte, .iov_len = 1};
    const iovec there{.iov_base = &byte, .iov_len = 1};  // a copy of this stack: mapped there too
    return ::process_vm_readv(::getppid(), &here, 1, &there, 1, 0);
}

long take_parents_descriptor(const char*) {
    const long pidfd = ::syscall(SYS_pidfd_open, ::getppid(), 0);
    return pidfd < 0 ? -1 : ::syscall(SYS_pidfd_getfd, pidfd, 0, 0);
}

long compare_with_init(const char*) {
    return ::syscall(SYS_kcmp, ::getppid(), ::getpid(), KCMP_VM, 0, 0);
}

/// A process id as the host sees it (the engine's, the spawner's).
long signal_host_process(const char* pid) {
    return ::kill(static_cast<pid_t>(std::strtol(pid, nullptr, 10)), 0);
}

long open_host_process(const char* pid) {
    return open_read((std::string("/proc/") + pid + "/environ").c_str());
}

/// Anybody but init, the worker, its shell-like parents and ourselves.
long find_other_processes(const char*) {
    DIR* const folder = ::opendir("/proc");
    if (folder == nullptr) {
        return -1;
    }
    int found_count = 0;
    while (const dirent* const entry = ::readdir(folder)) {
        const long pid = std::strtol(entry->d_name, nullptr, 10);
        found_count += pid > 0 && pid != 1 && pid != ::getpid() && pid != ::getppid() ? 1 : 0;
    }
    ::closedir(folder);
    return found_count > 0 ? 0 : refuse(ENOENT);
}

/// Open descriptors beyond input, output, channel and doorbell.
long find_inherited_descriptors(const char*) {
    for (int fd = 5; fd < 1024; ++fd) {
        char target[256] = {};
        const std::string path = "/proc/self/fd/" + std::to_string(fd);
        if (::readlink(path.c_str(), target, sizeof(target) - 1) > 0 &&
            std::strncmp(target, "/var/task/", 10) != 0 && std::strncmp(target, "/tmp/", 5) != 0) {
            return 0;
        }
    }
    return refuse(EBADF);
}

bool contains_reversed(const char* begin, const char* end, const char* reversed) {
    const std::size_t bytes = std::strlen(reversed);
    for (const char* at = begin; at + bytes <= end; ++at) {
        std::size_t same = 0;
        while (same < bytes && at[same] == reversed[bytes - 1 - same]) {
            ++same;
        }
        if (same == bytes) {
            return true;
        }
    }
    return false;
}

/// Whether a secret lies anywhere in this process: in the environment the zygote was started with,
/// in what its forks inherited, in the channel. The argument is the secret backwards, so that it
/// does not find itself.
long search_own_memory(const char* reversed) {
    constexpr std::size_t kWindowBytes = 1U << 20U;
    static char window[kWindowBytes];
    std::ifstream maps("/proc/self/maps");
    const int memory = ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (!maps || memory < 0 || std::strlen(reversed) < 8) {
        return refuse(EINVAL);
    }
    for (std::string line; std::getline(maps, line);) {
        unsigned long from = 0;
        unsigned long to = 0;
        char readable = '-';
        if (std::sscanf(line.c_str(), "%lx-%lx %c", &from, &to, &readable) != 3 ||
            readable != 'r' || line.contains(".so") || line.contains("[v")) {
            continue;
        }
        for (unsigned long at = from; at < to; at += kWindowBytes - 256) {
            const std::size_t bytes = std::min<std::size_t>(kWindowBytes, to - at);
            const ssize_t got = ::pread(memory, window, bytes, static_cast<off_t>(at));
            if (got > 0 && contains_reversed(window, window + got, reversed)) {
                return 0;
            }
        }
    }
    return refuse(ENOENT);
}

bool has_host_name(const char* entry) {
    constexpr std::array kNames = {"NOTIFY_SOCKET=", "HAKO_BUILD_ROOT=", "SSH_", "LISTEN_FDS="};
    for (const char* name : kNames) {
        if (std::strncmp(entry, name, std::strlen(name)) == 0) {
            return true;
        }
    }
    return false;
}

/// Variables that only the engine's or the spawner's environment can have.
long find_host_environment(const char*) {
    std::ifstream file("/proc/self/environ");
    for (std::string entry; std::getline(file, entry, '\0');) {
        if (has_host_name(entry.c_str())) {
            return 0;
        }
    }
    return refuse(ENOENT);
}

long raise_ambient(const char*) {
    return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0);
}

long set_capabilities(const char*) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct data[2] = {{.effective = 1, .permitted = 1, .inheritable = 0}, {}};
    return ::syscall(SYS_capset, &header, data);
}

long raise_limit(decltype(RLIMIT_CORE) resource, rlim_t value) {
    const rlimit more{.rlim_cur = value, .rlim_max = value};
    return ::setrlimit(resource, &more);
}

/// Only the answer 0 counts: the bit says that the kernel wrote (or piped) a core.
long dump_core(const char*) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        (void)::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        ::abort();
    }
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid) {
        return -1;
    }
    return WCOREDUMP(status) ? 0 : refuse(EPERM);
}

long go_real_time(const char*) {
    const sched_param first{.sched_priority = 1};
    return ::sched_setscheduler(0, SCHED_FIFO, &first);
}

long slow_init_down(const char*) {
    return ::setpriority(PRIO_PROCESS, 1, 19);
}

long queue_signal_to_init(const char*) {
    siginfo_t info{};
    info.si_code = SI_QUEUE;
    return ::syscall(SYS_rt_sigqueueinfo, 1, SIGKILL, &info);
}

long signal_init_by_pidfd(const char*) {
    const long pidfd = ::syscall(SYS_pidfd_open, 1, 0);
    return pidfd < 0 ? -1 : ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
}

constexpr std::array kAttempts = {
    Attempt{"ptrace-attach", trace_parent},
    Attempt{"process-vm-readv", read_parent_memory},
    Attempt{"pidfd-getfd", take_parents_descriptor},
    Attempt{"kcmp", compare_with_init},
    Attempt{"kill-init", [](const char*) { return long{::kill(1, SIGKILL)}; }},
    Attempt{"term-init", [](const char*) { return long{::kill(1, SIGTERM)}; }},
    Attempt{"stop-init", [](const char*) { return long{::kill(1, SIGSTOP)}; }},
    Attempt{"queue-init", queue_signal_to_init},
    Attempt{"pidfd-init", signal_init_by_pidfd},
    Attempt{"slow-init", slow_init_down},
    Attempt{"read-init-environ", [](const char*) { return open_read("/proc/1/environ"); }},
    Attempt{"open-init-root", [](const char*) { return open_read("/proc/1/root/"); }},
    Attempt{"open-init-cwd", [](const char*) { return open_read("/proc/1/cwd/"); }},
    Attempt{"open-init-mem", [](const char*) { return open_read("/proc/1/mem"); }},
    Attempt{"open-init-maps", [](const char*) { return open_read("/proc/1/maps"); }},
    Attempt{"open-init-fd", [](const char*) { return open_read("/proc/1/fd/0"); }},
    Attempt{"open-init-ns", [](const char*) { return open_read("/proc/1/ns/mnt"); }},
    Attempt{"other-processes", find_other_processes},
    Attempt{"signal-host-pid", signal_host_process},
    Attempt{"read-host-pid", open_host_process},
    Attempt{"inherited-fds", find_inherited_descriptors},
    Attempt{"host-environment", find_host_environment},
    Attempt{"search-memory", search_own_memory},
    Attempt{"setuid-root", [](const char*) { return long{::setuid(0)}; }},
    Attempt{"setgid-root", [](const char*) { return long{::setgid(0)}; }},
    Attempt{"ambient", raise_ambient},
    Attempt{"capset", set_capabilities},
    Attempt{"fd-limit", [](const char*) { return raise_limit(RLIMIT_NOFILE, 4096); }},
    Attempt{"process-limit", [](const char*) { return raise_limit(RLIMIT_NPROC, 1 << 20); }},
    Attempt{"lock-limit", [](const char*) { return raise_limit(RLIMIT_MEMLOCK, 1U << 30U); }},
    Attempt{"core-limit", [](const char*) { return raise_limit(RLIMIT_CORE, 0); }},
    Attempt{"core-dump", dump_core},
    Attempt{"real-time", go_real_time},
    Attempt{"nice", [](const char*) { return long{::setpriority(PRIO_PROCESS, 0, -5)}; }},
};

}  // namespace

std::span<const Attempt> process_attempts() {
    return kAttempts;
}

}  // namespace hako::escape
