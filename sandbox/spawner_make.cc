#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <numeric>

#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "sandbox/spawner.h"
#include "sandbox/syscalls.h"

// How a sandbox comes to be: slot and spawner's resources -> namespaces from the helper -> plan to
// a zygote -> pid from the zygote -> init and worker report that they are confined -> blank. Many
// are under way at once; no step waits.
namespace hako::sandbox {

using namespace hako::spawner;

namespace {

constexpr std::int64_t kReadyTimeoutUs = 10'000'000;
// Below the 10 packets that a Unix socket queues (net.unix.max_dgram_qlen), so that neither we nor
// a helper ever blocks in a send; more would not make sandboxes faster on any number of cores
// tried.
constexpr std::uint32_t kInFlightMax = 8;

}  // namespace

bool Spawner::has_room() const {
    const std::uint32_t making = std::accumulate(making_count_.begin(), making_count_.end(), 0U);
    return making < kInFlightMax;
}

bool Spawner::wants_blank(RuntimeKind runtime) const {
    const auto kind = static_cast<std::size_t>(runtime);
    return pools_[kind].size() + making_count_[kind] < settings_.pool_targets[kind] &&
           runtime_available(runtime);
}

bool Spawner::is_making() const {
    return std::ranges::any_of(making_count_, [](std::uint32_t count) { return count > 0; });
}

bool Spawner::wants_refill() const {
    return !exit_code_ && started_ && waiting_.empty() && has_room() && !free_slots_.empty() &&
           now_us() >= no_refill_until_us_ &&
           (wants_blank(RuntimeKind::kNative) || wants_blank(RuntimeKind::kExecutable) ||
            wants_blank(RuntimeKind::kPython));
}

// The sandbox just given starts its function now: building the next one beside it would take the
// processor and the memory bus from that start. Unless blanks are running out.
bool Spawner::may_refill() const {
    if (!wants_refill()) {
        return false;
    }
    if (now_us() >= quiet_until_us_) {
        return true;
    }
    for (std::size_t kind = 0; kind < pools_.size(); ++kind) {
        if (pools_[kind].size() * 2 < settings_.pool_targets[kind] &&
            wants_blank(static_cast<RuntimeKind>(kind))) {
            return true;
        }
    }
    return false;
}

void Spawner::refill() {
    for (const auto runtime :
         {RuntimeKind::kNative, RuntimeKind::kExecutable, RuntimeKind::kPython}) {
        if (may_refill() && wants_blank(runtime)) {
            (void)begin_make(runtime);  // make_failed has logged it and paused refilling
        }
    }
}

/// Acquires that found no blank: makes are under way for each of them.
void Spawner::serve_waiting() {
    if (!started_ || exit_code_) {
        return;
    }
    std::array<std::uint32_t, kRuntimeKindCount> wanted = {};
    std::deque<Acquire> still;
    for (const Acquire& request : std::exchange(waiting_, {})) {
        const auto kind = static_cast<std::size_t>(request.runtime);
        if (!pools_[kind].empty()) {
            const std::uint32_t slot = pools_[kind].back();
            pools_[kind].pop_back();
            grant(records_[slot], request);
            continue;
        }
        std::optional<StepError> error;
        if (!runtime_available(request.runtime)) {
            error = StepError{.step = Step::kZygoteGone, .sys_errno = ENOSYS};
        } else if (++wanted[kind] > making_count_[kind] && has_room()) {
            error = begin_make(request.runtime);
        }
        if (error) {
            refuse(request, *error);
        } else {
            still.push_back(request);
        }
    }
    waiting_.insert(waiting_.begin(), still.begin(), still.end());
}

Record* Spawner::take_slot() {
    if (free_slots_.empty()) {
        return nullptr;
    }
    Record& record = records_[free_slots_.back()];
    free_slots_.pop_back();
    ENSURE(record.state == RecordState::kFree, "a free slot was not free");
    record.state = RecordState::kMaking;
    ++record.generation;
    record.reason = kGoneExited;
    record.kill_sent = false;
    record.was_acquired = false;
    record.error = {};
    record.wait_status = 0;
    record.usage = {};
    record.init_pid = 0;
    record.deadline_us = now_us() + kReadyTimeoutUs;
    ++used_slots_count_;
    return &record;
}

std::optional<StepError> Spawner::begin_make(RuntimeKind runtime) {
    Record* record = take_slot();
    if (record == nullptr) {
        return StepError{.step = Step::kSlot, .sys_errno = EAGAIN};
    }
    record->runtime = runtime;
    ++making_count_[static_cast<std::size_t>(runtime)];
    if (const StepError error = make_resources(*record, tree_, settings_.ids);
        error.step != Step::kNone) {
        make_failed(*record, error);
        return error;
    }
    const NamespacesRequest request{
        .slot = record->slot,
        .generation = record->generation,
        .want_user = record->user_namespace ? 0U : 1U,
        .host_id = settings_.ids.worker(record->slot),
    };
    if (auto sent = send_struct(helper_.socket.get(), request); !sent) {
        const StepError error{.step = Step::kMakeNamespaces, .sys_errno = sent.error().sys_errno};
        make_failed(*record, error);
        return error;
    }
    return std::nullopt;
}

void Spawner::on_namespaces() {
    NamespacesAnswer answer;
    auto packet =
        receive_packet(helper_.socket.get(), std::as_writable_bytes(std::span(&answer, 1)));
    if (!packet || packet->bytes != sizeof(answer)) {
        if (!exit_code_) {
            log_line("the namespace helper is gone, stopping");
            stop(kExitSystem);
        }
        helper_.socket.reset();
        for (Record& record : records_) {
            if (record.state == RecordState::kMaking && record.zygote_index == UINT32_MAX) {
                make_failed(record, {.step = Step::kMakeNamespaces, .sys_errno = EPIPE});
            }
        }
        return;
    }
    ENSURE(answer.slot < records_.size(), "the namespace helper invented a slot");
    Record& record = records_[answer.slot];
    ENSURE(
        record.state == RecordState::kMaking && record.generation == answer.generation,
        "the namespace helper answered for a slot that did not ask"
    );
    if (answer.sys_errno != 0) {
        make_failed(record, {.step = Step::kMakeNamespaces, .sys_errno = answer.sys_errno});
        return;
    }
    record.net = std::move(packet->fds[0]);
    if (answer.has_user != 0) {
        record.user_namespace = std::move(packet->fds[1]);
    }
    const StepError error =
        exit_code_ ? StepError{.step = Step::kSendPlan, .sys_errno = ECANCELED} : send_plan(record);
    if (error.step != Step::kNone) {
        make_failed(record, error);
    }
}

StepError Spawner::send_plan(Record& record) {
    Zygote* zygote = pick_zygote(record.runtime);
    if (zygote == nullptr) {
        return {.step = Step::kZygoteGone, .sys_errno = ENOSYS};
    }
    const auto join = record.cgroup.join_fds();
    const Plan plan{
        .slot = record.slot,
        .generation = record.generation,
        .runtime = record.runtime,
        .init_id = settings_.ids.init(record.slot),
        .shares_id = settings_.ids.is_shared ? 1U : 0U,
        .join_fds_count = static_cast<std::uint32_t>(join.size()),
        .join_by_clone = tree_.version() == 2 ? 1U : 0U,
    };
    std::array<int, kPlanFdCount + kJoinFdsMax> fds = {
        record.channel.get(),
        record.doorbell.get(),
        record.log_write.get(),
        record.report.get(),
        record.user_namespace.get(),
        record.net.get(),
    };
    ENSURE(join.size() <= kJoinFdsMax, "more cgroup hierarchies than a plan holds");
    for (std::size_t i = 0; i < join.size(); ++i) {
        fds[kPlanFdCount + i] = join[i].get();
    }
    const auto all = std::span<const int>(fds).first(kPlanFdCount + join.size());
    if (auto sent = send_struct(zygote->process.socket.get(), plan, all); !sent) {
        return {.step = Step::kSendPlan, .sys_errno = sent.error().sys_errno};
    }
    record.zygote_index = static_cast<std::uint32_t>(zygote - zygotes_.data());
    ++zygote->in_flight_count;
    record.net.reset();
    record.log_write.reset();
    record.cgroup.drop_join_fds();
    return {};
}

void Spawner::on_made(std::uint32_t zygote_index) {
    Zygote& zygote = zygotes_[zygote_index];
    Made made;
    const auto packet =
        receive_packet(zygote.process.socket.get(), std::as_writable_bytes(std::span(&made, 1)));
    if (!packet || packet->bytes != sizeof(made)) {
        on_zygote_gone(zygote_index);
        return;
    }
    on_made_message(zygote, made);
}

void Spawner::on_made_message(Zygote& zygote, const Made& made) {
    if (made.slot == kHello) {
        zygote.ready = true;
        announce_start();
        return;
    }
    ENSURE(made.slot < records_.size() && zygote.in_flight_count > 0, "a zygote invented a slot");
    --zygote.in_flight_count;
    Record& record = records_[made.slot];
    ENSURE(
        record.state == RecordState::kMaking && record.generation == made.generation,
        "a zygote answered for a slot that did not ask"
    );
    if (made.sys_errno != 0) {
        make_failed(record, {.step = Step::kClone, .sys_errno = made.sys_errno});
        return;
    }
    record.init_pid = made.pid;
    record.pidfd.reset(sys::pidfd_open(made.pid));
    ENSURE(static_cast<bool>(record.pidfd), "a child of ours could not be opened");
    watch(record.report.get(), Source::kReport, record.slot, true);
    watch(record.pidfd.get(), Source::kInit, record.slot);
    if (exit_code_ || record.kill_sent) {
        record.kill_sent = false;
        kill_sandbox(record);
    }
}

void Spawner::on_report(Record& record) {
    std::uint64_t value = 0;
    if (!record.report || ::read(record.report.get(), &value, sizeof(value)) != sizeof(value)) {
        return;  // read already, or the slot has moved on within this turn
    }
    record.report_value |= value;
    if (record.state == RecordState::kMaking && !record.kill_sent &&
        (record.report_value & Report::kReady) == Report::kReady) {
        on_ready(record);
    }
}

void Spawner::on_ready(Record& record) {
    const auto kind = static_cast<std::size_t>(record.runtime);
    record.state = RecordState::kBlank;
    --making_count_[kind];
    ++made_count_;
    failures_in_row_ = 0;
    pools_[kind].push_back(record.slot);
}

/// Nothing runs in it (any more): the rest goes, and whoever waited for it hears why.
void Spawner::make_failed(Record& record, StepError error) {
    ENSURE(record.state == RecordState::kMaking, "only a make can fail to make");
    --making_count_[static_cast<std::size_t>(record.runtime)];
    record.error = error;
    if (!exit_code_) {
        log_line(
            "making sandbox %u failed at %s: %s",
            record.slot,
            step_name(error.step).data(),
            std::strerror(error.sys_errno)
        );
        ++failures_in_row_;
        const std::int64_t pause_us = 50'000LL << std::min(failures_in_row_, 7U);
        no_refill_until_us_ = now_us() + pause_us;
        const auto waits = [&record](const Acquire& request) {
            return request.runtime == record.runtime;
        };
        if (const auto found = std::ranges::find_if(waiting_, waits); found != waiting_.end()) {
            refuse(*found, error);
            waiting_.erase(found);
        }
    }
    begin_removal(record);
}

void Spawner::check_deadlines() {
    if (std::ranges::all_of(making_count_, [](std::uint32_t count) { return count == 0; })) {
        return;
    }
    const std::int64_t now = now_us();
    for (Record& record : records_) {
        if (record.state == RecordState::kMaking && now > record.deadline_us && !record.kill_sent) {
            log_line("sandbox %u did not become ready in time", record.slot);
            record.error = {.step = Step::kReadyTimeout, .sys_errno = ETIMEDOUT};
            kill_sandbox(record);
        }
    }
}

}  // namespace hako::sandbox
