#include "sandbox/zygote.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/child.h"
#include "sandbox/filters.h"
#include "sandbox/packet.h"
#include "sandbox/root_template.h"
#include "sandbox/syscalls.h"

namespace hako::sandbox {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitSetup = 3;
constexpr int kLowFds = 10;  // 0..9 stay free for a worker's own descriptors

struct Options {
    int control_fd = -1;
    std::string seccomp_bpf;
    std::string runtime_dir;
    bool user_namespace = false;
};

bool parse_options(int argc, char** argv, Options& options) {
    static constexpr option kOptions[] = {
        {"control-fd", required_argument, nullptr, 'c'},
        {"seccomp-bpf", required_argument, nullptr, 's'},
        {"runtime-dir", required_argument, nullptr, 'r'},
        {"user-namespace", no_argument, nullptr, 'u'},
        {nullptr, 0, nullptr, 0},
    };
    for (int c = 0; (c = ::getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
        switch (c) {
            case 'c':
                options.control_fd = std::atoi(optarg);
                break;
            case 's':
                options.seccomp_bpf = optarg;
                break;
            case 'r':
                options.runtime_dir = optarg;
                break;
            case 'u':
                options.user_namespace = true;
                break;
            default:
                return false;
        }
    }
    return options.control_fd > 2 && optind == argc;
}

/// Who may not raise a limit stays at what it has, which is lower.
Result<void> limit(decltype(RLIMIT_CORE) resource, rlim_t value) {
    rlimit both{.rlim_cur = value, .rlim_max = value};
    if (::setrlimit(resource, &both) == 0) {
        return {};
    }
    if (errno != EPERM || ::getrlimit(resource, &both) != 0) {
        return fail_errno("setrlimit");
    }
    both.rlim_cur = both.rlim_max;
    return ::setrlimit(resource, &both) == 0 ? Result<void>{} : fail_errno("setrlimit");
}

/// Everything a sandbox can inherit instead of doing it itself, once per zygote.
Result<void> set_inherited_state(const Options& options) {
    if (::unshare(CLONE_NEWUTS) != 0 || ::sethostname("sandbox", 7) != 0 ||
        ::setdomainname("localdomain", 11) != 0) {
        return fail_errno("hostname");
    }
    // A session keyring of root's would be possessed by every sandbox. No keys in the kernel: fine.
    constexpr long kJoinSessionKeyring = 1;
    if (::syscall(SYS_keyctl, kJoinSessionKeyring, nullptr) < 0 && errno != ENOSYS) {
        return fail_errno("session keyring");
    }
    // An ordinary user may leave its groups only if it has subordinate ones (user_namespaces(7));
    // where that matters the spawner reports it as a missing wall.
    if (::setgroups(0, nullptr) != 0 && !(options.user_namespace && errno == EPERM)) {
        return fail_errno("setgroups");
    }
    if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0) {
        return fail_errno("securebits");
    }
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return fail_errno("no_new_privs");
    }
    TRY(limit(RLIMIT_NOFILE, 1024));
    TRY(limit(RLIMIT_NPROC, 1024));
    // 1, not 0: a core_pattern with a pipe ignores 0 and would start a host program per crash;
    // with 1 the kernel refuses both forms (fs/coredump.c).
    TRY(limit(RLIMIT_CORE, 1));
    TRY(limit(RLIMIT_SIGPENDING, 4096));
    TRY(limit(RLIMIT_MEMLOCK, 8U << 20U));
    TRY(limit(RLIMIT_MSGQUEUE, 0));
    TRY(limit(RLIMIT_NICE, 0));
    return limit(RLIMIT_RTPRIO, 0);
}

/// When the host itself runs out of memory, functions go before the engine, whatever that was
/// started with.
Result<void> prefer_as_oom_victim() {
    const UniqueFd fd(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    return fd && ::write(fd.get(), "500", 3) == 3 ? Result<void>{} : fail_errno("oom_score_adj");
}

/// Fills the numbers below kLowFds, so that descriptors which arrive with plans lie above them and
/// a worker can dup2() its own into place without hitting a source.
Result<void> fill_low_fds() {
    const int null_fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || ::dup2(null_fd, 0) < 0) {
        return fail_errno("open /dev/null");
    }
    for (int fd = null_fd; fd < kLowFds;) {
        fd = ::fcntl(null_fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            return fail_errno("dup /dev/null");
        }
        if (fd >= kLowFds) {
            ::close(fd);
        }
    }
    return {};
}

Result<void> receive_plan(int control, ChildContext& context, ReceivedPacket& packet) {
    std::array<std::byte, sizeof(Plan)> buffer;
    TRY_ASSIGN(packet, receive_packet(control, buffer));
    if (packet.bytes == 0) {
        return fail(Errc::kClosed, "spawner gone");
    }
    std::memcpy(&context.plan, buffer.data(), sizeof(Plan));
    if (packet.bytes != sizeof(Plan) || context.plan.join_fds_count > kJoinFdsMax ||
        packet.fds_count != kPlanFdCount + context.plan.join_fds_count) {
        return fail(Errc::kProtocol, "malformed plan");
    }
    for (std::size_t i = 0; i < packet.fds_count; ++i) {
        const int fd = packet.fds[i].get();
        if (i < kPlanFdCount) {
            context.fds[i] = fd;
        } else {
            context.join_fds[i - kPlanFdCount] = fd;
        }
    }
    return {};
}

/// The clone. CLONE_PARENT makes the spawner the parent: it reaps, and the sandbox dies with it.
/// The namespaces other than the user one belong to the zygote's user namespace, so even a process
/// with every capability inside has none over its mounts, net, pids, ipc and host name.
Made clone_sandbox(const ChildContext& context) {
    clone_args args{};
    args.flags = CLONE_PARENT | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
    if (context.plan.join_by_clone != 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = static_cast<__u64>(context.join_fds[0]);
    }
    if (context.hooks->before_clone != nullptr) {
        context.hooks->before_clone();
    }
    const long pid = sys::clone3(args);
    if (pid == 0) {
        run_init(context);
    }
    const int error = pid < 0 ? errno : 0;
    if (context.hooks->after_clone_in_zygote != nullptr) {
        context.hooks->after_clone_in_zygote();
    }
    return Made{
        .slot = context.plan.slot,
        .generation = context.plan.generation,
        .pid = pid < 0 ? 0 : static_cast<std::int32_t>(pid),
        .sys_errno = error,
    };
}

Result<void> serve(int control, ChildContext& context) {
    // Our parent until it dies: then PR_SET_PDEATHSIG has ended us before the number means another.
    const UniqueFd spawner(sys::pidfd_open(::getppid()));
    if (!spawner) {
        return fail_errno("pidfd_open of the spawner");
    }
    context.spawner_pidfd = spawner.get();
    TRY(send_struct(control, Made{.slot = kHello}));
    for (;;) {
        ReceivedPacket packet;  // closes what the sandbox got when the turn ends
        TRY(receive_plan(control, context, packet));
        TRY(send_struct(control, clone_sandbox(context)));
    }
}

Result<void> prepare(const Options& options, std::vector<sock_filter>& own_filter) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
        return fail_errno("pdeathsig");
    }
    (void)::setsid();  // fails only if we lead a session already, which is as good
    if (!options.seccomp_bpf.empty()) {
        TRY_ASSIGN(own_filter, read_filter(options.seccomp_bpf.c_str()));
    }
    TRY(prefer_as_oom_victim());
    TRY(enter_root_template(
        {.runtime_dir = options.runtime_dir, .in_user_namespace = options.user_namespace}
    ));
    TRY(set_inherited_state(options));
    return fill_low_fds();
}

int complain(const Error& error) {
    std::fprintf(stderr, "hako-zygote: %s: %s\n", error.what, std::strerror(error.sys_errno));
    return kExitSetup;
}

}  // namespace

int run_zygote(int argc, char** argv, const ZygoteHooks& hooks) {
    Options options;
    if (!parse_options(argc, argv, options) || hooks.runtime_main == nullptr) {
        std::fprintf(stderr, "hako-zygote: started by hako-spawner, not by hand\n");
        return kExitUsage;
    }
    (void)::fcntl(options.control_fd, F_SETFD, FD_CLOEXEC);  // a bad number fails in serve()
    std::vector<sock_filter> own_filter;
    if (auto ready = prepare(options, own_filter); !ready) {
        return complain(ready.error());
    }
    ChildContext context;
    context.worker_filter = own_filter.empty() ? function_filter() : std::span(own_filter);
    context.init_filter = init_filter();
    context.hooks = &hooks;
    context.in_user_namespace = options.user_namespace;
    const auto end = serve(options.control_fd, context);
    return end.error().code == Errc::kClosed ? 0 : complain(end.error());
}

}  // namespace hako::sandbox
