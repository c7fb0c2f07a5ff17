#include "sandbox/namespace_helper.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/packet.h"
#include "sandbox/syscalls.h"
#include "sandbox/zygote_protocol.h"

namespace hako::sandbox {
namespace {

Result<void> set_loopback_up() {
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::memcpy(request.ifr_name, "lo", sizeof("lo"));
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (!socket || ::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) {
        return fail_errno("lo up");
    }
    return {};
}

/// A net namespace owned by our user namespace: nobody inside a sandbox can ever configure it.
Result<UniqueFd> make_net(const UniqueFd& own_net) {
    if (::unshare(CLONE_NEWNET) != 0) {
        return fail_errno("unshare net");
    }
    const auto up = set_loopback_up();
    UniqueFd fd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    const Error open_error = errno_error("open net namespace");
    // Back, or this process would keep the last one alive after its sandbox.
    if (::setns(own_net.get(), CLONE_NEWNET) != 0) {
        return fail_errno("leave net namespace");
    }
    TRY(up);
    return fd ? Result<UniqueFd>(std::move(fd)) : fail(open_error);
}

Result<void> write_file(const std::string& path, const std::string& text) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return fail_errno("write id map");
    }
    return {};
}

/// In the new user namespace: forbids any further namespace in it, whatever seccomp says. An older
/// kernel may lack one of the files.
[[noreturn]] void close_user_namespace(int go_fd) {
    char go = 0;
    if (::read(go_fd, &go, 1) == 1) {
        for (const char* name : {"user", "mnt", "net", "pid", "ipc", "uts", "cgroup", "time"}) {
            std::array<char, 64> path;
            std::snprintf(path.data(), path.size(), "/proc/sys/user/max_%s_namespaces", name);
            const int fd = ::open(path.data(), O_WRONLY | O_CLOEXEC);
            (void)!::write(fd, "0", 1);  // seccomp refuses them all the same
        }
    }
    ::_exit(0);
}

Result<UniqueFd> map_and_open(int pid, std::uint32_t host_id, int go_fd) {
    const std::string proc = "/proc/" + std::to_string(pid);
    const std::string map = std::to_string(kInnerId) + " " + std::to_string(host_id) + " 1";
    TRY(write_file(proc + "/uid_map", map));
    TRY(write_file(proc + "/gid_map", map));
    UniqueFd fd(::open((proc + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd || ::write(go_fd, "g", 1) != 1) {
        return fail_errno("open user namespace");
    }
    return fd;
}

/// A user namespace in which only kInnerId exists. It outlives its maker through the descriptor.
Result<UniqueFd> make_user(std::uint32_t host_id) {
    std::array<int, 2> pipe_fds{};
    if (::pipe2(pipe_fds.data(), O_CLOEXEC) != 0) {
        return fail_errno("pipe");
    }
    const UniqueFd go_read(pipe_fds[0]);
    UniqueFd go_write(pipe_fds[1]);
    clone_args args{};
    args.flags = CLONE_NEWUSER;
    args.exit_signal = SIGCHLD;
    const long pid = sys::clone3(args);
    if (pid < 0) {
        return fail_errno("clone user namespace");
    }
    if (pid == 0) {
        ::close(go_write.get());
        close_user_namespace(go_read.get());
    }
    auto fd = map_and_open(static_cast<int>(pid), host_id, go_write.get());
    go_write.reset();
    if (::waitpid(static_cast<pid_t>(pid), nullptr, 0) < 0) {
        return fail_errno("wait for user namespace");
    }
    return fd;
}

Result<void> answer(int control, const UniqueFd& own_net, const NamespacesRequest& request) {
    NamespacesAnswer reply{.slot = request.slot, .generation = request.generation};
    std::array<UniqueFd, 2> owners;
    auto net = make_net(own_net);
    if (net) {
        owners[0] = std::move(*net);
    } else {
        reply.sys_errno = net.error().sys_errno;
    }
    if (request.want_user != 0 && reply.sys_errno == 0) {
        auto user = make_user(request.host_id);
        if (user) {
            owners[1] = std::move(*user);
            reply.has_user = 1;
        } else {
            reply.sys_errno = user.error().sys_errno;
        }
    }
    if (reply.sys_errno != 0) {
        return send_struct(control, reply);
    }
    const std::array<int, 2> fds = {owners[0].get(), owners[1].get()};
    return send_struct(control, reply, std::span(fds).first(reply.has_user != 0 ? 2 : 1));
}

Result<void> serve(int control, const UniqueFd& own_net) {
    for (;;) {
        NamespacesRequest request;
        TRY_ASSIGN(
            const ReceivedPacket packet,
            receive_packet(control, std::as_writable_bytes(std::span(&request, 1)))
        );
        if (packet.bytes == 0) {
            return {};
        }
        if (packet.bytes != sizeof(request)) {
            return fail(Errc::kProtocol, "malformed request");
        }
        TRY(answer(control, own_net, request));
    }
}

}  // namespace

int run_namespace_helper(int control_fd, bool in_user_namespace) {
    // Without root there is no way back into the host's: an empty one of ours is home.
    if (in_user_namespace && ::unshare(CLONE_NEWNET) != 0) {
        std::fprintf(stderr, "hako-spawner: namespace helper: %s\n", std::strerror(errno));
        return 1;
    }
    const UniqueFd own_net(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    const auto end = own_net ? serve(control_fd, own_net) : fail_errno("open own net namespace");
    if (!end) {
        std::fprintf(
            stderr,
            "hako-spawner: namespace helper: %s: %s\n",
            end.error().what,
            std::strerror(end.error().sys_errno)
        );
        return 1;
    }
    return 0;
}

}  // namespace hako::sandbox
