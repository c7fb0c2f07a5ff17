#include <fcntl.h>
#include <spawn.h>

#include "bench/floors/child.h"
#include "bench/floors/floors.h"
#include "bench/load/placement.h"
#include "engine/base/clock.h"
#include "engine/base/unique_fd.h"

namespace hako::bench {
namespace {

struct Pipe {
    UniqueFd read_end;
    UniqueFd write_end;

    static Result<Pipe> make() {
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) != 0) {
            return fail_errno("pipe2");
        }
        return Pipe{.read_end = UniqueFd(fds[0]), .write_end = UniqueFd(fds[1])};
    }
};

Result<pid_t> start_by_spawn(const std::vector<char*>& arguments, int out_fd) {
    posix_spawn_file_actions_t actions;
    if (const int error = posix_spawn_file_actions_init(&actions); error != 0) {
        return fail(sys_error(error, "posix_spawn_file_actions_init"));
    }
    pid_t pid = -1;
    int error = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    if (error == 0) {
        error = posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
    }
    (void)posix_spawn_file_actions_destroy(&actions);  // always 0 in glibc
    if (error != 0) {
        return fail(sys_error(error, "posix_spawn"));
    }
    return pid;
}

Result<pid_t> start_by_fork(const std::vector<char*>& arguments, int out_fd) {
    const pid_t pid = fork();
    if (pid < 0) {
        return fail_errno("fork");
    }
    if (pid == 0) {
        (void)dup2(out_fd, STDOUT_FILENO);  // a failure shows as no first byte
        (void)execv(arguments[0], arguments.data());
        _exit(127);
    }
    return pid;
}

Result<std::int64_t> start_once(const SpawnPlan& plan, const std::vector<char*>& arguments) {
    TRY_ASSIGN(Pipe pipe, Pipe::make());
    const std::int64_t start_ns = now_ns();
    TRY_ASSIGN(
        const pid_t pid,
        plan.use_fork ? start_by_fork(arguments, pipe.write_end.get())
                      : start_by_spawn(arguments, pipe.write_end.get())
    );
    pipe.write_end.reset();
    char byte = 0;
    const ssize_t got = read(pipe.read_end.get(), &byte, 1);
    const std::int64_t latency_ns = now_ns() - start_ns;
    if (waitpid(pid, nullptr, 0) < 0) {
        return fail_errno("waitpid");
    }
    if (got != 1) {
        return fail(Errc::kClosed, "the program ended without a first byte");
    }
    return latency_ns;
}

}  // namespace

Result<FloorOutcome> run_spawn(const SpawnPlan& plan) {
    TRY(pin_to_cpu(plan.cpu));
    std::vector<std::string> words = plan.command;
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    FloorOutcome outcome;
    const std::int64_t start_ns = now_ns();
    for (std::uint32_t index = 0; index < plan.warmup_count + plan.count; ++index) {
        TRY_ASSIGN(const std::int64_t latency_ns, start_once(plan, arguments));
        if (index >= plan.warmup_count) {
            outcome.latency.record(latency_ns);
        }
    }
    outcome.seconds = static_cast<double>(now_ns() - start_ns) / 1e9;
    return outcome;
}

}  // namespace hako::bench
