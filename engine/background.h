#pragma once

#include <cstdint>

#include "engine/meter/ledger.h"
#include "engine/observe/function_logs.h"
#include "engine/registry/control_service.h"
#include "engine/ring/loop.h"

namespace hako {

/// Runs what blocks on an offload thread while the calling fiber parks.
class OffloadRunner final : public registry::BlockingRunner {
public:
    explicit OffloadRunner(ring::Loop& loop) : loop_(loop) {}
    void run(std::move_only_function<void()>&& work) override { loop_.offload(std::move(work)); }

private:
    ring::Loop& loop_;
};

/// Work that follows invocations at a distance, off the loop: syncs the ledger, makes its next
/// segment, writes the function logs. Timers are armed only while there is something to do: an idle
/// engine does not wake.
class Background {
public:
    struct Intervals {
        std::int64_t ledger_sync_us = 0;
        std::int64_t log_flush_us = 0;
    };
    Background(
        ring::Loop& loop,
        meter::Ledger& ledger,
        observe::FunctionLogs& logs,
        const Intervals& intervals
    );
    ~Background();
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    /// A ledger record was appended or log text is waiting. Cheap.
    void wake();
    /// Whether an offload thread has some of it in its hands: turn the loop until it is back.
    [[nodiscard]] bool is_busy() const noexcept { return syncing_ || preparing_ || flushing_; }
    /// Everything to the disk, blocking: at the end, when not busy (what a flush has taken is not
    /// here to be written). Errors: the first one.
    [[nodiscard]] Result<void> finish();

private:
    void sync_ledger();
    void prepare_segment();
    void flush_logs();
    void spawn(const char* name, void (Background::*work)());

    ring::Loop& loop_;
    meter::Ledger& ledger_;
    observe::FunctionLogs& logs_;
    Intervals intervals_;
    ring::Timer ledger_timer_;
    ring::Timer log_timer_;
    ring::Timer segment_timer_;
    bool syncing_ = false;
    bool preparing_ = false;
    bool flushing_ = false;
};

}  // namespace hako
