// hako_load: load generator for the frame socket. `warm` measures a function that runs already,
// `cold` first calls. One JSON line on standard output; exit status 1 if any answer was wrong.

#include <cstdio>
#include <string>

#include <sys/prctl.h>
#include <sys/resource.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/load/cold.h"
#include "bench/load/load.h"
#include "bench/load/placement.h"
#include "bench/load/report.h"

namespace hako::bench {
namespace {

constexpr const char* kProgram = "hako_load";

struct Common {
    std::string case_name = "load";
    int cpu = -1;
};

double cpu_us_of_self() {
    rusage usage{};
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
    const auto to_us = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
    };
    return to_us(usage.ru_utime) + to_us(usage.ru_stime);
}

int end_run(std::uint64_t error_count, const std::string& first_error) {
    if (error_count == 0) {
        return 0;
    }
    fmt::print(stderr, "{}: {} wrong answers; first: {}\n", kProgram, error_count, first_error);
    return 1;
}

int run_warm_command(const Common& common, const LoadPlan& plan) {
    const auto outcome = run_load(plan);
    if (!outcome) {
        print_error(kProgram, outcome.error());
        return 2;
    }
    const auto count = static_cast<double>(outcome->latency.count());
    JsonLine()
        .text("case", common.case_name)
        .text("mode", plan.rate_per_s > 0 ? "open" : "closed")
        .latencies(outcome->latency)
        .number("seconds", outcome->seconds)
        .number("rate", outcome->seconds > 0 ? count / outcome->seconds : 0)
        .number("rate_asked", plan.rate_per_s)
        .integer("connections", plan.connections)
        .integer("in_flight", plan.in_flight)
        .integer("payload_bytes", plan.payload_bytes)
        .integer("cpu", common.cpu)
        .number("client_cpu_us", cpu_us_of_self())
        .integer("errors", static_cast<std::int64_t>(outcome->error_count))
        .print();
    return end_run(outcome->error_count, outcome->first_error);
}

int run_cold_command(const Common& common, const ColdPlan& plan) {
    const auto outcome = run_cold(plan);
    if (!outcome) {
        print_error(kProgram, outcome.error());
        return 2;
    }
    JsonLine()
        .text("case", common.case_name)
        .text("mode", "cold")
        .latencies(outcome->latency)
        .integer("cold_count", static_cast<std::int64_t>(outcome->cold_count))
        .number("init_p50_us", outcome->init.quantile_ns(0.5) / 1e3)
        .number("duration_p50_us", outcome->duration.quantile_ns(0.5) / 1e3)
        .integer("payload_bytes", plan.payload_bytes)
        .integer("cpu", common.cpu)
        .integer("errors", static_cast<std::int64_t>(outcome->error_count))
        .print();
    return end_run(outcome->error_count, outcome->first_error);
}

void add_warm_options(CLI::App& app, LoadPlan& plan) {
    app.add_option("--socket", plan.socket_path, "Unix socket of the engine")->required();
    app.add_option("--function", plan.function, "function to call")->required();
    app.add_option("--connections", plan.connections, "connections, 1 to 4096");
    app.add_option("--in-flight", plan.in_flight, "outstanding requests per connection");
    app.add_option("--payload-bytes", plan.payload_bytes, "bytes of each event, 3 to 6291456");
    app.add_option("--count", plan.count, "requests to measure");
    app.add_option("--duration-ms", plan.duration_ms, "time to measure, if --count is not given");
    app.add_option("--warmup", plan.warmup_count, "requests before measuring");
    app.add_option("--rate", plan.rate_per_s, "open loop: requests a second; 0 is closed loop")
        ->check(CLI::Range(0.0, 1e8));
    app.add_option("--stall-ms", plan.stall_ms, "give up when nothing arrives for so long");
}

void add_cold_options(CLI::App& app, ColdPlan& plan) {
    app.add_option("--socket", plan.socket_path, "Unix socket of the engine")->required();
    app.add_option("--package", plan.package_path, "zip with the code")->required();
    app.add_option("--create-json", plan.create_json, "CreateFunction request with @NAME@")
        ->required();
    app.add_option("--prefix", plan.name_prefix, "start of the functions' names");
    app.add_option("--count", plan.count, "functions, each called once");
    app.add_option("--payload-bytes", plan.payload_bytes, "bytes of each event, 3 to 6291456");
    app.add_option("--gap-ms", plan.gap_ms, "pause before each call");
    app.add_option("--stall-ms", plan.stall_ms, "give up when nothing arrives for so long");
}

int run(int argc, char** argv) {
    Common common;
    LoadPlan load_plan;
    ColdPlan cold_plan;
    CLI::App app{"Load generator for hako's frame socket"};
    app.require_subcommand(1);
    app.add_option("--case", common.case_name, "name printed as \"case\"");
    app.add_option("--cpu", common.cpu, "processor to run on; -1: any");
    app.fallthrough();
    CLI::App* warm = app.add_subcommand("warm", "requests to one function");
    add_warm_options(*warm, load_plan);
    add_cold_options(*app.add_subcommand("cold", "first calls of many functions"), cold_plan);
    CLI11_PARSE(app, argc, argv);
    if (const auto pinned = pin_to_cpu(common.cpu); !pinned) {
        print_error(kProgram, pinned.error());
        return 2;
    }
    // Open-loop sends are timed; the default slack of 50 us would show in every latency.
    (void)prctl(PR_SET_TIMERSLACK, 1UL);  // cannot fail with a positive value
    return warm->parsed() ? run_warm_command(common, load_plan)
                          : run_cold_command(common, cold_plan);
}

}  // namespace
}  // namespace hako::bench

int main(int argc, char** argv) {
    return hako::bench::run(argc, argv);
}
