#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/observe/function_logs.h"
#include "engine/observe/tail_buffer.h"

namespace hako::observe {

// 1 MiB: four times CloudWatch's largest event, and a loop that prints as fast as it can reaches it
// within a millisecond or two, so it cannot fill the buffers that other functions share.
inline constexpr std::uint64_t kInvocationLogBytesMax = 1U << 20U;
inline constexpr std::size_t kLogLineBytesMax = 64U << 10U;

/// Takes one instance's output as it comes out of the pipe and gives it, line by line, to the
/// function's file and to the invocation's tail. Lines of concurrent instances are never mixed; a
/// line longer than 64 KiB is broken there; an unfinished line gets its newline when the invocation
/// ends. Output outside an invocation (init, or frozen leftovers) goes to the file only, under the
/// same cap. One thread.
class LogCollector {
public:
    LogCollector(
        FunctionLogs& logs,
        LogHandle log,
        std::uint64_t invocation_bytes_max = kInvocationLogBytesMax
    ) noexcept
        : logs_(&logs), log_(log), bytes_max_(invocation_bytes_max) {}

    /// Completes what came before, clears the tail, and writes the START line.
    void begin(std::string_view start_line);
    /// Bytes of the function, in any pieces.
    void feed(std::string_view bytes);
    /// A line of ours in between (timeout, exit); completes the function's line first.
    void add_line(std::string_view line);
    /// Completes the last line, writes `[hako: log cut at N bytes, M bytes dropped]` if the cap was
    /// hit, then the END and REPORT lines, which are never dropped by the cap.
    void end(std::string_view end_line, std::string_view report_line);
    /// The instance is gone outside an invocation: completes the last line.
    void close();

    /// START to REPORT of the invocation that ended last (or runs).
    [[nodiscard]] const TailBuffer& tail() const noexcept { return tail_; }
    [[nodiscard]] std::uint64_t dropped_bytes() const noexcept { return dropped_bytes_; }

private:
    void feed_lines(std::string_view bytes);
    void put(std::string_view lines);
    void complete_line();
    void finish_part();

    FunctionLogs* logs_;
    LogHandle log_;
    std::uint64_t bytes_max_;
    std::uint64_t bytes_ = 0;
    std::uint64_t dropped_bytes_ = 0;
    bool in_invocation_ = false;
    std::string partial_;  // at most kLogLineBytesMax
    TailBuffer tail_;
};

}  // namespace hako::observe
