#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bench/load/histogram.h"
#include "engine/base/result.h"

namespace hako::bench {

/// One JSON object, built key by key; keys must need no escaping.
class JsonLine {
public:
    JsonLine& text(std::string_view key, std::string_view value);
    JsonLine& integer(std::string_view key, std::int64_t value);
    JsonLine& number(std::string_view key, double value);
    /// n, p50_us, p90_us, p99_us, p999_us, min_us, max_us and mean_us of `histogram`.
    JsonLine& latencies(const Histogram& histogram);
    /// Writes the object and a line feed to standard output and flushes it.
    void print() const;

private:
    void key(std::string_view name);
    std::string body_;
};

/// One line for people on standard error: the step, its category and its errno text.
void print_error(std::string_view program, const Error& error);

}  // namespace hako::bench
