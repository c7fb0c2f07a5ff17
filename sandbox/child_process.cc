#include "sandbox/child_process.h"

#include <array>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/syscalls.h"

namespace hako::sandbox {
namespace {

constexpr int kControlFd = 3;

/// Between fork and exec: no heap.
[[noreturn]] void exec_child(const char* path, char* const* arguments, int socket, int parent) {
    char* const no_environment[] = {nullptr};
    sigset_t none;
    sigemptyset(&none);
    for (const int signal_number : {SIGINT, SIGHUP, SIGPIPE, SIGTERM}) {
        (void)::signal(signal_number, SIG_DFL);  // ignored ones would survive the exec
    }
    const int null_fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::getppid() != parent ||
        ::sigprocmask(SIG_SETMASK, &none, nullptr) != 0 || null_fd < 0 || ::dup2(null_fd, 0) < 0) {
        ::_exit(126);
    }
    if (socket == kControlFd) {
        (void)::fcntl(socket, F_SETFD, 0);  // else the child sees a bad descriptor and says so
    } else if (::dup2(socket, kControlFd) < 0) {
        ::_exit(126);
    }
    (void)sys::close_from(kControlFd + 1);  // all are close-on-exec as well
    ::execve(path, arguments, no_environment);
    ::_exit(127);
}

}  // namespace

Result<ChildProcess> ChildProcess::start(
    const std::string& path, std::vector<std::string> arguments
) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
        return fail_errno("socketpair");
    }
    UniqueFd ours(pair[0]);
    const UniqueFd theirs(pair[1]);
    arguments.insert(arguments.begin(), path);
    arguments.insert(arguments.end(), {"--control-fd", std::to_string(kControlFd)});
    std::vector<char*> pointers;
    for (std::string& argument : arguments) {
        pointers.push_back(argument.data());
    }
    pointers.push_back(nullptr);
    const int parent = ::getpid();
    const int pid = ::fork();
    if (pid == 0) {
        exec_child(path.c_str(), pointers.data(), theirs.get(), parent);
    }
    if (pid < 0) {
        return fail_errno("fork");
    }
    ChildProcess child;
    child.pid = pid;
    child.socket = std::move(ours);
    child.pidfd.reset(sys::pidfd_open(pid));
    return child;
}

}  // namespace hako::sandbox
