#include "engine/observe/function_logs.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/core.h>

#include "engine/base/ensure.h"
#include "engine/meter/bill.h"
#include "engine/meter/time_text.h"
#include "engine/observe/log_writer.h"

namespace hako::observe {
namespace {

constexpr std::size_t kFunctionNameBytesMax = 64;
// A buffer that grew larger is given back to the allocator after its flush, so that one burst does
// not stay in the engine's memory.
constexpr std::size_t kBufferKeptBytes = 16U << 10U;

bool is_function_name(std::string_view name) {
    return !name.empty() && name.size() <= kFunctionNameBytesMax &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_';
           });
}

}  // namespace

/// The loop's side of one function's log. The offload thread sees only `function`.
struct LogFile {
    std::string function;
    std::string waiting;
    std::uint64_t dropped_bytes = 0;       // before the next text
    std::uint64_t dropped_late_bytes = 0;  // behind `waiting`, which is full
    std::string spare;                     // an empty buffer to swap in
    bool dirty = false;
};

Result<void> FlushBatch::write_item(Item& item) const {
    const LogWritten written = write_log(
        LogPlace{
            .directory_fd = directory_fd_,
            .function = item.file->function,
            .day = day_,
            .file_bytes_max = options_->file_bytes_max,
            .rotations_max = options_->rotations_max,
        },
        item.dropped_bytes,
        item.text
    );
    item.lost_bytes = item.text.size() - written.text_bytes;
    if (written.marker_written) {
        item.dropped_bytes = 0;
    }
    if (written.failed) {
        return fail(written.error);
    }
    return {};
}

Result<void> FlushBatch::write() {
    Result<void> first;
    for (Item& item : items_) {
        auto done = write_item(item);
        if (!done && first) {
            first = done;
        }
    }
    return first;
}

FunctionLogs::FunctionLogs(const FunctionLogsOptions& options) : options_(options) {}
FunctionLogs::~FunctionLogs() = default;

Result<std::unique_ptr<FunctionLogs>> FunctionLogs::make(const FunctionLogsOptions& options) {
    if (::mkdir(options.directory.c_str(), 0700) < 0 && errno != EEXIST) {
        return fail_errno("make log directory");
    }
    std::unique_ptr<FunctionLogs> logs(new FunctionLogs(options));
    logs->directory_.reset(::open(options.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!logs->directory_) {
        return fail_errno("open log directory");
    }
    return logs;
}

Result<LogHandle> FunctionLogs::open(std::string_view function) {
    if (!is_function_name(function)) {
        return fail(Errc::kInvalid, "function name of a log");
    }
    auto& file = files_[std::string(function)];
    if (file == nullptr) {
        file = std::make_unique<LogFile>();
        file->function = function;
    }
    return file.get();
}

void FunctionLogs::mark_dirty(LogFile& file) {
    if (!file.dirty) {
        file.dirty = true;
        dirty_files_.push_back(&file);
    }
}

void FunctionLogs::append(LogHandle log, std::string_view text) {
    if (text.empty()) {
        return;
    }
    mark_dirty(*log);
    const bool fits = log->waiting.size() + text.size() <= options_.buffer_bytes_max &&
                      waiting_bytes_ + text.size() <= options_.buffers_bytes_max;
    // Once something was dropped, everything is until the next flush: the marker stands at one
    // place and what follows it is in order.
    if (!fits || log->dropped_late_bytes > 0) {
        log->dropped_late_bytes += text.size();
        dropped_bytes_ += text.size();
        return;
    }
    log->waiting += text;
    waiting_bytes_ += text.size();
}

std::unique_ptr<FlushBatch> FunctionLogs::take_flush_batch(std::int64_t wall_us) {
    if (flushing_ || dirty_files_.empty()) {
        return nullptr;
    }
    auto batch = std::make_unique<FlushBatch>();
    batch->day_ = meter::utc_day(wall_us);
    batch->options_ = &options_;
    batch->directory_fd_ = directory_.get();
    batch->items_.reserve(dirty_files_.size());
    for (LogFile* file : dirty_files_) {
        FlushBatch::Item& item = batch->items_.emplace_back();
        item.file = file;
        item.text.swap(file->spare);
        item.text.swap(file->waiting);
        item.dropped_bytes = file->dropped_bytes;
        file->dropped_bytes = std::exchange(file->dropped_late_bytes, 0);
        file->dirty = false;
    }
    dirty_files_.clear();
    flushing_ = true;
    // What a batch holds still counts as waiting until it is given back: the memory is in use.
    return batch;
}

void FunctionLogs::finish_flush(std::unique_ptr<FlushBatch> batch) {
    ENSURE(batch != nullptr && flushing_, "a flush batch came back twice");
    flushing_ = false;
    for (FlushBatch::Item& item : batch->items_) {
        LogFile& file = *item.file;
        waiting_bytes_ -= item.text.size();
        written_bytes_ += item.text.size() - item.lost_bytes;
        dropped_bytes_ += item.lost_bytes;
        // The marker for what was lost goes in front of the next text.
        file.dropped_bytes += item.dropped_bytes + item.lost_bytes;
        item.text.clear();
        if (item.text.capacity() <= kBufferKeptBytes) {
            file.spare.swap(item.text);
        }
        if (file.dropped_bytes > 0 && item.lost_bytes == 0) {
            mark_dirty(file
            );  // the disk works: let the reader see the gap without waiting for text
        }
    }
}

Result<void> FunctionLogs::flush(std::int64_t wall_us) {
    // Twice at most: the second round writes the marker of an overflow in the first.
    for (int round = 0; round < 2; ++round) {
        std::unique_ptr<FlushBatch> batch = take_flush_batch(wall_us);
        if (batch == nullptr) {
            break;
        }
        const auto done = batch->write();
        finish_flush(std::move(batch));
        if (!done) {
            return done;
        }
    }
    return {};
}

Result<std::uint32_t> FunctionLogs::remove_expired(std::int64_t wall_us) const {
    if (options_.retention_days == 0) {
        return 0;
    }
    const std::int64_t day_first = meter::utc_day(wall_us) - options_.retention_days + 1;
    UniqueFd fd(::openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
        return fail_errno("open log directory");
    }
    DIR* directory = ::fdopendir(fd.get());
    if (directory == nullptr) {
        return fail_errno("read log directory");
    }
    (void)fd.release();  // closedir closes it
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(directory)) {
        if (is_function_name(entry->d_name)) {
            names.emplace_back(entry->d_name);
        }
    }
    (void)::closedir(directory);  // nothing was written through it
    std::uint32_t removed_count = 0;
    for (const std::string& name : names) {
        TRY_ASSIGN(
            const std::uint32_t count, remove_logs_before(directory_.get(), name.c_str(), day_first)
        );
        removed_count += count;
    }
    return removed_count;
}

std::string log_group_name(std::string_view function) {
    return fmt::format("/aws/lambda/{}", function);
}

std::string log_stream_name(std::int64_t wall_us, std::uint32_t version, std::string_view hex32) {
    std::array<char, meter::kDateBytes> date;
    meter::write_date(date.data(), meter::utc_day(wall_us), '/');
    return fmt::format(
        "{}/[{}]{}", std::string_view(date.data(), date.size()), meter::version_text(version), hex32
    );
}

}  // namespace hako::observe
