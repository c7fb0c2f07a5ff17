#include "bench/load/report.h"

#include <cstdio>
#include <cstring>

#include <fmt/format.h>

namespace hako::bench {

void JsonLine::key(std::string_view name) {
    body_ += fmt::format("{}\"{}\":", body_.empty() ? "" : ",", name);
}

JsonLine& JsonLine::text(std::string_view name, std::string_view value) {
    key(name);
    body_ += '"';
    for (const char byte : value) {
        if (byte == '"' || byte == '\\') {
            body_ += '\\';
            body_ += byte;
        } else if (static_cast<unsigned char>(byte) < 0x20) {
            body_ += fmt::format("\\u{:04x}", static_cast<unsigned>(byte));
        } else {
            body_ += byte;
        }
    }
    body_ += '"';
    return *this;
}

JsonLine& JsonLine::integer(std::string_view name, std::int64_t value) {
    key(name);
    body_ += fmt::format("{}", value);
    return *this;
}

JsonLine& JsonLine::number(std::string_view name, double value) {
    key(name);
    body_ += fmt::format("{:.3f}", value);
    return *this;
}

JsonLine& JsonLine::latencies(const Histogram& histogram) {
    integer("n", static_cast<std::int64_t>(histogram.count()));
    number("p50_us", histogram.quantile_ns(0.5) / 1e3);
    number("p90_us", histogram.quantile_ns(0.9) / 1e3);
    number("p99_us", histogram.quantile_ns(0.99) / 1e3);
    number("p999_us", histogram.quantile_ns(0.999) / 1e3);
    number("min_us", static_cast<double>(histogram.min_ns()) / 1e3);
    number("max_us", static_cast<double>(histogram.max_ns()) / 1e3);
    return number("mean_us", histogram.mean_ns() / 1e3);
}

void JsonLine::print() const {
    fmt::print("{{{}}}\n", body_);
    (void)std::fflush(stdout);  // a closed pipe shows as the reader's missing line
}

void print_error(std::string_view program, const Error& error) {
    fmt::print(
        stderr,
        "{}: {} ({}{}{})\n",
        program,
        error.what,
        errc_name(error.code),
        error.sys_errno == 0 ? "" : ": ",
        error.sys_errno == 0 ? "" : std::strerror(error.sys_errno)
    );
}

}  // namespace hako::bench
