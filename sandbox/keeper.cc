#include "sandbox/keeper.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/wire/keeper_protocol.h"
#include "sandbox/cgroup.h"
#include "sandbox/packet.h"
#include "sandbox/settings.h"
#include "sandbox/spawner.h"
#include "sandbox/syscalls.h"

namespace hako::sandbox {
namespace {

constexpr int kEngineFd = 3;  // in the spawner
constexpr int kSocketBufferBytes = 1 << 20;

// A spawner that lived this long was a good one: the next death starts the count anew.
constexpr std::int64_t kGoodLifeUs = 1'000'000;
// The wait before the n-th start after a short life; after the last one the keeper gives up.
constexpr std::array<int, 8> kBackoffMs = {0, 0, 100, 200, 400, 800, 1600, 3200};
// Another spawner has our tree: mostly the last one of an engine that was killed and started again,
// which cleans up still. Asked again at an even pace, longer than that may take.
constexpr int kInUsePauseMs = 100;
constexpr std::uint32_t kInUseTriesMax = 150;
// The spawner ends by itself within 10 s of the engine's end, however many sandboxes there are.
constexpr int kSpawnerEndMs = 12'000;
constexpr std::int64_t kOrphansUs = 10'000'000;
constexpr std::int64_t kLeftoversUs = 10'000'000;
constexpr int kOrphansCheckMs = 5;

/// Exits that another start cannot mend; each was explained by the spawner itself.
bool is_hopeless(int wait_status) {
    const int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    return code == kExitUsage || code == kExitNoNamespace || code == kExitKernel;
}

/// Between fork and exec: no heap. SIGTERM stays blocked until the spawner has its signalfd, so
/// that it cleans up whenever the signal comes.
[[noreturn]] void exec_spawner(char* const* arguments, int socket, int keeper) {
    if (::prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) != 0 || ::getppid() != keeper ||
        ::dup2(socket, kEngineFd) < 0) {
        ::_exit(126);
    }
    (void)sys::close_from(kEngineFd + 1);  // all are close-on-exec as well
    ::execve("/proc/self/exe", arguments, environ);
    ::_exit(127);
}

class Keeper {
public:
    explicit Keeper(KeeperOptions options) : options_(std::move(options)) {}
    [[nodiscard]] int run();

private:
    enum class Event { kSpawnerEnded, kStop, kTimeout };

    [[nodiscard]] Result<void> prepare();
    [[nodiscard]] Result<void> start_spawner();
    [[nodiscard]] Result<UniqueFd> fork_spawner();
    [[nodiscard]] Event await_event(int timeout_ms);
    [[nodiscard]] int backoff_ms();
    void take_wait_status();
    [[nodiscard]] bool end_orphans() const;
    [[nodiscard]] int stop();
    [[nodiscard]] int give_up();
    void clean_tree() const;

    KeeperOptions options_;
    UniqueFd control_;
    UniqueFd signals_;
    UniqueFd spawner_pidfd_;  // empty: none runs
    int spawner_pid_ = 0;
    int wait_status_ = 0;  // of the last one that ended
    std::uint32_t starts_count_ = 0;
    std::size_t short_lives_count_ = 0;  // in a row
    std::uint32_t in_use_count_ = 0;     // tries in a row that found the tree in use
    std::int64_t started_us_ = 0;
};

Result<void> Keeper::prepare() {
    control_.reset(options_.control_fd);
    if (::fcntl(control_.get(), F_SETFD, FD_CLOEXEC) != 0) {
        return fail_errno("--keeper-fd");
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);  // blocked, so that a poll on the signalfd ends when a child does
    if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) {
        return fail_errno("block signals");
    }
    // Ctrl-C reaches the whole process group: the engine drains, and its end stops us.
    (void)::signal(SIGINT, SIG_IGN);
    (void)::signal(SIGHUP, SIG_IGN);
    signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) {
        return fail_errno("signalfd");
    }
    (void)::prctl(PR_SET_NAME, "hako-keeper", 0, 0, 0);  // for ps; cannot fail
    return ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 ? Result<void>{}
                                                            : fail_errno("become subreaper");
}

/// Returns the engine's end. The spawner's own must be nowhere but in the spawner: its closing is
/// how the engine learns of the death.
Result<UniqueFd> Keeper::fork_spawner() {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
        return fail_errno("socketpair");
    }
    UniqueFd engines(pair[0]);
    const UniqueFd spawners(pair[1]);
    for (const int fd : pair) {
        (void)::setsockopt(
            fd, SOL_SOCKET, SO_SNDBUF, &kSocketBufferBytes, sizeof(kSocketBufferBytes)
        );  // the default works too, with more waiting
    }
    std::vector<std::string> arguments = {"hako-spawner"};
    arguments.insert(arguments.end(), options_.arguments.begin(), options_.arguments.end());
    arguments.insert(arguments.end(), {"--engine-fd", std::to_string(kEngineFd)});
    arguments.insert(arguments.end(), {"--engine-pid", std::to_string(::getppid())});
    std::vector<char*> pointers;
    for (std::string& argument : arguments) {
        pointers.push_back(argument.data());
    }
    pointers.push_back(nullptr);
    const int keeper = ::getpid();
    const int pid = ::fork();
    if (pid == 0) {
        exec_spawner(pointers.data(), spawners.get(), keeper);
    }
    if (pid < 0) {
        return fail_errno("fork");
    }
    spawner_pid_ = pid;
    spawner_pidfd_.reset(sys::pidfd_open(pid));
    if (!spawner_pidfd_) {
        return fail_errno("pidfd_open");  // end_orphans ends it
    }
    return engines;
}

Result<void> Keeper::start_spawner() {
    TRY_ASSIGN(const UniqueFd engines, fork_spawner());
    started_us_ = now_us();
    const spawner::KeeperMessage message{
        .spawner_number = ++starts_count_,
        .spawner_pid = spawner_pid_,
        .previous_wait_status = wait_status_,
    };
    // Without an engine the spawner ends at once, and the next poll tells us why.
    (void)send_struct(control_.get(), message, std::array{engines.get()});
    return {};
}

/// The engine's end of the control socket comes first: a spawner that ends together with the engine
/// is not to be replaced.
Keeper::Event Keeper::await_event(int timeout_ms) {
    const std::int64_t deadline_us = now_us() + std::int64_t{timeout_ms} * 1'000;
    for (;;) {
        const std::int64_t left_us = deadline_us - now_us();
        std::array<pollfd, 3> polled = {{
            {.fd = control_.get(), .events = POLLIN, .revents = 0},
            {.fd = signals_.get(), .events = POLLIN, .revents = 0},
            {.fd = spawner_pidfd_.get(), .events = POLLIN, .revents = 0},  // skipped if none runs
        }};
        const int wait_ms =
            timeout_ms < 0 ? -1 : static_cast<int>(std::max<std::int64_t>(left_us, 0) / 1'000);
        if (::poll(polled.data(), polled.size(), wait_ms) == 0) {
            return Event::kTimeout;
        }
        signalfd_siginfo info{};
        while (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
            if (info.ssi_signo == SIGTERM) {
                return Event::kStop;
            }
        }
        if (polled[0].revents != 0) {
            return Event::kStop;
        }
        if (polled[2].revents != 0) {
            return Event::kSpawnerEnded;
        }
    }
}

void Keeper::take_wait_status() {
    siginfo_t info{};
    (void)::waitid(P_PIDFD, static_cast<id_t>(spawner_pidfd_.get()), &info, WEXITED);  // has ended
    wait_status_ = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
    spawner_pidfd_.reset();
    spawner_pid_ = 0;
}

/// What the dead spawner left are our children now. Nearly all have died of their PR_SET_PDEATHSIG;
/// those that had not set it yet are killed here. A child's pid is its own until we reap it.
bool Keeper::end_orphans() const {
    const std::int64_t deadline_us = now_us() + kOrphansUs;
    for (;;) {
        std::ifstream children("/proc/thread-self/children");
        for (int pid = 0; children >> pid;) {
            (void)::kill(pid, SIGKILL);  // cannot fail: it is a child, dead or alive
        }
        int reaped = 0;
        while ((reaped = ::waitpid(-1, nullptr, WNOHANG)) > 0) {
        }
        if (reaped < 0) {
            return true;
        }
        if (now_us() > deadline_us) {
            return false;
        }
        pollfd signalled{.fd = signals_.get(), .events = POLLIN, .revents = 0};
        (void)::poll(&signalled, 1, kOrphansCheckMs);  // a hint only
    }
}

/// How long to wait before the next start; -1: not again.
int Keeper::backoff_ms() {
    if (WIFEXITED(wait_status_) && WEXITSTATUS(wait_status_) == kExitInUse) {
        return ++in_use_count_ > kInUseTriesMax ? -1 : kInUsePauseMs;
    }
    in_use_count_ = 0;
    short_lives_count_ = now_us() - started_us_ >= kGoodLifeUs ? 0 : short_lives_count_ + 1;
    if (short_lives_count_ > kBackoffMs.size() || is_hopeless(wait_status_)) {
        return -1;
    }
    return short_lives_count_ == 0 ? 0 : kBackoffMs[short_lives_count_ - 1];
}

/// After a spawner that did not clean up by itself.
void Keeper::clean_tree() const {
    auto tree = CgroupTree::open(options_.cgroup);
    if (!tree) {
        return;  // none, or another spawner's: not ours to clean
    }
    if (const auto removed = tree->remove_leftovers(now_us() + kLeftoversUs); !removed) {
        log_line("keeper: %s; the next start tries again", removed.error().what);
    }
    tree->remove_tree();
}

int Keeper::stop() {
    if (spawner_pidfd_) {
        // It sees the engine's end by itself; the signal is for when we were told to stop.
        (void)::syscall(SYS_pidfd_send_signal, spawner_pidfd_.get(), SIGTERM, nullptr, 0U);
        pollfd ended{.fd = spawner_pidfd_.get(), .events = POLLIN, .revents = 0};
        if (::poll(&ended, 1, kSpawnerEndMs) != 1) {
            log_line("keeper: the spawner does not end, killing it");
            (void)sys::pidfd_kill(spawner_pidfd_.get());  // waitid tells
        }
        take_wait_status();
    }
    const bool is_clean = WIFEXITED(wait_status_) && WEXITSTATUS(wait_status_) == kExitOk;
    if (!is_clean) {
        clean_tree();
    }
    if (!end_orphans()) {
        log_line("keeper: processes of the spawner do not end");
    }
    return kExitOk;
}

int Keeper::give_up() {
    log_line(
        "keeper: no spawner stays up (%u started, the last one ended with status 0x%x): giving up",
        starts_count_,
        wait_status_
    );
    const spawner::KeeperMessage message{
        .op = spawner::KeeperOp::kGaveUp,
        .spawner_number = starts_count_,
        .spawner_pid = 0,
        .previous_wait_status = wait_status_,
    };
    (void)send_struct(control_.get(), message);  // our end says the same
    clean_tree();
    return WIFEXITED(wait_status_) ? WEXITSTATUS(wait_status_) : kExitSystem;
}

int Keeper::run() {
    if (const auto ready = prepare(); !ready) {
        log_line("keeper: %s: %s", ready.error().what, std::strerror(ready.error().sys_errno));
        return kExitSystem;
    }
    for (;;) {
        if (const auto started = start_spawner(); !started) {
            const Error& error = started.error();
            log_line("keeper: %s: %s", error.what, std::strerror(error.sys_errno));
            wait_status_ = kExitSystem << 8;
            started_us_ = now_us();
        } else {
            if (await_event(-1) == Event::kStop) {
                return stop();
            }
            take_wait_status();
            log_line("keeper: spawner %u ended with status 0x%x", starts_count_, wait_status_);
            // Frozen sandboxes cannot die of the signal that they got with the spawner's end.
            clean_tree();
        }
        if (!end_orphans()) {
            log_line("keeper: processes of the spawner do not end");  // the next one tries
        }
        const int pause_ms = backoff_ms();
        if (pause_ms < 0) {
            return give_up();
        }
        if (await_event(pause_ms) == Event::kStop) {
            return stop();
        }
    }
}

}  // namespace

void give_up_at_once(int control_fd, int exit_code) {
    const spawner::KeeperMessage message{
        .op = spawner::KeeperOp::kGaveUp,
        .spawner_number = 0,
        .spawner_pid = 0,
        .previous_wait_status = exit_code << 8,
    };
    (void)send_struct(control_fd, message);  // our end says the same
}

int run_keeper(KeeperOptions options) {
    return Keeper(std::move(options)).run();
}

}  // namespace hako::sandbox
