#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

// Function logs: STATE/log/<function>/YYYY-MM-DD.log (UTC), append-only. The loop copies text into
// bounded buffers; an offload thread writes it. Hand-over is by batch, so there is no lock.
namespace hako::observe {

struct FunctionLogsOptions {
    std::string directory;                      // STATE/log; made (0700) if missing
    std::size_t buffer_bytes_max = 2U << 20U;   // waiting text per function
    std::size_t buffers_bytes_max = 8U << 20U;  // waiting text of all functions
    std::uint64_t file_bytes_max = 64U << 20U;  // then .log becomes .log.1
    std::uint32_t rotations_max = 5;            // .log.1 to .log.5
    std::uint32_t retention_days = 14;          // 0: keep for ever
};

struct LogFile;
/// Names an open log; valid as long as the FunctionLogs. nullptr: none.
using LogHandle = LogFile*;

/// Text that left the buffers and is on its way to the files. Made and given back on the loop,
/// written on an offload thread.
class FlushBatch {
public:
    /// Blocks: writes everything. What cannot be written is dropped and counted; a later write puts
    /// a marker line where it is missing. Returns the first error.
    [[nodiscard]] Result<void> write();

private:
    friend class FunctionLogs;
    struct Item {
        LogFile* file = nullptr;
        std::string text;
        std::uint64_t dropped_bytes = 0;  // before `text`
        std::size_t text_bytes = 0;       // of `text`, before any marker
        std::size_t lost_bytes = 0;       // of `text`: could not be written
    };
    [[nodiscard]] Result<void> write_item(Item& item) const;
    std::vector<Item> items_;
    std::int64_t day_ = 0;
    const FunctionLogsOptions* options_ = nullptr;
    int directory_fd_ = -1;
};

class FunctionLogs {
public:
    /// Errors: kSystem, with the directory's step.
    [[nodiscard]] static Result<std::unique_ptr<FunctionLogs>> make(
        const FunctionLogsOptions& options
    );
    ~FunctionLogs();
    FunctionLogs(const FunctionLogs&) = delete;
    FunctionLogs& operator=(const FunctionLogs&) = delete;

    /// The handle of a function's log; the same one each time. No system call. Errors: kInvalid (a
    /// name that is not 1 to 64 of letters, digits, '-' and '_').
    [[nodiscard]] Result<LogHandle> open(std::string_view function);
    /// Copies whole lines (`text` ends with a newline). Never blocks, never fails: what does not
    /// fit is dropped whole and counted, and the file shows `[hako: N bytes of log dropped]` there.
    void append(LogHandle log, std::string_view text);

    /// Text is waiting.
    [[nodiscard]] bool dirty() const noexcept { return !dirty_files_.empty(); }
    /// Takes what is waiting; nullptr if nothing is, or if the batch before has not been given
    /// back. The text goes to the file of the day of `wall_us`.
    [[nodiscard]] std::unique_ptr<FlushBatch> take_flush_batch(std::int64_t wall_us);
    /// Gives a written batch back, on the loop.
    void finish_flush(std::unique_ptr<FlushBatch> batch);
    /// All three in one go, blocking: for shutdown and tests.
    [[nodiscard]] Result<void> flush(std::int64_t wall_us);

    /// Blocks: deletes files older than the retention. May run on an offload thread at any time.
    /// Returns how many it deleted.
    [[nodiscard]] Result<std::uint32_t> remove_expired(std::int64_t wall_us) const;

    [[nodiscard]] std::uint64_t dropped_bytes() const noexcept { return dropped_bytes_; }
    [[nodiscard]] std::uint64_t written_bytes() const noexcept { return written_bytes_; }

private:
    explicit FunctionLogs(const FunctionLogsOptions& options);
    void mark_dirty(LogFile& file);
    FunctionLogsOptions options_;
    UniqueFd directory_;
    std::unordered_map<std::string, std::unique_ptr<LogFile>> files_;
    std::vector<LogFile*> dirty_files_;  // each once: LogFile::dirty
    std::size_t waiting_bytes_ = 0;
    bool flushing_ = false;
    std::uint64_t dropped_bytes_ = 0;
    std::uint64_t written_bytes_ = 0;
};

/// `/aws/lambda/NAME`
[[nodiscard]] std::string log_group_name(std::string_view function);
/// `YYYY/MM/DD/[$LATEST]<32 hex>`: `hex32` are 32 random hex characters, one set per sandbox.
[[nodiscard]] std::string log_stream_name(
    std::int64_t wall_us, std::uint32_t version, std::string_view hex32
);

}  // namespace hako::observe
