#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>

#include <asm/ldt.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/escape/attempts.h"

// Parts of the kernel that a function has no business with. Each call is made so that it would do
// something if it were allowed: with zeros only, a missing wall would look like a bad argument.
namespace hako::escape {
namespace {

template <long Number>
long plain(const char*) {
    return ::syscall(Number, 0, 0, 0, 0, 0, 0);
}

long int80(const char*) {
    long result = 20;  // getpid of the 32-bit table
    asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result;
}

long x32(const char*) {
    return ::syscall(0x40000000 + SYS_getpid);
}

/// The old fixed page; execute-only for a long time, so reading it must fault.
long read_vsyscall_page(const char*) {
    const auto* page = reinterpret_cast<const volatile char*>(0xffffffffff600000UL);
    return static_cast<long>(page[0]) & 0xff;
}

long trace_me(const char*) {
    return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
}

long load_bpf(const char*) {
    bpf_attr attributes{};
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = 4;
    attributes.value_size = 4;
    attributes.max_entries = 1;
    return ::syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes));
}

long count_events(const char*) {
    perf_event_attr attributes{};
    attributes.size = sizeof(attributes);
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.config = PERF_COUNT_SW_TASK_CLOCK;
    attributes.exclude_kernel = 1;
    return ::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

long set_up_io_uring(const char*) {
    io_uring_params parameters{};
    return ::syscall(SYS_io_uring_setup, 4, &parameters);
}

long open_userfaultfd(const char*) {
    return ::syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
}

long add_key(const char*) {
    return ::syscall(SYS_add_key, "user", "escape", "x", 1, KEY_SPEC_PROCESS_KEYRING);
}

long find_session_keyring(const char*) {
    return ::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
}

long request_key(const char*) {
    return ::syscall(SYS_request_key, "user", "escape", nullptr, KEY_SPEC_PROCESS_KEYRING);
}

long set_clock(const char*) {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return ::clock_settime(CLOCK_REALTIME, &now);
}

long write_ldt(const char*) {
    user_desc entry{};
    entry.limit = 1;
    entry.seg_32bit = 1;
    return ::syscall(SYS_modify_ldt, 1, &entry, sizeof(entry));
}

long clone_user_namespace(const char*) {
    return ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
}

long clone_by_struct(const char*) {
    clone_args arguments{};
    arguments.exit_signal = SIGCHLD;
    const long pid = ::syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid == 0) {
        ::_exit(0);
    }
    return pid;
}

long map_address_zero(const char*) {
    void* at = ::mmap(nullptr, 4096, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? -1 : 0;
}

long map_huge_pages(const char*) {
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE;
    return ::mmap(nullptr, 2U << 20U, PROT_READ, kFlags, -1, 0) == MAP_FAILED ? -1 : 0;
}

long make_huge_memfd(const char*) {
    return ::syscall(SYS_memfd_create, "huge", MFD_HUGETLB);
}

long make_secret_memory(const char*) {
    return ::syscall(SYS_memfd_secret, 0);
}

long replace_seccomp(const char*) {
    return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, "\0\0\xff\x7f");
}

long move_own_brk(const char*) {
    return ::prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 0, 0);
}

long set_securebits(const char*) {
    return ::prctl(PR_SET_SECUREBITS, 0, 0, 0, 0);
}

long share_core(const char*) {
    constexpr int kCoreSched = 62;
    constexpr int kCreate = 1;
    return ::prctl(kCoreSched, kCreate, 0, 0, 0);
}

long add_entropy(const char*) {
    constexpr unsigned long kAddEntropy = 0x40085203;  // RNDADDENTROPY
    const int fd = ::open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    const int block[3] = {32, 4, 0};
    return fd < 0 ? -1 : ::ioctl(fd, kAddEntropy, block);
}

long push_terminal_input(const char*) {
    char byte = 'x';
    return ::ioctl(0, TIOCSTI, &byte);
}

long ask_for_namespace_parent(const char*) {
    constexpr unsigned long kGetParent = 0xb702;  // NS_GET_PARENT
    const int fd = ::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : ::ioctl(fd, kGetParent);
}

/// The page cache is shared by all: which parts of a library were used lately is not ours to know.
long ask_for_cached_pages(const char*) {
    constexpr long kCachestat = 451;
    struct {
        std::uint64_t offset = 0;
        std::uint64_t bytes = 4096;
    } range;
    std::uint64_t counters[5] = {};
    const int fd = ::open("/usr/bin/env", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : ::syscall(kCachestat, fd, &range, counters, 0);
}

long make_shared_memory(const char*) {
    return ::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
}

long open_message_queue(const char*) {
    return ::syscall(SYS_mq_open, "escape", O_CREAT | O_RDWR, 0600, nullptr);
}

long read_time_stamp_counter(const char*) {
    return __builtin_ia32_rdtsc() != 0 ? 0 : -1;
}

constexpr std::array kAttempts = {
    Attempt{"ptrace-traceme", trace_me},
    Attempt{"setns", [](const char*) { return ::syscall(SYS_setns, 0, 0); }},
    Attempt{"unshare-user", [](const char*) { return long{::unshare(CLONE_NEWUSER)}; }},
    Attempt{"unshare-mounts", [](const char*) { return long{::unshare(CLONE_NEWNS)}; }},
    Attempt{"unshare-net", [](const char*) { return long{::unshare(CLONE_NEWNET)}; }},
    Attempt{"clone-user", clone_user_namespace},
    Attempt{"clone3", clone_by_struct},
    Attempt{"keyctl", find_session_keyring},
    Attempt{"add-key", add_key},
    Attempt{"request-key", request_key},
    Attempt{"bpf", load_bpf},
    Attempt{"perf-event", count_events},
    Attempt{"io-uring", set_up_io_uring},
    Attempt{"userfaultfd", open_userfaultfd},
    Attempt{"fanotify", [](const char*) { return ::syscall(SYS_fanotify_init, 0x200, 0); }},
    Attempt{"kexec", plain<SYS_kexec_load>},
    Attempt{"kexec-file", plain<SYS_kexec_file_load>},
    Attempt{"init-module", plain<SYS_init_module>},
    Attempt{"finit-module", plain<SYS_finit_module>},
    Attempt{"delete-module", plain<SYS_delete_module>},
    Attempt{"reboot", plain<SYS_reboot>},
    Attempt{"clock-settime", set_clock},
    Attempt{"settimeofday", plain<SYS_settimeofday>},
    Attempt{"adjtimex", plain<SYS_adjtimex>},
    Attempt{"swapon", plain<SYS_swapon>},
    Attempt{"swapoff", plain<SYS_swapoff>},
    Attempt{"quotactl", plain<SYS_quotactl>},
    Attempt{"acct", plain<SYS_acct>},
    Attempt{"vhangup", plain<SYS_vhangup>},
    Attempt{"syslog", [](const char*) { return long{::klogctl(10, nullptr, 0)}; }},
    Attempt{"sethostname", [](const char*) { return long{::sethostname("x", 1)}; }},
    Attempt{"ioperm", [](const char*) { return ::syscall(SYS_ioperm, 0x80, 1, 1); }},
    Attempt{"iopl", [](const char*) { return ::syscall(SYS_iopl, 3); }},
    Attempt{"modify-ldt", write_ldt},
    Attempt{"personality", [](const char*) { return long{::personality(READ_IMPLIES_EXEC)}; }},
    Attempt{"no-aslr", [](const char*) { return long{::personality(ADDR_NO_RANDOMIZE)}; }},
    Attempt{"vsyscall", read_vsyscall_page},
    Attempt{"int80", int80},
    Attempt{"x32", x32},
    Attempt{"new-syscall", [](const char*) { return ::syscall(999); }},
    Attempt{"shmget", make_shared_memory},
    Attempt{"mq-open", open_message_queue},
    Attempt{"sync", plain<SYS_sync>},
    Attempt{"map-zero", map_address_zero},
    Attempt{"huge-pages", map_huge_pages},
    Attempt{"huge-memfd", make_huge_memfd},
    Attempt{"secret-memory", make_secret_memory},
    Attempt{"seccomp", replace_seccomp},
    Attempt{"prctl-mm", move_own_brk},
    Attempt{"prctl-securebits", set_securebits},
    Attempt{"prctl-core-sched", share_core},
    Attempt{"add-entropy", add_entropy},
    Attempt{"tiocsti", push_terminal_input},
    Attempt{"ns-parent", ask_for_namespace_parent},
    Attempt{"cachestat", ask_for_cached_pages},
    Attempt{"rdtsc", read_time_stamp_counter},
};

}  // namespace

std::span<const Attempt> kernel_attempts() {
    return kAttempts;
}

}  // namespace hako::escape
