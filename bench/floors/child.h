#pragma once

#include <cstdlib>
#include <utility>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/result.h"

namespace hako::bench {

/// A process of a floor. It ends by itself when its socket closes; join() waits for that.
class Child {
public:
    /// Forks; the child runs `body()`, which returns its exit status. It dies with its parent.
    template <typename Body>
    [[nodiscard]] static Result<Child> make(Body&& body) {
        const pid_t pid = fork();
        if (pid < 0) {
            return fail_errno("fork");
        }
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);  // only against leftovers of a killed bench
            _exit(std::forward<Body>(body)());
        }
        return Child(pid);
    }

    Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
    Child& operator=(Child&& other) noexcept {
        std::swap(pid_, other.pid_);
        return *this;
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    /// An error path left it: it must not outlive the run.
    ~Child() {
        if (pid_ > 0) {
            (void)kill(pid_, SIGKILL);
            (void)waitpid(pid_, nullptr, 0);
        }
    }

    /// Waits for the end. Errors: kSystem; kClosed if it did not exit with status 0.
    [[nodiscard]] Result<void> join() {
        int status = 0;
        if (waitpid(std::exchange(pid_, -1), &status, 0) < 0) {
            return fail_errno("waitpid");
        }
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            return fail(Errc::kClosed, "a floor process failed");
        }
        return {};
    }

private:
    explicit Child(pid_t pid) noexcept : pid_(pid) {}
    pid_t pid_ = -1;
};

}  // namespace hako::bench
