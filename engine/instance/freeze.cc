#include <cerrno>
#include <string_view>

#include <unistd.h>

#include "engine/instance/manager.h"
#include "engine/observe/engine_log.h"

// Manager's part that stops idle instances: after its response nothing of a function may go on
// running, background threads and children included. The cgroup's freezer covers them all.
namespace hako::instance {

void Manager::arm_freeze(Instance& instance) {
    if (!options_.freeze_grace_us || instance.sandbox.fds[spawner::kFdFreezer].get() < 0) {
        return;
    }
    if (*options_.freeze_grace_us == 0) {
        look_at_freezing(instance);
        return;
    }
    // A timer that is armed already looks when it is due and then waits for the rest: a busy
    // instance does not pay for re-arming with every invocation.
    if (!instance.freeze_timer.is_armed()) {
        instance.freeze_timer.owner = &instance;
        instance.freeze_timer.on_due = [](ring::Timer& timer) {
            auto& due = *static_cast<Instance*>(timer.owner);
            due.version->manager.look_at_freezing(due);
        };
        loop_.arm(instance.freeze_timer, instance.idle_since_us + *options_.freeze_grace_us);
    }
}

void Manager::look_at_freezing(Instance& instance) {
    if (instance.state != Instance::State::kIdle || instance.frozen) {
        return;
    }
    const std::int64_t due_us = instance.idle_since_us + *options_.freeze_grace_us;
    if (loop_.turn_now_us() < due_us) {
        loop_.arm(instance.freeze_timer, due_us);
        return;
    }
    if (write_freezer(instance, true)) {
        instance.frozen = true;
        ++frozen_count_;
    }
}

void Manager::thaw(Instance& instance) {
    if (!instance.frozen) {
        return;
    }
    // If it cannot be thawed the invocation runs into its timeout and the instance is ended.
    (void)write_freezer(instance, false);
    instance.frozen = false;
    --frozen_count_;
}

bool Manager::write_freezer(const Instance& instance, bool frozen) {
    const bool v2 = (link_.features() & spawner::kFeatureCgroupV2) != 0;
    const std::string_view text = v2 ? (frozen ? "1" : "0") : (frozen ? "FROZEN" : "THAWED");
    const int fd = instance.sandbox.fds[spawner::kFdFreezer].get();
    if (::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size())) {
        return true;
    }
    const Error error = errno_error("write the freezer");
    // ENODEV: the sandbox has just died, which is about to be reported.
    observe::log_line(
        error.sys_errno == ENODEV ? observe::Level::kDebug : observe::Level::kWarning,
        "instance",
        "cannot write {} to the freezer function={} sandbox={} errno={}",
        text,
        instance.version->function->name,
        instance.sandbox.sandbox_id,
        error.sys_errno
    );
    return false;
}

}  // namespace hako::instance
