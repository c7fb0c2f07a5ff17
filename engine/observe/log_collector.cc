#include "engine/observe/log_collector.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

namespace hako::observe {

void LogCollector::put(std::string_view lines) {
    logs_->append(log_, lines);
    if (in_invocation_) {
        tail_.append(lines);
    }
}

void LogCollector::begin(std::string_view start_line) {
    finish_part();
    tail_.clear();
    in_invocation_ = true;
    put(start_line);
}

void LogCollector::feed(std::string_view bytes) {
    const std::uint64_t room_bytes = bytes_max_ - bytes_;
    const std::size_t taken_bytes = std::min<std::uint64_t>(bytes.size(), room_bytes);
    bytes_ += taken_bytes;
    dropped_bytes_ += bytes.size() - taken_bytes;
    feed_lines(bytes.substr(0, taken_bytes));
}

void LogCollector::feed_lines(std::string_view bytes) {
    if (!partial_.empty()) {
        const std::size_t newline = bytes.find('\n');
        const std::size_t room_bytes = kLogLineBytesMax - partial_.size();
        const std::size_t line_bytes =
            std::min(newline == std::string_view::npos ? bytes.size() : newline + 1, room_bytes);
        partial_ += bytes.substr(0, line_bytes);
        bytes.remove_prefix(line_bytes);
        if (!partial_.ends_with('\n') && partial_.size() < kLogLineBytesMax) {
            return;  // all of `bytes` went into the line, which goes on
        }
        complete_line();
    }
    // Whole lines go on as they are, in one piece.
    const std::size_t last_newline = bytes.rfind('\n');
    if (last_newline != std::string_view::npos) {
        put(bytes.substr(0, last_newline + 1));
        bytes.remove_prefix(last_newline + 1);
    }
    while (bytes.size() >= kLogLineBytesMax) {
        partial_ = bytes.substr(0, kLogLineBytesMax);
        bytes.remove_prefix(kLogLineBytesMax);
        complete_line();
    }
    partial_ += bytes;
}

void LogCollector::complete_line() {
    if (partial_.empty()) {
        return;
    }
    if (!partial_.ends_with('\n')) {
        partial_ += '\n';
    }
    put(partial_);
    partial_.clear();
    if (partial_.capacity() > 4096) {
        partial_ = std::string();  // one long line must not stay in every instance's memory
    }
}

void LogCollector::finish_part() {
    complete_line();
    if (dropped_bytes_ > 0) {
        put(fmt::format(
            "[hako: log cut at {} bytes, {} bytes dropped]\n", bytes_max_, dropped_bytes_
        ));
    }
    bytes_ = 0;
    dropped_bytes_ = 0;
}

void LogCollector::add_line(std::string_view line) {
    complete_line();
    put(line);
}

void LogCollector::end(std::string_view end_line, std::string_view report_line) {
    finish_part();
    put(end_line);
    put(report_line);
    in_invocation_ = false;
}

void LogCollector::close() {
    finish_part();
    in_invocation_ = false;
}

}  // namespace hako::observe
