#include <benchmark/benchmark.h>

#include "engine/base/ensure.h"
#include "engine/fiber/fiber.h"

namespace hako::fiber {
namespace {

// From the loop into a fiber and back: what each park costs beside what it waits for.
void BM_SwitchPair(benchmark::State& state) {
    const auto scheduler = Scheduler::make();
    bool is_done = false;
    const auto yielding = scheduler->spawn("yielding", [&] {
        while (!is_done) {
            scheduler->yield();
        }
    });
    ENSURE(yielding.has_value(), "spawn failed");
    for (auto _ : state) {
        (void)scheduler->run_ready(1);  // always one
    }
    is_done = true;
    (void)scheduler->run_ready(1);  // ends it
}
BENCHMARK(BM_SwitchPair);

// The same in a full turn of 256: what is left of it when the loop is busy.
void BM_SwitchPairInTurn(benchmark::State& state) {
    constexpr std::uint32_t kPerTurn = 256;
    const auto scheduler = Scheduler::make();
    bool is_done = false;
    for (int index = 0; index < 4; ++index) {
        const auto yielding = scheduler->spawn("yielding", [&] {
            while (!is_done) {
                scheduler->yield();
            }
        });
        ENSURE(yielding.has_value(), "spawn failed");
    }
    for (auto _ : state) {
        (void)scheduler->run_ready(kPerTurn);  // always that many
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * kPerTurn);
    is_done = true;
    (void)scheduler->run_ready(kPerTurn);  // ends them
}
BENCHMARK(BM_SwitchPairInTurn);

void BM_ParkUnpark(benchmark::State& state) {
    const auto scheduler = Scheduler::make();
    const auto parked = scheduler->spawn("parked", [&] {
        while (scheduler->park() == Wake::kNotified) {
        }
    });
    ENSURE(parked.has_value(), "spawn failed");
    (void)scheduler->run_ready(1);  // into its first park
    for (auto _ : state) {
        scheduler->unpark(*parked);
        (void)scheduler->run_ready(1);  // always one
    }
    scheduler->cancel(*parked);
    (void)scheduler->run_ready(1);  // ends it
}
BENCHMARK(BM_ParkUnpark);

void BM_SpawnPooled(benchmark::State& state) {
    const auto scheduler = Scheduler::make();
    std::uint64_t count = 0;
    for (auto _ : state) {
        ENSURE(scheduler->spawn("brief", [&count] { ++count; }).has_value(), "spawn failed");
        (void)scheduler->run_ready(1);  // always one
    }
    benchmark::DoNotOptimize(count);
}
BENCHMARK(BM_SpawnPooled);

// The pool kept empty: what pooling saves.
void BM_SpawnFreshStack(benchmark::State& state) {
    const auto scheduler = Scheduler::make({.stacks_kept_max = 0});
    std::uint64_t count = 0;
    for (auto _ : state) {
        ENSURE(scheduler->spawn("brief", [&count] { ++count; }).has_value(), "spawn failed");
        (void)scheduler->run_ready(1);  // always one
    }
    benchmark::DoNotOptimize(count);
}
BENCHMARK(BM_SpawnFreshStack);

}  // namespace
}  // namespace hako::fiber

BENCHMARK_MAIN();
