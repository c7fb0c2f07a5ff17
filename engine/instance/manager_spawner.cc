#include <string_view>

#include "engine/base/clock.h"
#include "engine/instance/manager.h"
#include "engine/observe/engine_log.h"

// How the instances of all versions outlive the death of a spawner: they do not, but what waits for
// a start gets one from the next spawner.
namespace hako::instance {
namespace {

// How long a start waits for a dead spawner's successor, which takes well under a second.
constexpr std::int64_t kSpawnerWaitUs = 15'000'000;

}  // namespace

void Manager::start_instance(VersionRuntime& version) {
    const std::int64_t give_up_us = now_us() + kSpawnerWaitUs;
    while (!try_start(version, give_up_us)) {
    }
}

/// False: the spawner died under it, and there is time for another try. Nothing was handed to the
/// instance but its environment, so no invocation runs twice.
bool Manager::try_start(VersionRuntime& version, std::int64_t give_up_us) {
    auto made = make_instance(version, give_up_us);
    Instance* const started = made ? *made : nullptr;
    std::optional<StartFailure> failure =
        made ? initialise(*started) : std::optional(std::move(made).error());
    if (!failure) {
        begin_service(*started);
        return true;
    }
    if (failure->kind == StartFailure::Kind::kSpawnerLost && now_us() < give_up_us) {
        if (started != nullptr) {
            end_in_background(*started);
        }
        return false;
    }
    fail_start(version, started, *std::move(failure));
    return true;
}

void Manager::begin_service(Instance& started) {
    VersionRuntime& version = *started.version;
    version.failed_starts_count = 0;
    version.start_not_before_us = 0;
    observe::log_line(
        observe::Level::kDebug,
        "instance",
        "ready function={} sandbox={} acquire_us={} init_us={}",
        version.function->name,
        started.sandbox.sandbox_id,
        started.acquired_us - started.started_us,
        started.init_us
    );
    give(version, started, version.pool.instance_free(started.id, loop_.turn_now_us(), -1, true));
    settle(version);
}

void Manager::on_spawner_down() {
    spawner::Gone gone{.reason = spawner::kGoneSpawnerLost};
    constexpr std::string_view kStep = "the spawner went away";
    static_assert(kStep.size() < sizeof(gone.step));
    kStep.copy(gone.step, kStep.size());
    by_sandbox_.clear();  // the next spawner begins its numbers anew
    for (const auto& entry : instances_) {
        if (entry == nullptr || entry->gone) {
            continue;
        }
        entry->gone = gone;
        if (entry->state == Instance::State::kIdle) {
            (void)entry->version->pool.instance_lost(entry->id, false, false);
            end_in_background(*entry);
        } else {
            loop_.scheduler().unpark(entry->owner);
        }
    }
    // Provisioned instances come back: their starts wait for the next spawner.
    for (const auto& [id, version] : versions_) {
        settle(*version);
    }
}

}  // namespace hako::instance
