#include "engine/instance/manager.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include <poll.h>
#include <unistd.h>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "engine/instance/environment.h"
#include "engine/observe/engine_log.h"

namespace hako::instance {
namespace {

// One pipe's worth; more than that many reads in a row would let one chatty function hold the loop.
constexpr std::size_t kPipeBufferBytes = 64 * 1024;
constexpr int kPipeReadsMax = 8;

// How long a caller may wait for a busy instance before another is started: about what a cold start
// of that kind costs.
constexpr std::int64_t kScaleOutWaitUs = 1'000;
constexpr std::int64_t kScaleOutWaitPythonUs = 3'000;

constexpr std::int64_t kRestartBackoffUs = 1'000'000;
constexpr std::int64_t kRestartBackoffMaxUs = 60'000'000;

StartFailure sandbox_failure(const char* step, int sys_errno) {
    return {.kind = StartFailure::Kind::kSandbox, .step = step, .sys_errno = sys_errno};
}

StartFailure spawner_lost(const char* step) {
    return {.kind = StartFailure::Kind::kSpawnerLost, .step = step};
}

bool is_unused(const VersionRuntime& version) {
    return version.pool.instance_count() == 0 && version.pool.in_flight_count() == 0 &&
           version.ending_count == 0;
}

}  // namespace

Manager::Manager(
    ring::Loop& loop, SpawnerLink& link, observe::FunctionLogs& logs, const ManagerOptions& options
)
    : loop_(loop), link_(link), logs_(logs), options_(options), pipe_buffer_(kPipeBufferBytes) {}

Manager::~Manager() {
    for (auto& [id, version] : versions_) {
        loop_.disarm(version->due_timer);
    }
}

dispatch::PoolLimits Manager::limits_of(const registry::FunctionVersion& function) const {
    std::uint32_t concurrency_max =
        options_.function_concurrency.value_or(options_.concurrency_max);
    return {
        .concurrency_max = function.common->reserved_concurrency.value_or(concurrency_max),
        .provisioned_count = function.provisioned_count,
        .idle_retire_us = options_.idle_retire_us,
        .scale_out_wait_us = function.kind == spawner::RuntimeKind::kPython ? kScaleOutWaitPythonUs
                                                                            : kScaleOutWaitUs,
    };
}

VersionRuntime& Manager::runtime_of(const registry::FunctionRef& function) {
    const auto found = versions_.find(function->id);
    if (found != versions_.end()) {
        return *found->second;
    }
    auto made = std::make_unique<VersionRuntime>(*this, function, limits_of(*function));
    VersionRuntime& version = *made;
    // The registry accepts only names that the logs accept too.
    const Result<observe::LogHandle> log = logs_.open(function->name);
    ENSURE(log.has_value(), "a registered function has a name its log can have");
    version.log = *log;
    version.log_group = observe::log_group_name(function->name);
    version.environment_base =
        environment_base(*function, {.region = options_.region, .log_group = version.log_group});
    version.ledger_template.function_version_id = function->id;
    version.ledger_template.memory_mib = function->memory_mib;
    version.ledger_template.set_function_name(function->name);
    version.due_timer.owner = &version;
    version.due_timer.on_due = [](ring::Timer& timer) {
        auto& due = *static_cast<VersionRuntime*>(timer.owner);
        due.manager.settle(due);
    };
    versions_.emplace(function->id, std::move(made));
    return version;
}

void Manager::on_change(const registry::FunctionRef& before, const registry::FunctionRef& after) {
    if (before != nullptr && (after == nullptr || after->id != before->id)) {
        const auto old = versions_.find(before->id);
        if (old != versions_.end()) {
            VersionRuntime& version = *old->second;
            version.replaced = true;
            dispatch::PoolLimits limits = version.pool.limits();
            limits.provisioned_count = 0;
            limits.idle_retire_us = 0;
            version.pool.set_limits(limits);
            settle(version);
        }
    }
    if (after == nullptr) {
        return;
    }
    const auto present = versions_.find(after->id);
    if (present != versions_.end()) {
        present->second->function = after;
        present->second->pool.set_limits(limits_of(*after));
        settle(*present->second);
    } else if (after->provisioned_count > 0) {
        settle(runtime_of(after));
    }
}

std::uint32_t Manager::ready_count(const registry::FunctionVersion& function) const {
    const auto found = versions_.find(function.id);
    if (found == versions_.end()) {
        return 0;
    }
    const dispatch::VersionPool& pool = found->second->pool;
    return std::min(pool.idle_count() + pool.busy_count(), function.provisioned_count);
}

std::size_t Manager::idle_count() const noexcept {
    std::size_t count = 0;
    for (const auto& [id, version] : versions_) {
        count += version->pool.idle_count();
    }
    return count;
}

void Manager::settle(VersionRuntime& version) {
    const std::int64_t now = loop_.turn_now_us();
    while (const auto retired = version.pool.take_retired(now)) {
        end_in_background(instance(*retired));
    }
    std::int64_t due_us = version.pool.next_due_us();
    std::int64_t start_not_before_us = version.start_pace.not_before_us();
    if (version.pool.waiting_count() == 0) {
        start_not_before_us = std::max(start_not_before_us, version.start_not_before_us);
    }
    if (now < start_not_before_us) {
        // What waits may be overdue already: a timer for then would fire again and again.
        due_us = version.pool.waiting_count() > 0 ? start_not_before_us
                                                  : std::min(due_us, start_not_before_us);
    } else if (!ending_) {
        for (std::uint32_t count = version.pool.take_starts(now); count > 0; --count) {
            begin_start(version);
        }
        due_us = version.pool.next_due_us();
    }
    // A timer that fires too early only looks again: re-arming for every invocation would cost
    // more.
    if (due_us == INT64_MAX) {
        loop_.disarm(version.due_timer);
    } else if (!version.due_timer.is_armed() || due_us < version.due_timer.due_us) {
        loop_.arm(version.due_timer, due_us);
    }
    forget_if_done(version);
}

void Manager::forget_if_done(VersionRuntime& version) {
    if (!version.replaced || !is_unused(version)) {
        return;
    }
    // Later: the caller still holds a reference.
    loop_.defer([this, id = version.function->id] {
        const auto found = versions_.find(id);
        if (found == versions_.end() || !is_unused(*found->second)) {
            return;
        }
        loop_.disarm(found->second->due_timer);
        versions_.erase(found);
        if (on_version_gone) {
            on_version_gone();
        }
    });
}

Instance& Manager::instance(dispatch::InstanceId id) noexcept {
    ENSURE(id < instances_.size() && instances_[id] != nullptr, "the instance is alive");
    return *instances_[id];
}

Instance& Manager::add_instance(VersionRuntime& version) {
    dispatch::InstanceId id = dispatch::kNoInstance;
    if (free_ids_.empty()) {
        id = static_cast<dispatch::InstanceId>(instances_.size());
        instances_.emplace_back();
    } else {
        id = free_ids_.back();
        free_ids_.pop_back();
    }
    instances_[id] = std::make_unique<Instance>(logs_, version.log);
    Instance& added = *instances_[id];
    added.id = id;
    added.version = &version;
    ++live_count_;
    return added;
}

// ---- starting ----

void Manager::begin_start(VersionRuntime& version) {
    const Result<fiber::FiberId> spawned =
        loop_.scheduler().spawn("instance-start", [this, &version] { start_instance(version); });
    ENSURE(spawned.has_value(), "the scheduler has room for a fiber per instance");
}

bool Manager::make_room() {
    // What is on its way out has made room already, and what is on its way in has taken it.
    if (live_count_ - ending_count_ + acquiring_count_ < options_.instances_max) {
        return true;
    }
    // Another version's idle instance makes way: an instance in use is worth more than one that
    // waits.
    for (auto& [id, version] : versions_) {
        if (version->pool.instance_count() > version->pool.limits().provisioned_count) {
            if (const auto idle = version->pool.take_idle()) {
                end_in_background(instance(*idle));
                return true;
            }
        }
    }
    return false;
}

std::expected<Instance*, StartFailure> Manager::make_instance(
    VersionRuntime& version, std::int64_t give_up_us
) {
    if (const Result<void> up = link_.await_up(give_up_us); !up) {
        return std::unexpected(sandbox_failure(up.error().what, 0));
    }
    // After the wait: the instances of a dead spawner have made room by then.
    if (!make_room()) {
        return std::unexpected(StartFailure{.kind = StartFailure::Kind::kLimit});
    }
    const registry::FunctionVersion& function = *version.function;
    spawner::Acquire request{
        .runtime = function.kind,
        .memory_mib = function.memory_mib,
        .tmp_mib = function.ephemeral_mib,
    };
    ENSURE(function.code_id.size() == sizeof(request.code_id), "code ids are 64 hex digits");
    std::copy(function.code_id.begin(), function.code_id.end(), request.code_id);
    const std::int64_t begun_us = now_us();
    AcquireFailure refusal;
    ++acquiring_count_;
    Result<Sandbox> sandbox = link_.acquire(request, begun_us + options_.init_timeout_us, refusal);
    --acquiring_count_;
    if (!sandbox) {
        const Error& error = sandbox.error();
        if (error.code == Errc::kClosed) {
            return std::unexpected(spawner_lost(error.what));
        }
        return std::unexpected(
            refusal.sys_errno != 0 ? sandbox_failure(refusal.step.data(), refusal.sys_errno)
                                   : sandbox_failure(error.what, error.sys_errno)
        );
    }
    Instance& made = add_instance(version);
    made.sandbox = *std::move(sandbox);
    made.started_us = begun_us;
    made.acquired_us = now_us();
    by_sandbox_.emplace(made.sandbox.sandbox_id, &made);
    return &made;
}

Result<void> Manager::attach(Instance& instance) {
    using spawner::AcquiredFd;
    const Sandbox& sandbox = instance.sandbox;
    TRY_ASSIGN(instance.channel, Channel::map(sandbox.fds[AcquiredFd::kFdChannel].get()));
    watch(
        instance,
        instance.doorbell_watch,
        sandbox.fds[AcquiredFd::kFdDoorbell].get(),
        [](ring::Watch& rung, std::uint32_t) {
            auto& owner = *static_cast<Instance*>(rung.owner);
            owner.version->manager.on_doorbell(owner);
        }
    );
    watch(
        instance,
        instance.log_watch,
        sandbox.fds[AcquiredFd::kFdLogPipe].get(),
        [](ring::Watch& readable, std::uint32_t) {
            auto& owner = *static_cast<Instance*>(readable.owner);
            owner.version->manager.on_log_readable(owner);
        }
    );
    instance.log_timer.owner = &instance;
    instance.log_timer.on_due = [](ring::Timer& timer) {
        auto& owner = *static_cast<Instance*>(timer.owner);
        owner.version->manager.resume_log(owner);
    };
    instance.meter = meter::CgroupMeter({
        .cpu_fd = sandbox.fds[AcquiredFd::kFdCpuUsage].get(),
        .memory_fd = sandbox.fds[AcquiredFd::kFdMemoryPeak].get(),
        .cgroup_v2 = (link_.features() & spawner::kFeatureCgroupV2) != 0,
        .peak_resets = (link_.features() & spawner::kFeatureMemoryPeakReset) != 0,
    });
    return {};
}

void Manager::watch(
    Instance& instance, ring::Watch& watch, int fd, ring::Watch::Callback on_events
) {
    watch.owner = &instance;
    watch.on_events = on_events;
    watch.on_closed = [](ring::Watch& closed, std::uint32_t) {
        auto& owner = *static_cast<Instance*>(closed.owner);
        --owner.open_watches_count;
        owner.version->manager.loop_.scheduler().unpark(owner.owner);
    };
    loop_.watch(watch, fd, POLLIN);
    ++instance.open_watches_count;
}

std::optional<StartFailure> Manager::initialise(Instance& instance) {
    instance.owner = loop_.scheduler().self();
    if (const Result<void> attached = attach(instance); !attached) {
        return sandbox_failure(attached.error().what, attached.error().sys_errno);
    }
    std::array<char, 32> hex{};
    ids_.write_hex32(hex.data());
    instance.log_stream = observe::log_stream_name(
        wall_us(),
        static_cast<std::uint32_t>(instance.version->function->number),
        {hex.data(), hex.size()}
    );
    // Nobody may be waiting any more for a start on demand either.
    const bool provisioned = instance.version->pool.limits().provisioned_count > 0 &&
                             instance.version->pool.waiting_count() == 0;
    const std::string environment =
        instance_environment(instance.version->environment_base, instance.log_stream, provisioned);
    if (const Result<void> posted = instance.channel.post_init(environment); !posted) {
        return sandbox_failure(posted.error().what, posted.error().sys_errno);
    }
    if (instance.channel.worker_may_sleep()) {
        loop_.futex_wake(instance.channel.request_word());
    }
    std::optional<StartFailure> failure = await_ready(instance, instance.started_us);
    instance.init_us = now_us() - instance.started_us;
    if (failure) {
        failure->init_us = instance.init_us;
        return failure;
    }
    if (const Result<meter::CgroupUse> primed = instance.meter.prime(); primed) {
        instance.cpu_seen_us = primed->cpu_us;
    }
    return std::nullopt;
}

std::optional<StartFailure> Manager::await_ready(Instance& instance, std::int64_t begun_us) {
    for (;;) {
        const Result<Channel::Answer> answer = instance.channel.take_answer();
        const bool is_ready = answer && answer->kind == HAKO_RESPONSE_READY;
        if (is_ready && !instance.gone) {
            note_answer(instance);
            return std::nullopt;
        }
        // Ready and dead since: an idle instance must be alive, for nobody tells of its end again.
        if (answer && !is_ready) {
            return StartFailure{
                .kind = StartFailure::Kind::kReported, .payload = std::string(answer->payload)
            };
        }
        const bool is_garbage = !answer && answer.error().code == Errc::kProtocol;
        if (is_garbage || instance.rings_too_much) {
            return StartFailure{.kind = StartFailure::Kind::kGarbage};
        }
        if (instance.gone && instance.gone->reason == spawner::kGoneSetupFailed) {
            return sandbox_failure(instance.gone->step, instance.gone->sys_errno);
        }
        if (instance.gone && instance.gone->reason == spawner::kGoneSpawnerLost) {
            return spawner_lost(instance.gone->step);
        }
        if (instance.gone) {
            return StartFailure{.kind = StartFailure::Kind::kExited, .gone = *instance.gone};
        }
        const Result<void> waited = loop_.park_until(begun_us + options_.init_timeout_us);
        if (!waited && waited.error().code == Errc::kTimeout) {
            return StartFailure{.kind = StartFailure::Kind::kTimedOut};
        }
        if (!waited) {
            return sandbox_failure("the engine is stopping", 0);
        }
    }
}

void Manager::fail_start(VersionRuntime& version, Instance* instance, StartFailure failure) {
    const std::int64_t now = loop_.turn_now_us();
    ++version.failed_starts_count;
    const std::uint32_t doublings = std::min(version.failed_starts_count - 1, 6U);
    version.start_not_before_us =
        now + std::min(kRestartBackoffUs << doublings, kRestartBackoffMaxUs);
    if (failure.kind == StartFailure::Kind::kSandbox) {
        observe::log_line(
            observe::Level::kError,
            "instance",
            "sandbox failed function={} step={:?} errno={}",
            version.function->name,
            failure.step,
            failure.sys_errno
        );
    }
    const dispatch::InstanceId id = instance != nullptr ? instance->id : dispatch::kNoInstance;
    if (instance != nullptr) {
        drain_log(*instance);
    }
    if (dispatch::Waiter* waiter = version.pool.instance_lost(id, true, false)) {
        auto& pending = static_cast<PendingInvocation&>(*waiter);
        pending.start_failure = std::move(failure);
        loop_.scheduler().unpark(pending.fiber);
    }
    if (instance != nullptr) {
        end_in_background(*instance);
    }
    settle(version);
}

// ---- giving and taking back ----

void Manager::give(VersionRuntime& version, Instance& instance, dispatch::Waiter* waiter) {
    if (waiter != nullptr) {
        instance.state = Instance::State::kBusy;
        loop_.scheduler().unpark(static_cast<PendingInvocation&>(*waiter).fiber);
        return;
    }
    instance.state = Instance::State::kIdle;
    instance.owner = {};
    instance.idle_since_us = loop_.turn_now_us();
    arm_freeze(instance);
    if (ending_ || version.replaced) {
        while (const auto idle = version.pool.take_idle()) {
            end_in_background(this->instance(*idle));
        }
    }
}

void Manager::release(Instance& instance, std::int64_t busy_us) {
    ENSURE(instance.state == Instance::State::kBusy, "only a busy instance is released");
    VersionRuntime& version = *instance.version;
    if (instance.gone || instance.rings_too_much) {
        discard(instance);  // it answered and died at once, or must
        return;
    }
    version.start_pace.answered();
    give(
        version,
        instance,
        version.pool.instance_free(instance.id, loop_.turn_now_us(), busy_us, false)
    );
    if (version.pool.waiting_count() > 0 || !version.due_timer.is_armed() || version.replaced) {
        settle(version);
    }
}

void Manager::discard(Instance& instance) {
    ENSURE(instance.state == Instance::State::kBusy, "only a busy instance is discarded");
    VersionRuntime& version = *instance.version;
    (void)version.pool.instance_lost(instance.id, false, true);  // nobody is told: it was in use
    version.start_pace.lost(loop_.turn_now_us());
    end_in_background(instance);
    settle(version);
}

void Manager::drain_log(Instance& instance) {
    const int fd = instance.sandbox.fds[spawner::kFdLogPipe].get();
    if (fd < 0) {
        return;
    }
    for (int reads = 0; reads < kPipeReadsMax; ++reads) {
        const ssize_t got_bytes = ::read(fd, pipe_buffer_.data(), pipe_buffer_.size());
        if (got_bytes <= 0) {
            return;  // empty, or every writer is gone
        }
        instance.has_logged = true;
        instance.log.feed({pipe_buffer_.data(), static_cast<std::size_t>(got_bytes)});
        if (on_log_written) {
            on_log_written();
        }
        if (static_cast<std::size_t>(got_bytes) < pipe_buffer_.size()) {
            return;  // a full pipe gives a full buffer
        }
    }
    // It writes as fast as we read. A new watch tells of what is left.
    pause_log(instance);
}

void Manager::append_log(VersionRuntime& version, std::string_view lines) {
    logs_.append(version.log, lines);
    if (on_log_written) {
        on_log_written();
    }
}

// ---- ending ----

void Manager::end_in_background(Instance& instance) {
    ENSURE(instance.state != Instance::State::kEnding, "an instance is ended once");
    instance.state = Instance::State::kEnding;
    loop_.disarm(instance.freeze_timer);
    if (instance.frozen) {
        --frozen_count_;  // the spawner kills it as it is
    }
    ++instance.version->ending_count;
    ++ending_count_;
    const Result<fiber::FiberId> spawned =
        loop_.scheduler().spawn("instance-end", [this, &instance] { end_instance(instance); });
    ENSURE(spawned.has_value(), "the scheduler has room for a fiber per instance");
}

void Manager::end_instance(Instance& instance) {
    instance.owner = loop_.scheduler().self();
    if (!instance.gone) {
        (void)link_.destroy(instance.sandbox.sandbox_id);  // a dead spawner takes it along
    }
    while (!instance.gone) {
        (void)loop_.scheduler().park(true);  // Gone or the death of the spawner wakes it
    }
    drain_log(instance);
    instance.log.close();
    loop_.disarm(instance.log_timer);
    stop_watching(instance.doorbell_watch);
    stop_watching(instance.log_watch);
    while (instance.open_watches_count > 0) {
        (void)loop_.scheduler().park(true);  // the watches' own last completions wake it
    }
    const auto named = by_sandbox_.find(instance.sandbox.sandbox_id);
    if (named != by_sandbox_.end() && named->second == &instance) {
        by_sandbox_.erase(named);  // else the next spawner has given that id to another one
    }
    VersionRuntime& version = *instance.version;
    const dispatch::InstanceId id = instance.id;
    instances_[id].reset();
    free_ids_.push_back(id);
    --live_count_;
    --version.ending_count;
    --ending_count_;
    forget_if_done(version);
    loop_.scheduler().unpark(end_waiter_);
}

void Manager::on_gone(const spawner::Gone& gone) {
    const auto found = by_sandbox_.find(gone.sandbox_id);
    if (found == by_sandbox_.end()) {
        return;  // one that was given back before it had an instance
    }
    Instance& dead = *found->second;
    dead.gone = gone;
    if (dead.state == Instance::State::kIdle) {
        VersionRuntime& version = *dead.version;
        (void)version.pool.instance_lost(dead.id, false, false);  // idle: nobody to tell
        end_in_background(dead);
        settle(version);
        return;
    }
    loop_.scheduler().unpark(dead.owner);
}

std::size_t Manager::end_all(std::int64_t deadline_us) {
    ending_ = true;
    for (auto& [id, version] : versions_) {
        while (const auto idle = version->pool.take_idle()) {
            end_in_background(instance(*idle));
        }
    }
    end_waiter_ = loop_.scheduler().self();
    while (live_count_ > 0) {
        if (const Result<void> waited = loop_.park_until(deadline_us); !waited) {
            break;
        }
    }
    end_waiter_ = {};
    return live_count_;
}

}  // namespace hako::instance
