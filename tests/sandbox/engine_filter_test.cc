#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "sandbox/engine_filter.h"

// The engine after confine_engine(), in a child process each: what it has left.
namespace hako::sandbox {
namespace {

constexpr uid_t kUid = 64123;

/// Runs `body` confined in a child; its text.
std::string run_confined(std::string (*body)()) {
    int fds[2];
    if (::pipe(fds) != 0) {
        return "no pipe";
    }
    const pid_t pid = ::fork();
    if (pid == 0) {
        const auto confined = confine_engine(kUid, kUid);
        const std::string text = confined ? body()
                                          : std::string(confined.error().what) +
                                                std::strerror(confined.error().sys_errno);
        (void)!::write(fds[1], text.data(), text.size());
        ::_exit(0);
    }
    ::close(fds[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t got = 0; (got = ::read(fds[0], buffer, sizeof(buffer))) > 0;) {
        text.append(buffer, static_cast<std::size_t>(got));
    }
    ::close(fds[0]);
    int status = 0;
    ::waitpid(pid, &status, 0);
    return status == 0 ? text : text + " status " + std::to_string(status);
}

std::string read_status() {
    char buffer[4096];
    const int fd = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    const ssize_t got = ::read(fd, buffer, sizeof(buffer));
    return std::string(buffer, static_cast<std::size_t>(got > 0 ? got : 0));
}

TEST(EngineFilter, StatusShowsNoRights) {
    const std::string status = run_confined(read_status);
    const std::string id = std::to_string(kUid);
    const std::string ids = id + "\t" + id + "\t" + id + "\t" + id + "\n";
    for (const std::string& line :
         {"Uid:\t" + ids,
          "Gid:\t" + ids,
          std::string("Groups:\t \n"),
          std::string("CapInh:\t0000000000000000\n"),
          std::string("CapPrm:\t0000000000000000\n"),
          std::string("CapEff:\t0000000000000000\n"),
          std::string("CapBnd:\t0000000000000000\n"),
          std::string("CapAmb:\t0000000000000000\n"),
          std::string("NoNewPrivs:\t1\n"),
          std::string("Seccomp:\t2\n")}) {
        EXPECT_NE(status.find(line), std::string::npos) << line << status;
    }
}

std::string try_forbidden() {
    std::string text;
    const auto note = [&text](const char* name, long rc) {
        text += std::string(name) + "=" + (rc >= 0 ? "ok" : strerrorname_np(errno)) + " ";
    };
    char* const none[] = {nullptr};
    note("exec", ::execve("/bin/true", none, none));
    note("ptrace", ::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr));
    note("mount", ::mount("x", "/tmp", "tmpfs", 0, nullptr));
    note("unshare", ::unshare(CLONE_NEWUSER));
    note("setns", ::syscall(SYS_setns, 0, 0));
    note("bpf", ::syscall(SYS_bpf, 0, 0, 0));
    note("module", ::syscall(SYS_finit_module, 0, "", 0));
    note("setuid", ::setuid(0));
    note("chroot", ::chroot("/"));
    note("keyctl", ::syscall(SYS_keyctl, 0, 0));
    note("netlink", ::socket(AF_NETLINK, SOCK_RAW, 0));
    note("perf", ::syscall(SYS_perf_event_open, 0, 0, 0, 0, 0));
    return text;
}

TEST(EngineFilter, DangerousCallsAreRefused) {
    EXPECT_EQ(
        run_confined(try_forbidden),
        "exec=EPERM ptrace=EPERM mount=EPERM unshare=EPERM setns=EPERM bpf=EPERM module=EPERM "
        "setuid=EPERM chroot=EPERM keyctl=EPERM netlink=EAFNOSUPPORT perf=EPERM "
    );
}

std::string do_daily_work() {
    std::string text;
    std::thread([&text] { text += "thread "; }).join();
    unsigned char params[120] = {};
    text += ::syscall(SYS_io_uring_setup, 8, params) >= 0 ? "ring " : strerrorname_np(errno);
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    text += listener >= 0 ? "socket " : strerrorname_np(errno);
    text += ::open("/etc/hostname", O_RDONLY | O_CLOEXEC) >= 0 ? "file" : strerrorname_np(errno);
    return text;
}

TEST(EngineFilter, DailyWorkGoesOn) {
    EXPECT_EQ(run_confined(do_daily_work), "thread ring socket file");
}

TEST(EngineFilter, OtherThreadsAreConfinedToo) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        int ready[2];
        int result[2];
        if (::pipe(ready) != 0 || ::pipe(result) != 0) {
            ::_exit(1);
        }
        std::thread other([&ready, &result] {
            char go = 0;
            (void)!::read(ready[0], &go, 1);
            const char refused = ::unshare(CLONE_NEWNS) != 0 && errno == EPERM ? 1 : 0;
            (void)!::write(result[1], &refused, 1);
        });
        const bool confined = confine_engine(kUid, kUid).has_value();
        (void)!::write(ready[1], "g", 1);
        char refused = 0;
        (void)!::read(result[0], &refused, 1);
        other.join();
        ::_exit(confined && refused == 1 ? 0 : 2);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace hako::sandbox
