#include "engine/startup/spawner_process.h"

#include <array>
#include <csignal>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace hako::startup {
namespace {

constexpr int kKeeperFd = 3;  // in the keeper

// posix_spawn's attributes and actions, released together.
struct SpawnPlan {
    SpawnPlan() {
        posix_spawnattr_init(&attributes);
        posix_spawn_file_actions_init(&actions);
    }
    ~SpawnPlan() {
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;

    posix_spawnattr_t attributes{};
    posix_spawn_file_actions_t actions{};
};

}  // namespace

Result<SpawnerProcess> SpawnerProcess::start(
    const std::string& path, std::vector<std::string> arguments
) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
        return fail_errno("socketpair to the keeper");
    }
    SpawnerProcess process;
    process.socket_.reset(pair[0]);
    // Out of the way of kKeeperFd, so that the dup2 below always makes a descriptor without
    // close-on-exec.
    const UniqueFd theirs(::fcntl(pair[1], F_DUPFD_CLOEXEC, 10));
    ::close(pair[1]);
    if (!theirs) {
        return fail_errno("dup the keeper's socket");
    }
    arguments.insert(arguments.begin(), path);
    arguments.emplace_back("--keeper-fd");
    arguments.emplace_back(std::to_string(kKeeperFd));
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) {
        argv.push_back(argument.data());
    }
    argv.push_back(nullptr);

    SpawnPlan plan;
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&plan.attributes, &none);
    posix_spawnattr_setpgroup(&plan.attributes, 0);
    posix_spawnattr_setflags(&plan.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_adddup2(&plan.actions, theirs.get(), kKeeperFd);
    posix_spawn_file_actions_addclosefrom_np(&plan.actions, kKeeperFd + 1);
    const int error = ::posix_spawn(
        &process.pid_, path.c_str(), &plan.actions, &plan.attributes, argv.data(), environ
    );
    if (error != 0) {
        return fail(sys_error(error, "start the spawner's keeper"));
    }
    process.pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, process.pid_, 0)));
    if (!process.pidfd_) {
        return fail_errno("pidfd_open of the keeper");
    }
    return process;
}

bool SpawnerProcess::join(int timeout_ms) {
    pollfd ended{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
    const bool in_time = ::poll(&ended, 1, timeout_ms) == 1;
    siginfo_t info{};
    if (in_time) {
        (void)::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED);  // reaps it
    }
    return in_time;
}

}  // namespace hako::startup
