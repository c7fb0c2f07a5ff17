#include "engine/instance/manager.h"
#include "engine/observe/engine_log.h"

// What a function can wake the engine with, and how often: its doorbell and its log pipe. And the
// end of one that holds its caller past its time.
namespace hako::instance {
namespace {

// A runtime rings once per answer, and each ring costs us about as much as the function. So many
// without an answer are an attack.
constexpr std::uint32_t kIdleRingsMax = 64;

// A function that writes byte by byte wakes us as often. After so many times in a window its pipe
// rests: what it writes meanwhile comes in one piece, and a full pipe makes it wait.
constexpr std::uint32_t kLogWakesMax = 16;
constexpr std::int64_t kLogWindowUs = 5'000;

}  // namespace

void Manager::on_doorbell(Instance& instance) {
    loop_.scheduler().unpark(instance.owner);
    if (++instance.idle_rings_count <= kIdleRingsMax || instance.rings_too_much) {
        return;
    }
    instance.rings_too_much = true;
    stop_watching(instance.doorbell_watch);
    observe::log_line(
        observe::Level::kWarning,
        "instance",
        "ends, its doorbell rings without answers function={} sandbox={}",
        instance.version->function->name,
        instance.sandbox.sandbox_id
    );
    if (instance.state == Instance::State::kIdle) {
        VersionRuntime& version = *instance.version;
        (void)version.pool.instance_lost(instance.id, false, false);  // idle: nobody to tell
        end_in_background(instance);
        settle(version);
    }
    // A busy or starting one is ended by the fiber that has it, which has been woken.
}

void Manager::on_log_readable(Instance& instance) {
    drain_log(instance);
    const std::int64_t now = loop_.turn_now_us();
    if (now - instance.log_window_us > kLogWindowUs) {
        instance.log_window_us = now;
        instance.log_wakes_count = 0;
    }
    if (++instance.log_wakes_count > kLogWakesMax) {
        pause_log(instance);
    }
}

void Manager::pause_log(Instance& instance) {
    if (instance.state == Instance::State::kEnding || instance.log_timer.is_armed()) {
        return;
    }
    stop_watching(instance.log_watch);
    loop_.arm(instance.log_timer, loop_.turn_now_us() + kLogWindowUs);
}

void Manager::stop_watching(ring::Watch& watch) {
    if (watch.fd >= 0 && !watch.closing) {
        loop_.unwatch(watch);
    }
}

void Manager::resume_log(Instance& instance) {
    if (instance.log_watch.fd >= 0) {
        loop_.arm(instance.log_timer, loop_.turn_now_us() + kLogWindowUs);  // it is closing still
        return;
    }
    const int fd = instance.sandbox.fds[spawner::AcquiredFd::kFdLogPipe].get();
    watch(instance, instance.log_watch, fd, instance.log_watch.on_events);
}

void Manager::end_early(const Instance& instance) {
    if (instance.gone) {
        return;
    }
    // On a fiber: the way to the spawner may be full. If there is none, `discard` does it later.
    (void)loop_.scheduler().spawn(
        "instance-end-early",
        [this, sandbox_id = instance.sandbox.sandbox_id] { (void)link_.destroy(sandbox_id); }
    );
}

}  // namespace hako::instance
