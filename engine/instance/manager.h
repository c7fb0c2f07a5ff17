#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/dispatch/start_pace.h"
#include "engine/dispatch/version_pool.h"
#include "engine/instance/failure_text.h"
#include "engine/instance/instance.h"
#include "engine/instance/spawner_link.h"
#include "engine/meter/ledger_record.h"
#include "engine/meter/request_id.h"
#include "engine/observe/function_logs.h"
#include "engine/registry/function_version.h"
#include "engine/ring/loop.h"

namespace hako::instance {

class Manager;

/// Why a start failed, for the invocation that is told of it.
struct StartFailure {
    enum class Kind : std::uint8_t {
        kReported,     ///< the runtime said so: `payload` is its error JSON
        kExited,       ///< the runtime ended during init: `gone`
        kTimedOut,     ///< init took longer than the limit
        kGarbage,      ///< the worker broke the channel protocol
        kSandbox,      ///< not the function's doing: the sandbox could not be made (`step`,
                       ///< `sys_errno`)
        kCancelled,    ///< the invocation was given up while it waited
        kLimit,        ///< the engine has as many instances as it may
        kSpawnerLost,  ///< the spawner died meanwhile; tried again with the next one
    };
    Kind kind = Kind::kSandbox;
    std::string payload;
    spawner::Gone gone;
    std::string step;
    int sys_errno = 0;
    std::int64_t init_us = 0;
};

/// An invocation on its way to an instance.
struct PendingInvocation : dispatch::Waiter {
    fiber::FiberId fiber;
    std::optional<StartFailure> start_failure;
};

/// What the engine holds for one function version that was ever invoked or is provisioned.
struct VersionRuntime {
    VersionRuntime(
        Manager& manager_, registry::FunctionRef function_, const dispatch::PoolLimits& limits
    )
        : manager(manager_), function(std::move(function_)), pool(limits) {}

    Manager& manager;
    registry::FunctionRef function;
    dispatch::VersionPool pool;
    ring::Timer due_timer;  ///< next scale-out or retirement to look at
    observe::LogHandle log = nullptr;
    std::string log_group;
    std::string environment_base;  ///< the INIT block without what differs by instance
    meter::LedgerRecord ledger_template;
    dispatch::StartPace start_pace;
    std::uint32_t failed_starts_count = 0;  ///< in a row
    std::int64_t start_not_before_us =
        0;                           ///< back-off of starts nobody waits for, after a failed one
    std::uint32_t ending_count = 0;  ///< instances that left the pool but still name this
    bool replaced = false;  ///< a newer version took its place: serves what it has, then goes
};

struct ManagerOptions {
    std::string region = "us-east-1";
    std::uint32_t concurrency_max = 1000;
    std::uint32_t instances_max = 1000;
    std::int64_t idle_retire_us = 300'000'000;
    std::int64_t init_timeout_us = 10'000'000;
    std::optional<std::uint32_t> function_concurrency;
    /// An instance that has been idle for so long gets no processor time at all; nullopt: never
    /// frozen.
    std::optional<std::int64_t> freeze_grace_us = 1'000;
};

/// Carries out what dispatch decides: starts, keeps and ends the instances of every function
/// version.
class Manager {
public:
    Manager(
        ring::Loop& loop,
        SpawnerLink& link,
        observe::FunctionLogs& logs,
        const ManagerOptions& options
    );
    ~Manager();
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;

    /// The runtime of a version, made on first use.
    [[nodiscard]] VersionRuntime& runtime_of(const registry::FunctionRef& function);
    /// The registry changed (registry::ChangeHook).
    void on_change(const registry::FunctionRef& before, const registry::FunctionRef& after);
    /// Ready provisioned instances of a version.
    [[nodiscard]] std::uint32_t ready_count(const registry::FunctionVersion& function) const;

    /// Does what the pool wants done now: starts, retirements, the next timer. After each arrival
    /// that has to wait and each release.
    void settle(VersionRuntime& version);
    [[nodiscard]] Instance& instance(dispatch::InstanceId id) noexcept;
    /// Lets a frozen instance run again, before it is given anything to do: 7 us if it is frozen.
    void thaw(Instance& instance);
    [[nodiscard]] std::size_t frozen_count() const noexcept { return frozen_count_; }
    /// Its doorbell may ring again: it has answered.
    static void note_answer(Instance& instance) noexcept { instance.idle_rings_count = 0; }
    /// Hands a busy instance back; it goes to the next waiter or idles.
    void release(Instance& instance, std::int64_t busy_us);
    /// A busy instance that must not be used again: leaves the pool now, its sandbox is ended in
    /// the background.
    void discard(Instance& instance);
    /// Ends the sandbox of a busy instance while the fiber that has it is parked: it finds `gone`,
    /// and discards the instance.
    void end_early(const Instance& instance);
    /// Reads what the function has written so far into the instance's log.
    void drain_log(Instance& instance);
    /// Lines of the engine itself for a version's log, where there is no instance to have them.
    void append_log(VersionRuntime& version, std::string_view lines);
    /// The spawner reported the end of a sandbox.
    void on_gone(const spawner::Gone& gone);
    /// The spawner died: every instance has ended with it. Starts wait for the next spawner.
    void on_spawner_down();

    /// Ends every instance; parks until all are gone or the deadline. Returns how many are left.
    [[nodiscard]] std::size_t end_all(std::int64_t deadline_us);
    [[nodiscard]] std::size_t instance_count() const noexcept { return live_count_; }
    [[nodiscard]] std::size_t idle_count() const noexcept;
    /// Called after the last instance of a replaced version has gone (its code may be collected).
    std::function<void()> on_version_gone;
    /// Called when a function's output has gone into its log's buffer.
    std::function<void()> on_log_written;
    [[nodiscard]] const ManagerOptions& options() const noexcept { return options_; }

private:
    [[nodiscard]] dispatch::PoolLimits limits_of(const registry::FunctionVersion& function) const;
    void begin_start(VersionRuntime& version);
    void start_instance(VersionRuntime& version);
    [[nodiscard]] bool try_start(VersionRuntime& version, std::int64_t give_up_us);
    void begin_service(Instance& instance);
    [[nodiscard]] std::expected<Instance*, StartFailure> make_instance(
        VersionRuntime& version, std::int64_t give_up_us
    );
    [[nodiscard]] std::optional<StartFailure> initialise(Instance& instance);
    [[nodiscard]] Result<void> attach(Instance& instance);
    [[nodiscard]] bool make_room();
    [[nodiscard]] std::optional<StartFailure> await_ready(
        Instance& instance, std::int64_t begun_us
    );
    void fail_start(VersionRuntime& version, Instance* instance, StartFailure failure);
    void give(VersionRuntime& version, Instance& instance, dispatch::Waiter* waiter);
    void arm_freeze(Instance& instance);
    void look_at_freezing(Instance& instance);
    [[nodiscard]] bool write_freezer(const Instance& instance, bool frozen);
    void end_in_background(Instance& instance);
    void end_instance(Instance& instance);
    void watch(Instance& instance, ring::Watch& watch, int fd, ring::Watch::Callback on_events);
    void stop_watching(ring::Watch& watch);
    void on_doorbell(Instance& instance);
    void on_log_readable(Instance& instance);
    void pause_log(Instance& instance);
    void resume_log(Instance& instance);
    void forget_if_done(VersionRuntime& version);
    Instance& add_instance(VersionRuntime& version);

    ring::Loop& loop_;
    SpawnerLink& link_;
    observe::FunctionLogs& logs_;
    ManagerOptions options_;
    meter::RequestIdGenerator ids_;
    std::unordered_map<std::uint64_t, std::unique_ptr<VersionRuntime>> versions_;
    std::vector<std::unique_ptr<Instance>> instances_;  // by InstanceId
    std::vector<dispatch::InstanceId> free_ids_;
    std::unordered_map<std::uint64_t, Instance*> by_sandbox_;
    std::vector<char> pipe_buffer_;
    std::size_t live_count_ = 0;
    std::size_t frozen_count_ = 0;
    std::size_t acquiring_count_ = 0;  // starts that wait for their sandbox
    std::size_t ending_count_ = 0;     // of the live: on their way out
    bool ending_ = false;
    fiber::FiberId end_waiter_;
};

}  // namespace hako::instance
