#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

#include <poll.h>
#include <sys/wait.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "sandbox/spawner.h"
#include "sandbox/syscalls.h"

namespace hako::sandbox {

using namespace hako::spawner;

namespace {

constexpr std::uint32_t kZygoteDeathsMax = 3;  // in a row, each soon after its start
constexpr std::int64_t kZygoteGoodLifeUs = 1'000'000;
constexpr int kHelperExitMs = 2000;

/// Closes the socket, which ends the process; a deaf one is killed.
void end_process(ChildProcess& process) {
    process.socket.reset();
    if (!process.pidfd) {
        return;
    }
    pollfd ended{.fd = process.pidfd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, kHelperExitMs) != 1) {
        (void)sys::pidfd_kill(process.pidfd.get());  // waitid tells
    }
    siginfo_t info{};
    (void)::waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), &info, WEXITED);  // reaps
    process = ChildProcess();
}

}  // namespace

Result<void> Spawner::start_helper() {
    std::vector<std::string> arguments = {"--namespace-helper"};
    if (settings_.in_user_namespace) {
        arguments.emplace_back("--in-user-namespace");
    }
    TRY_ASSIGN(helper_, ChildProcess::start("/proc/self/exe", std::move(arguments)));
    watch(helper_.socket.get(), Source::kHelper, 0);
    return {};
}

Result<void> Spawner::start_zygote(std::uint32_t index) {
    Zygote& zygote = zygotes_[index];
    std::vector<std::string> arguments;
    if (!settings_.seccomp_bpf.empty()) {
        arguments.insert(arguments.end(), {"--seccomp-bpf", settings_.seccomp_bpf});
    }
    if (!settings_.runtime_dir.empty()) {
        arguments.insert(arguments.end(), {"--runtime-dir", settings_.runtime_dir});
    }
    if (settings_.in_user_namespace) {
        arguments.emplace_back("--user-namespace");
    }
    const std::string& path = zygote.python ? settings_.python_zygote : settings_.native_zygote;
    TRY_ASSIGN(zygote.process, ChildProcess::start(path, std::move(arguments)));
    zygote.ready = false;
    zygote.started_us = now_us();
    zygote.in_flight_count = 0;
    watch(zygote.process.socket.get(), Source::kZygote, index);
    return {};
}

Spawner::Zygote* Spawner::pick_zygote(RuntimeKind runtime) {
    const bool python = runtime == RuntimeKind::kPython;
    Zygote* best = nullptr;
    for (Zygote& zygote : zygotes_) {
        if (zygote.ready && zygote.python == python &&
            (best == nullptr || zygote.in_flight_count < best->in_flight_count)) {
            best = &zygote;
        }
    }
    return best;
}

bool Spawner::runtime_available(RuntimeKind runtime) const {
    const bool python = runtime == RuntimeKind::kPython;
    return std::ranges::any_of(zygotes_, [python](const Zygote& zygote) {
        return zygote.ready && zygote.python == python;
    });
}

/// Sandboxes it made live on (we are their parent). Those it was making when it died may or may not
/// have a process; one more zygote is started unless they keep dying.
void Spawner::on_zygote_gone(std::uint32_t index) {
    Zygote& zygote = zygotes_[index];
    const char* name = zygote.python ? "python" : "native";
    zygote.ready = false;
    end_process(zygote.process);
    for (Record& record : records_) {
        if (record.state == RecordState::kMaking && record.zygote_index == index && !record.pidfd) {
            adopt_orphan(record);
        }
    }
    reap_unknown();
    if (exit_code_) {
        return;
    }
    // One that worked for a while was good: killed now and then, it is started for ever.
    zygote.deaths_count =
        now_us() - zygote.started_us < kZygoteGoodLifeUs ? zygote.deaths_count + 1 : 1;
    log_line("the %s zygote is gone (%u times)", name, zygote.deaths_count);
    const bool again = zygote.deaths_count <= kZygoteDeathsMax;
    if (again && start_zygote(index)) {
        return;
    }
    zygote.failed = true;
    if (!zygote.python) {
        log_line(
            "the native zygote does not stay up: is %s right?", settings_.native_zygote.c_str()
        );
        stop(kExitZygote);
    }
    announce_start();
}

void Spawner::adopt_orphan(Record& record) {
    for (const int pid : record.cgroup.read_pids()) {
        siginfo_t info{};
        const int flags = WEXITED | WNOHANG | WNOWAIT;
        if (::waitid(P_PID, static_cast<id_t>(pid), &info, flags) == 0) {  // ours: its init
            record.init_pid = pid;
            record.pidfd.reset(sys::pidfd_open(pid));
            watch(record.pidfd.get(), Source::kInit, record.slot);
            record.error = {.step = Step::kZygoteGone, .sys_errno = EPIPE};
            record.kill_sent = false;
            kill_sandbox(record);
            return;
        }
    }
    if (tree_.hierarchies().empty()) {
        kill_unknown();
    }
    make_failed(record, {.step = Step::kZygoteGone, .sys_errno = EPIPE});
}

/// Without cgroups to look in: every child that nobody has told us about. What another zygote is
/// making just now may be among them; that make then fails and is made again.
void Spawner::kill_unknown() {
    std::ifstream children("/proc/thread-self/children");
    for (int pid = 0; children >> pid;) {
        const auto is_zygote = [pid](const Zygote& zygote) { return zygote.process.pid == pid; };
        const auto is_sandbox = [pid](const Record& record) { return record.init_pid == pid; };
        if (pid != helper_.pid && std::ranges::none_of(zygotes_, is_zygote) &&
            std::ranges::none_of(records_, is_sandbox)) {
            (void)::kill(pid, SIGKILL);  // a child that we have not reaped: it is still itself
        }
    }
}

/// Children that a dead zygote cloned and never told us about, once they have ended.
void Spawner::reap_unknown() {
    for (;;) {
        siginfo_t info{};
        if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
            return;
        }
        const auto known = [&info](const Record& record) { return record.init_pid == info.si_pid; };
        if (std::ranges::any_of(records_, known)) {
            return;  // its own event reaps it
        }
        (void
        )::waitid(P_PID, static_cast<id_t>(info.si_pid), &info, WEXITED | WNOHANG);  // a zombie
    }
}

void Spawner::stop_helpers() {
    for (Zygote& zygote : zygotes_) {
        end_process(zygote.process);
    }
    end_process(helper_);
}

}  // namespace hako::sandbox
