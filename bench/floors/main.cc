// hako_floor: what the jobs of the benchmarks cost with nothing of hako in them. One JSON line.

#include <CLI/CLI.hpp>

#include "bench/floors/floors.h"
#include "bench/load/report.h"

namespace hako::bench {
namespace {

constexpr const char* kProgram = "hako_floor";

int report(const std::string& case_name, int cpu, const Result<FloorOutcome>& outcome) {
    if (!outcome) {
        print_error(kProgram, outcome.error());
        return 2;
    }
    JsonLine()
        .text("case", case_name)
        .latencies(outcome->latency)
        .number("seconds", outcome->seconds)
        .number("rate", static_cast<double>(outcome->latency.count()) / outcome->seconds)
        .integer("cpu", cpu)
        .print();
    return 0;
}

int report_relay(const std::string& case_name, const RelayPlan& plan) {
    const Result<RelayOutcome> outcome = run_relay(plan);
    if (!outcome) {
        print_error(kProgram, outcome.error());
        return 2;
    }
    JsonLine()
        .text("case", case_name)
        .number("seconds", outcome->seconds)
        .number("mib_per_s", static_cast<double>(outcome->bytes) / outcome->seconds / 1048576)
        .integer("cpu", plan.cpu)
        .print();
    return 0;
}

struct Plans {
    ChainPlan chain;
    PipelinePlan pipeline;
    PythonPlan python;
    SpawnPlan spawn;
    RelayPlan relay;
};

/// The options all floors share.
template <typename Plan>
void add_common(CLI::App& app, Plan& plan) {
    app.add_option("--count", plan.count, "measured repetitions")->check(CLI::PositiveNumber);
    app.add_option("--warmup", plan.warmup_count, "repetitions before measuring");
    app.add_option("--cpu", plan.cpu, "processor for all processes; -1: any");
}

void add_chain(CLI::App& app, ChainPlan& plan) {
    add_common(app, plan);
    app.add_option("--payload-bytes", plan.payload_bytes)->check(CLI::Range(3, 6291456));
    app.add_option("--spin-us", plan.spin_us, "futex worker: look for so long before sleeping");
    app.add_flag(
        "--futex",
        [&plan](std::int64_t) { plan.link = WorkerLink::kFutex; },
        "relay and worker share memory and futexes, not a stream"
    );
}

void add_pipeline(CLI::App& app, PipelinePlan& plan) {
    add_common(app, plan);
    app.add_option("--payload-bytes", plan.payload_bytes)->check(CLI::Range(9, 65536));
    app.add_option("--in-flight", plan.in_flight, "outstanding requests");
    app.add_flag("--batched", plan.is_batched, "pass on whatever is there, many at a time");
    app.add_option("--workers", plan.worker_count, "workers, one request at a time each");
}

void add_python(CLI::App& app, PythonPlan& plan) {
    add_common(app, plan);
    app.add_option("--payload-bytes", plan.payload_bytes)->check(CLI::Range(3, 6291456));
    app.add_option("--python", plan.python, "interpreter");
    app.add_option("--script", plan.script, "python_loop.py")->required();
    app.add_option("--handler", plan.handler, "file with handler(event, context)")->required();
}

void add_spawn(CLI::App& app, SpawnPlan& plan) {
    add_common(app, plan);
    app.add_flag("--fork", plan.use_fork, "fork and exec in place of posix_spawn");
    app.add_option("command", plan.command, "program (a path) and its arguments")->required();
    app.positionals_at_end();
}

int run(int argc, char** argv) {
    std::string case_name = "floor";
    Plans plans;
    CLI::App app{"Floors of hako's benchmarks"};
    app.require_subcommand(1);
    app.add_option("--case", case_name, "name printed as \"case\"");
    CLI::App& chain = *app.add_subcommand("chain", "client, relay, worker; one request at a time");
    CLI::App& pipeline = *app.add_subcommand("pipeline", "the same with many requests in flight");
    CLI::App& python = *app.add_subcommand("python", "a bare Python loop over a socket pair");
    CLI::App& spawn = *app.add_subcommand("spawn", "start of a program to its first byte");
    CLI::App& relay = *app.add_subcommand("relay", "bytes from one process over one to another");
    relay.add_option("--mib", plans.relay.mib, "how many")->check(CLI::PositiveNumber);
    relay.add_option("--cpu", plans.relay.cpu, "processor for all processes; -1: any");
    add_chain(chain, plans.chain);
    add_pipeline(pipeline, plans.pipeline);
    add_python(python, plans.python);
    add_spawn(spawn, plans.spawn);
    CLI11_PARSE(app, argc, argv);
    if (chain.parsed()) {
        return report(case_name, plans.chain.cpu, run_chain(plans.chain));
    }
    if (relay.parsed()) {
        return report_relay(case_name, plans.relay);
    }
    if (pipeline.parsed()) {
        return report(case_name, plans.pipeline.cpu, run_pipeline(plans.pipeline));
    }
    if (python.parsed()) {
        return report(case_name, plans.python.cpu, run_python(plans.python));
    }
    return report(case_name, plans.spawn.cpu, run_spawn(plans.spawn));
}

}  // namespace
}  // namespace hako::bench

int main(int argc, char** argv) {
    return hako::bench::run(argc, argv);
}
