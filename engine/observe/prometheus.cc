#include <array>
#include <cstddef>
#include <iterator>

#include <fmt/format.h>

#include "engine/observe/metrics.h"

namespace hako::observe {
namespace {

constexpr double kUsPerSecond = 1e6;
// Upper bounds of the exported buckets, in microseconds: 1-2-5 steps from 10 us to 1000 s.
constexpr std::array<std::uint64_t, 25> kBoundsUs = {
    10,          20,          50,          100,           200,        500,        1'000,
    2'000,       5'000,       10'000,      20'000,        50'000,     100'000,    200'000,
    500'000,     1'000'000,   2'000'000,   5'000'000,     10'000'000, 20'000'000, 50'000'000,
    100'000'000, 200'000'000, 500'000'000, 1'000'000'000,
};

class Page {
public:
    void describe(std::string_view name, std::string_view type, std::string_view help) {
        fmt::format_to(out(), "# HELP hako_{} {}\n# TYPE hako_{} {}\n", name, help, name, type);
    }
    void single(std::string_view name, std::string_view type, std::string_view help, double value) {
        describe(name, type, help);
        fmt::format_to(out(), "hako_{} {}\n", name, value);
    }
    void labelled(
        std::string_view name, std::string_view label, std::string_view word, std::uint64_t value
    ) {
        fmt::format_to(out(), "hako_{}{{{}=\"{}\"}} {}\n", name, label, word, value);
    }
    // A bucket of ours counts where its highest value does: within 1/64 of the bound.
    void histogram(std::string_view name, std::string_view help, const meter::Histogram& values) {
        describe(name, "histogram", help);
        std::uint64_t below_count = 0;
        std::size_t index = 0;
        for (const std::uint64_t bound_us : kBoundsUs) {
            for (; index < meter::Histogram::kBucketsCount &&
                   meter::Histogram::bucket_high(index) <= bound_us;
                 ++index) {
                below_count += values.bucket_count(index);
            }
            fmt::format_to(
                out(),
                "hako_{}_bucket{{le=\"{}\"}} {}\n",
                name,
                static_cast<double>(bound_us) / kUsPerSecond,
                below_count
            );
        }
        fmt::format_to(
            out(),
            "hako_{}_bucket{{le=\"+Inf\"}} {}\nhako_{}_sum {}\nhako_{}_count {}\n",
            name,
            values.count(),
            name,
            static_cast<double>(values.sum()) / kUsPerSecond,
            name,
            values.count()
        );
    }
    [[nodiscard]] std::string take() { return std::move(text_); }

private:
    [[nodiscard]] std::back_insert_iterator<std::string> out() { return std::back_inserter(text_); }
    std::string text_;
};

double seconds(std::uint64_t us) {
    return static_cast<double>(us) / kUsPerSecond;
}

double number(std::uint64_t count) {
    return static_cast<double>(count);
}

void add_sums(Page& page, const Metrics& metrics) {
    const auto counter = [&page](std::string_view name, std::string_view help, double value) {
        page.single(name, "counter", help, value);
    };
    counter(
        "cold_starts_total",
        "Invocations that started an instance.",
        number(metrics.cold_starts_count)
    );
    counter("throttles_total", "Invocations refused with 429.", number(metrics.throttles_count));
    counter("billed_seconds_total", "Billed duration.", seconds(metrics.billed_sum_us));
    counter("cpu_seconds_total", "CPU time of functions.", seconds(metrics.cpu_sum_us));
    counter("event_bytes_total", "Bytes of events.", number(metrics.event_bytes));
    counter("response_bytes_total", "Bytes of answers.", number(metrics.response_bytes));
    counter(
        "log_dropped_bytes_total",
        "Function log bytes that were thrown away.",
        number(metrics.log_dropped_bytes)
    );
}

void add_gauges(Page& page, const Metrics& metrics, std::int64_t now_us) {
    const auto gauge = [&page](std::string_view name, std::string_view help, double value) {
        page.single(name, "gauge", help, value);
    };
    gauge(
        "uptime_seconds",
        "Time since the engine started.",
        static_cast<double>(now_us - metrics.start_us) / kUsPerSecond
    );
    gauge(
        "invocations_in_flight", "Invocations that run or wait.", number(metrics.in_flight_count)
    );
    gauge("instances", "Live instances.", number(metrics.instances_count));
    gauge("instances_idle", "Instances that wait for work.", number(metrics.instances_idle_count));
    page.describe("connections", "gauge", "Open connections of clients.");
    page.labelled("connections", "door", "frame", metrics.connections_count);
    page.labelled("connections", "door", "http", metrics.http_connections_count);
}

}  // namespace

std::string Metrics::to_prometheus(std::int64_t now_us) const {
    Page page;
    page.describe("invocations_total", "counter", "Invocations that ended, by outcome.");
    for (std::size_t i = 0; i < outcomes_count.size(); ++i) {
        page.labelled(
            "invocations_total",
            "outcome",
            meter::outcome_name(static_cast<meter::Outcome>(i)),
            outcomes_count[i]
        );
    }
    add_sums(page, *this);
    add_gauges(page, *this, now_us);
    page.histogram("duration_seconds", "Duration of invocations, as metered.", duration_us);
    page.histogram("wait_seconds", "Wait for an instance before it.", wait_us);
    page.histogram("init_seconds", "Start-up of cold instances.", init_us);
    return page.take();
}

}  // namespace hako::observe
