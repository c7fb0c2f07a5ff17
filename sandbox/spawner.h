#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "sandbox/cgroup.h"
#include "sandbox/child_process.h"
#include "sandbox/outbox.h"
#include "sandbox/record.h"
#include "sandbox/settings.h"
#include "sandbox/validate.h"

namespace hako::sandbox {

/// The spawner's loop: pools of blanks, requests of the engine, deaths. One thread, one epoll.
/// spawner.cc has the loop and the engine's requests, spawner_make.cc how a sandbox comes to be,
/// spawner_end.cc how it goes, spawner_helpers.cc zygotes and the namespace helper.
class Spawner {
public:
    /// What the engine is told of the start.
    struct Found {
        std::uint32_t leftovers_count = 0;
        std::uint32_t walls_missing = 0;  // bits of spawner::Wall
    };
    Spawner(Settings settings, CgroupTree tree, Found found);

    /// Serves until the engine goes away (kExitOk) or something makes it impossible. Every sandbox
    /// and cgroup is gone when it returns.
    [[nodiscard]] int run();

private:
    enum class Source : std::uint32_t { kEngine, kSignals, kHelper, kZygote, kInit, kReport };
    struct Zygote {
        ChildProcess process;
        bool python = false;
        bool ready = false;
        bool failed = false;
        std::int64_t started_us = 0;
        std::uint32_t deaths_count = 0;  // soon after a start, in a row
        std::uint32_t in_flight_count = 0;
    };

    // spawner.cc
    [[nodiscard]] Result<void> start();
    void turn();
    void dispatch(std::uint64_t key);
    [[nodiscard]] int wait_ms() const;
    void on_engine();
    void on_request(const spawner::Acquire& request);
    void on_request(const spawner::Destroy& request);
    void on_request(const spawner::PoolTarget& request);
    void on_request(const spawner::StatsRequest& request);
    void grant(Record& record, const spawner::Acquire& request);
    void refuse(const spawner::Acquire& request, StepError error);
    void stop(int exit_code);
    void watch(int fd, Source source, std::uint32_t index, bool edge = false);
    void watch_outbox();
    void announce_start();
    template <typename T>
    void tell_engine(const T& value, std::vector<UniqueFd> fds = {});

    // spawner_make.cc
    void refill();
    [[nodiscard]] bool has_room() const;
    [[nodiscard]] bool wants_blank(spawner::RuntimeKind runtime) const;
    [[nodiscard]] bool wants_refill() const;
    [[nodiscard]] bool is_making() const;
    [[nodiscard]] bool may_refill() const;
    [[nodiscard]] std::optional<StepError> begin_make(spawner::RuntimeKind runtime);
    [[nodiscard]] Record* take_slot();
    void on_namespaces();
    [[nodiscard]] StepError send_plan(Record& record);
    void on_made(std::uint32_t zygote_index);
    void on_made_message(Zygote& zygote, const Made& made);
    void on_report(Record& record);
    void on_ready(Record& record);
    void make_failed(Record& record, StepError error);
    void serve_waiting();
    void check_deadlines();

    // spawner_end.cc
    void kill_sandbox(Record& record);
    void on_init_exit(Record& record);
    void begin_removal(Record& record);
    void sweep_removals();
    void finish(Record& record);

    // spawner_helpers.cc
    [[nodiscard]] Result<void> start_zygote(std::uint32_t index);
    [[nodiscard]] Result<void> start_helper();
    void on_zygote_gone(std::uint32_t index);
    void adopt_orphan(Record& record);
    void reap_unknown();
    void kill_unknown();
    [[nodiscard]] Zygote* pick_zygote(spawner::RuntimeKind runtime);
    [[nodiscard]] bool runtime_available(spawner::RuntimeKind runtime) const;
    void stop_helpers();

    Settings settings_;
    CgroupTree tree_;
    std::uint32_t leftovers_count_;
    std::uint32_t walls_missing_;
    UniqueFd epoll_;
    UniqueFd signals_;
    UniqueFd own_mounts_;
    UniqueFd code_dir_;
    ChildProcess helper_;
    std::vector<Zygote> zygotes_;
    std::vector<Record> records_;
    std::vector<std::uint32_t> free_slots_;
    std::vector<std::uint32_t> removing_slots_;
    std::array<std::vector<std::uint32_t>, spawner::kRuntimeKindCount> pools_;
    std::array<std::uint32_t, spawner::kRuntimeKindCount> making_count_ = {};
    std::deque<spawner::Acquire> waiting_;
    Outbox outbox_;
    std::uint32_t used_slots_count_ = 0;  // not kFree
    std::uint32_t live_count_ = 0;        // kAcquired
    std::uint64_t made_count_ = 0;
    std::uint64_t destroyed_count_ = 0;
    std::uint32_t failures_in_row_ = 0;
    std::int64_t no_refill_until_us_ = 0;  // after a failed make
    std::int64_t quiet_until_us_ = 0;      // after a grant
    bool engine_was_active_ = false;
    bool engine_gone_ = false;
    bool outbox_watched_ = false;
    bool started_ = false;
    std::optional<int> exit_code_;  // set: stopping
    std::int64_t stop_deadline_us_ = 0;
};

/// One line on standard error.
void log_line(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace hako::sandbox
