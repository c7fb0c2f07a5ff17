#include "sandbox/child.h"

#include <cerrno>
#include <csignal>
#include <cstdint>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/confine.h"
#include "sandbox/init_loop.h"
#include "sandbox/syscalls.h"

// Runs between clone and the runtime: no heap, no logging, no locks (STYLE, section 8). A failed
// step is reported on the sandbox's eventfd as {step, errno} and ends the process, and with pid 1
// the sandbox.
namespace hako::sandbox {
namespace {

using StepFunction = int (*)(const ChildContext&) noexcept;
struct NamedStep {
    Step step;
    StepFunction run;
};

int result(long rc) noexcept {
    return rc >= 0 ? 0 : errno;
}

void report(int fd, std::uint64_t value) noexcept {
    // Nobody is left to tell if this fails; the spawner sees the exit.
    (void)!::write(fd, &value, sizeof(value));
}

int join_cgroups(const ChildContext& c) noexcept {
    for (std::uint32_t i = 0; i < c.plan.join_fds_count && c.plan.join_by_clone == 0; ++i) {
        if (::write(c.join_fds[i], "0", 1) != 1) {
            return errno;
        }
    }
    return 0;
}

int unshare_cgroup(const ChildContext&) noexcept {
    return result(::unshare(CLONE_NEWCGROUP));
}

int join_net(const ChildContext& c) noexcept {
    return result(::setns(c.fds[kPlanNet], CLONE_NEWNET));
}

/// Without root the kernel mounts a proc only where a whole one is in sight: the template has the
/// host's at /proc. It goes before any code of the function is there.
int replace_proc(unsigned long flags) noexcept {
    constexpr const char* kAside = "/sys";  // an empty directory of the template
    if (::mount("proc", kAside, "proc", flags, "subset=pid") != 0 ||
        ::umount2("/proc", MNT_DETACH) != 0) {
        return errno;
    }
    return result(::mount(kAside, "/proc", nullptr, MS_MOVE, nullptr));
}

int mount_proc(const ChildContext& c) noexcept {
    // Only processes: sysctl, kcore, keys, sysrq-trigger, kallsyms and the rest do not exist.
    // Read-only so that no file of a process can be written either.
    constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;
    return c.in_user_namespace ? replace_proc(kFlags)
                               : result(::mount("proc", "/proc", "proc", kFlags, "subset=pid"));
}

int mount_tmp(const ChildContext&) noexcept {
    // Files are charged to the memory cgroup; inodes are not all, so they have their own bound.
    return result(::mount(
        "tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=512m,nr_inodes=131072,mode=1777"
    ));
}

int init_ids(const ChildContext& c) noexcept {
    // An id of its own, which is not mapped inside: the worker can neither signal nor inspect it.
    // The capabilities stay for the next steps (the zygote set NO_SETUID_FIXUP).
    const auto id = c.plan.init_id;
    if (c.plan.shares_id != 0) {
        return 0;  // there is no other; the wall is reported as missing
    }
    if (::syscall(SYS_setresgid, id, id, id) != 0) {
        return errno;
    }
    return result(::syscall(SYS_setresuid, id, id, id));
}

int join_user(const ChildContext& c) noexcept {
    return result(::setns(c.fds[kPlanUser], CLONE_NEWUSER));
}

int drop_bounding(const ChildContext&) noexcept {
    return drop_bounding_set();
}

int securebits(const ChildContext&) noexcept {
    return lock_securebits();
}

int drop_all(const ChildContext&) noexcept {
    return drop_capabilities();
}

int init_descriptors(const ChildContext& c) noexcept {
    if (::dup2(c.fds[kPlanReport], 0) < 0) {
        return errno;
    }
    return result(sys::close_from(1));
}

int init_pdeathsig(const ChildContext& c) noexcept {
    // After the last change of ids, which would clear it. The zygote cloned with CLONE_PARENT, so
    // the parent is the spawner's only thread.
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return errno;
    }
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
        return errno;
    }
    // A spawner that died before sent no signal; without cgroups nobody would find us again.
    pollfd dead{.fd = c.spawner_pidfd, .events = POLLIN, .revents = 0};
    return ::poll(&dead, 1, 0) == 0 ? 0 : ESRCH;
}

int init_rseq(const ChildContext&) noexcept {
    return leave_rseq();
}

int init_seccomp(const ChildContext& c) noexcept {
    return install_filter(c.init_filter, false);
}

int worker_ids(const ChildContext&) noexcept {
    if (::syscall(SYS_setresgid, kInnerId, kInnerId, kInnerId) != 0) {
        return errno;
    }
    return result(::syscall(SYS_setresuid, kInnerId, kInnerId, kInnerId));
}

constexpr int kWorkerReportFd = 5;

int worker_descriptors(const ChildContext& c) noexcept {
    // Sources lie at 10 and above (run_zygote fills the numbers below), so no target hits one.
    // /dev/null is opened anew: a shared open file description would be a covert channel.
    const int null_fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || ::dup2(null_fd, 0) < 0 || ::dup2(c.fds[kPlanLog], 1) < 0 ||
        ::dup2(c.fds[kPlanLog], 2) < 0 || ::dup2(c.fds[kPlanChannel], 3) < 0 ||
        ::dup2(c.fds[kPlanDoorbell], 4) < 0 || ::dup2(c.fds[kPlanReport], kWorkerReportFd) < 0) {
        return errno;
    }
    return result(sys::close_from(kWorkerReportFd + 1));
}

int worker_session(const ChildContext&) noexcept {
    sigset_t none;
    sigemptyset(&none);
    if (::setsid() < 0 || ::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) {
        return errno;
    }
    // Changing ids made /proc/self root's; give it back, runtimes read it. Core dumps are off by
    // RLIMIT_CORE, which the policy pins.
    return result(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

int worker_seccomp(const ChildContext& c) noexcept {
    return install_filter(c.worker_filter, false);
}

void run_steps(std::span<const NamedStep> steps, const ChildContext& context, int report_fd) {
    for (const NamedStep& step : steps) {
        if (const int error = step.run(context); error != 0) {
            report(report_fd, Report::failed(step.step, error));
            ::_exit(112);
        }
    }
}

/// Before the worker exists. Order: cgroups first, so that all that follows is charged; the cgroup
/// namespace only after the join, because its root is where the process is then; mounts and net
/// while still root outside; ids before the user namespace, where init's id has no name; the
/// bounding set and securebits inside it, because entering it resets them.
constexpr NamedStep kInitSteps[] = {
    {Step::kJoinCgroups, join_cgroups},
    {Step::kUnshareCgroup, unshare_cgroup},
    {Step::kJoinNet, join_net},
    {Step::kMountProc, mount_proc},
    {Step::kMountTmp, mount_tmp},
    {Step::kInitIds, init_ids},
    {Step::kJoinUser, join_user},
    {Step::kDropBounding, drop_bounding},
    {Step::kLockSecurebits, securebits},
};

constexpr NamedStep kInitConfineSteps[] = {
    {Step::kInitDropCapabilities, drop_all},
    {Step::kInitPdeathsig, init_pdeathsig},
    {Step::kInitDescriptors, init_descriptors},
    {Step::kInitRseq, init_rseq},
    {Step::kInitSeccomp, init_seccomp},
};

/// Seccomp comes last, because the steps before it are not allowed to functions; no_new_privs is
/// inherited from the zygote.
constexpr NamedStep kWorkerSteps[] = {
    {Step::kWorkerIds, worker_ids},
    {Step::kWorkerDropCapabilities, drop_all},
    {Step::kWorkerDescriptors, worker_descriptors},
    {Step::kWorkerSession, worker_session},
    {Step::kWorkerSeccomp, worker_seccomp},
};

/// The zygote's canary would be the same in every sandbox, so that one function could tell the
/// others'. Only for a caller that never returns: no frame above it may be checked any more.
[[gnu::always_inline]] inline void renew_stack_canary() noexcept {
#if defined(__x86_64__)
    std::uint64_t canary = 0;
    if (::syscall(SYS_getrandom, &canary, sizeof(canary), 0) == sizeof(canary)) {
        canary &= ~std::uint64_t{0xff};  // as glibc: a string cannot hold it whole
        asm volatile("mov %0, %%fs:0x28" : : "r"(canary) : "memory");
    }
#endif
}

[[gnu::no_stack_protector, noreturn]] void run_worker(const ChildContext& context) noexcept {
    if (context.hooks->after_clone_in_worker != nullptr) {
        context.hooks->after_clone_in_worker();
    }
    run_steps(std::span(kWorkerSteps).first(3), context, context.fds[kPlanReport]);
    run_steps(std::span(kWorkerSteps).subspan(3), context, kWorkerReportFd);
    report(kWorkerReportFd, Report::kWorkerReady);
    ::close(kWorkerReportFd);
    renew_stack_canary();
    context.hooks->runtime_main(context.plan.runtime);
    ::_exit(113);  // the contract says it never returns
}

}  // namespace

void run_init(const ChildContext& context) noexcept {
    const int report_fd = context.fds[kPlanReport];
    run_steps(kInitSteps, context, report_fd);
    // glibc's fork, not a raw clone: the runtime's threads need its thread id bookkeeping.
    const pid_t worker = ::fork();
    if (worker == 0) {
        run_worker(context);
    }
    if (worker < 0) {
        report(report_fd, Report::failed(Step::kForkWorker, errno));
        ::_exit(112);
    }
    run_steps(std::span(kInitConfineSteps).first(2), context, report_fd);
    run_steps(std::span(kInitConfineSteps).subspan(2), context, 0);
    run_init_loop(worker);
}

}  // namespace hako::sandbox
