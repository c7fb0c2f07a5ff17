#include "tests/escape/attempts.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <sys/wait.h>
#include <unistd.h>

namespace hako::escape {
namespace {

constexpr unsigned kAttemptSeconds =
    10;  // none waits on purpose; a stuck one ends as "killed ALRM"

std::string run_in_child(const Attempt& attempt, const char* argument) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::alarm(kAttemptSeconds);
        errno = 0;
        const long result = attempt.run(argument);
        ::_exit(result >= 0 ? 0 : errno);
    }
    int status = 0;
    if (pid < 0 || ::waitpid(pid, &status, 0) != pid) {
        return "could not try";
    }
    if (WIFSIGNALED(status)) {
        return std::string("killed ") + sigabbrev_np(WTERMSIG(status));
    }
    const char* const name = strerrorname_np(WEXITSTATUS(status));
    return WEXITSTATUS(status) == 0 ? "ok" : name != nullptr ? name : "exited";
}

}  // namespace

std::string try_attempt(std::string_view what) {
    const std::size_t space = what.find(' ');
    const std::string argument(space < what.size() ? what.substr(space + 1) : std::string_view());
    const std::array groups = {
        kernel_attempts(), process_attempts(), file_attempts(), socket_attempts()
    };
    for (const std::span<const Attempt> group : groups) {
        for (const Attempt& attempt : group) {
            if (what.substr(0, space) == attempt.name) {
                return run_in_child(attempt, argument.c_str());
            }
        }
    }
    return "unknown attempt";
}

}  // namespace hako::escape
