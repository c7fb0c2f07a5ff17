#include "engine/background.h"

#include "engine/base/clock.h"
#include "engine/observe/engine_log.h"

namespace hako {
namespace {

// A full disk is looked at again after so long.
constexpr std::int64_t kRetrySegmentUs = 1'000'000;

void log_failure(const char* area, const Error& error) {
    observe::log_line(
        observe::Level::kError, area, "failed step={:?} errno={}", error.what, error.sys_errno
    );
}

}  // namespace

Background::Background(
    ring::Loop& loop, meter::Ledger& ledger, observe::FunctionLogs& logs, const Intervals& intervals
)
    : loop_(loop), ledger_(ledger), logs_(logs), intervals_(intervals) {
    ledger_timer_.owner = this;
    ledger_timer_.on_due = [](ring::Timer& timer) {
        static_cast<Background*>(timer.owner)->spawn("ledger-sync", &Background::sync_ledger);
    };
    segment_timer_.owner = this;
    segment_timer_.on_due = [](ring::Timer& timer) {
        static_cast<Background*>(timer.owner)
            ->spawn("ledger-segment", &Background::prepare_segment);
    };
    log_timer_.owner = this;
    log_timer_.on_due = [](ring::Timer& timer) {
        static_cast<Background*>(timer.owner)->spawn("log-flush", &Background::flush_logs);
    };
}

Background::~Background() {
    loop_.disarm(ledger_timer_);
    loop_.disarm(segment_timer_);
    loop_.disarm(log_timer_);
}

void Background::wake() {
    if (!ledger_timer_.is_armed() && !syncing_ && ledger_.dirty()) {
        loop_.arm(ledger_timer_, loop_.turn_now_us() + intervals_.ledger_sync_us);
    }
    if (ledger_.wants_segment() && !preparing_ && !segment_timer_.is_armed()) {
        loop_.arm(segment_timer_, loop_.turn_now_us());
    }
    if (!log_timer_.is_armed() && !flushing_ && logs_.dirty()) {
        loop_.arm(log_timer_, loop_.turn_now_us() + intervals_.log_flush_us);
    }
}

void Background::spawn(const char* name, void (Background::*work)()) {
    if (!loop_.scheduler().spawn(name, [this, work] { (this->*work)(); })) {
        wake();  // no fiber to be had right now: the next interval tries again
    }
}

void Background::sync_ledger() {
    syncing_ = true;
    Result<void> synced;
    loop_.offload([this, &synced] { synced = ledger_.sync(); });
    syncing_ = false;
    if (!synced) {
        log_failure("ledger", synced.error());
    }
    if (ledger_.dirty()) {
        loop_.arm(ledger_timer_, loop_.turn_now_us() + intervals_.ledger_sync_us);
    }
}

void Background::prepare_segment() {
    preparing_ = true;
    Result<void> prepared;
    loop_.offload([this, &prepared] { prepared = ledger_.prepare_next(); });
    preparing_ = false;
    if (!prepared) {
        log_failure("ledger", prepared.error());
        loop_.arm(segment_timer_, loop_.turn_now_us() + kRetrySegmentUs);
    }
}

void Background::flush_logs() {
    std::unique_ptr<observe::FlushBatch> batch = logs_.take_flush_batch(wall_us());
    if (batch == nullptr) {
        return;
    }
    flushing_ = true;
    Result<void> written;
    loop_.offload([&batch, &written] { written = batch->write(); });
    flushing_ = false;
    logs_.finish_flush(std::move(batch));
    if (!written) {
        log_failure("logs", written.error());
    }
    wake();
}

Result<void> Background::finish() {
    const Result<void> flushed = logs_.flush(wall_us());
    TRY(ledger_.sync());
    return flushed;
}

}  // namespace hako
