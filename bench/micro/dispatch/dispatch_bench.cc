#include <array>
#include <vector>

#include <benchmark/benchmark.h>

#include "engine/dispatch/version_pool.h"

namespace hako::dispatch {
namespace {

VersionPool warm_pool(std::uint32_t instances_count) {
    VersionPool pool({.concurrency_max = 10'000});
    std::vector<Waiter> waiters(instances_count);
    for (Waiter& waiter : waiters) {
        (void)pool.arrive(waiter, 0);
    }
    (void)pool.take_starts(0);
    for (InstanceId id = 0; id < instances_count; ++id) {
        (void)pool.instance_free(id, 0, -1, true);
    }
    for (InstanceId id = 0; id < instances_count; ++id) {
        (void)pool.instance_free(id, 0, 20, false);
        pool.leave();
    }
    return pool;
}

// One warm invocation as dispatch sees it: an idle instance is given and comes back.
void BM_WarmDecision(benchmark::State& state) {
    VersionPool pool = warm_pool(static_cast<std::uint32_t>(state.range(0)));
    std::int64_t now_us = 0;
    for (auto _ : state) {
        Waiter waiter;
        benchmark::DoNotOptimize(pool.arrive(waiter, ++now_us));
        benchmark::DoNotOptimize(pool.instance_free(waiter.instance, now_us, 20, false));
        pool.leave();
    }
}
BENCHMARK(BM_WarmDecision)->Arg(1)->Arg(1000);

// The same with everything busy: the invocation queues and gets the instance that comes free.
void BM_QueuedDecision(benchmark::State& state) {
    VersionPool pool = warm_pool(1);
    std::array<Waiter, 2> waiters{};
    std::int64_t now_us = 0;
    (void)pool.arrive(waiters[0], now_us);
    std::size_t running = 0;
    for (auto _ : state) {
        Waiter& next = waiters[1 - running];
        next = Waiter{};
        benchmark::DoNotOptimize(pool.arrive(next, ++now_us));
        benchmark::DoNotOptimize(pool.take_starts(now_us));
        benchmark::DoNotOptimize(pool.instance_free(waiters[running].instance, now_us, 20, false));
        pool.leave();
        running = 1 - running;
    }
}
BENCHMARK(BM_QueuedDecision);

}  // namespace
}  // namespace hako::dispatch

BENCHMARK_MAIN();
