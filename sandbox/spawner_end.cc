#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/ensure.h"
#include "sandbox/spawner.h"
#include "sandbox/syscalls.h"

// How a sandbox goes: init ends (by itself after the worker, or killed) and with it the kernel
// kills all of its pid namespace; we reap init, read the counters, remove the cgroup, tell the
// engine.
namespace hako::sandbox {

using namespace hako::spawner;

void Spawner::kill_sandbox(Record& record) {
    if (record.kill_sent) {
        return;
    }
    record.kill_sent = true;
    if (!record.pidfd) {
        return;  // its zygote has not told its pid yet; killed when it does
    }
    // First the signal, then the thaw: a frozen process then dies without running on.
    (void)sys::pidfd_kill(record.pidfd.get());  // ESRCH: it has ended, which we are about to see
    record.cgroup.thaw_and_kill();
}

void Spawner::on_init_exit(Record& record) {
    if (!record.pidfd) {
        return;  // the event is older than the slot's present use
    }
    on_report(record);  // its last words, if it had any; may still make it a blank
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(record.pidfd.get()), &info, WEXITED | WNOHANG) != 0) {
        ENSURE(errno == ECHILD, "waitid failed");
    } else if (info.si_pid == 0) {
        return;  // not yet
    }
    if ((record.report_value & Report::kExited) != 0) {
        record.wait_status = Report::wait_status(record.report_value);
    } else {
        record.wait_status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
    }
    if (record.state == RecordState::kMaking) {
        StepError error = record.error;
        if ((record.report_value & Report::kFailed) != 0) {
            error.step = Report::step(record.report_value);
            error.sys_errno = Report::sys_errno(record.report_value);
        } else if (error.step == Step::kNone) {
            error = {.step = Step::kReadyTimeout, .sys_errno = ECHILD};
        }
        make_failed(record, error);
        return;
    }
    if (record.state == RecordState::kBlank) {
        std::erase(pools_[static_cast<std::size_t>(record.runtime)], record.slot);
        if (!record.kill_sent) {
            log_line("blank %u ended by itself, status 0x%x", record.slot, record.wait_status);
        }
    }
    begin_removal(record);
}

void Spawner::begin_removal(Record& record) {
    if (record.state == RecordState::kAcquired) {
        record.usage = record.cgroup.read_usage();
        --live_count_;
    }
    record.clear_resources();
    record.state = RecordState::kRemoving;
    record.init_pid = 0;
    removing_slots_.push_back(record.slot);
}

/// rmdir is refused while the kernel still counts dead processes; asked again each millisecond.
void Spawner::sweep_removals() {
    std::erase_if(removing_slots_, [this](std::uint32_t slot) {
        Record& record = records_[slot];
        const auto removed = record.cgroup.remove();
        if (!removed) {
            log_line(
                "removing the cgroup of sandbox %u: %s",
                slot,
                std::strerror(removed.error().sys_errno)
            );
        } else if (!*removed) {
            return false;
        }
        finish(record);
        return true;
    });
}

void Spawner::finish(Record& record) {
    if (record.was_acquired) {
        Gone gone;
        gone.reason = record.reason;
        gone.sandbox_id = record.id();
        gone.wait_status = record.wait_status;
        gone.oom_kill_count = record.usage.oom_kill_count;
        gone.cpu_ns = record.usage.cpu_ns;
        gone.memory_peak_bytes = record.usage.memory_peak_bytes;
        tell_engine(gone);
    }
    record.state = RecordState::kFree;
    free_slots_.push_back(record.slot);
    --used_slots_count_;
    ++destroyed_count_;
}

}  // namespace hako::sandbox
