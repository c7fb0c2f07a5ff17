#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <poll.h>

#include "engine/base/clock.h"
#include "tests/sandbox/harness.h"

// bench_sandbox [--short]: blanks made and destroyed a second, memory of each, latency of Acquire;
// one JSON line per case. Drives the real spawner and the probe zygote, as the tests do.
namespace {

using namespace hako;
using namespace hako::sandbox::testing;

struct Sizes {
    int churn_count = 1500;
    std::uint32_t alive_count = 500;
    int acquire_count = 300;
    int memory_samples = 100;
};

/// The sum of some lines of /proc/meminfo.
std::int64_t meminfo_kib(const std::vector<std::string>& keys) {
    std::ifstream file("/proc/meminfo");
    std::int64_t sum = 0;
    for (std::string key, rest; file >> key && std::getline(file, rest);) {
        if (std::ranges::find(keys, key) != keys.end()) {
            sum += std::atoll(rest.c_str());
        }
    }
    return sum;
}

std::int64_t available_kib() {
    return meminfo_kib({"MemAvailable:"});
}

/// The kernel's part, which other programs' heaps do not move.
std::int64_t kernel_kib() {
    return meminfo_kib({"Slab:", "PageTables:", "KernelStack:", "Percpu:"});
}

double percentile(std::vector<double> values, double share) {
    std::ranges::sort(values);
    const auto last = static_cast<double>(values.size() - 1);
    return values[static_cast<std::size_t>(share * last)];
}

/// Keeps a few in flight: each Acquired is destroyed at once, each Gone asks for the next.
void bench_churn(const Sizes& sizes) {
    Harness harness({"--pool", "native=4"});
    (void)harness.await_started();
    harness.fill_pool(4);
    constexpr int kInFlight = 8;
    const std::int64_t start_us = now_us();
    int asked = 0;
    int gone = 0;
    for (; asked < kInFlight; ++asked) {
        harness.send(harness.make_acquire());
    }
    while (gone < sizes.churn_count) {
        const auto event = harness.next_event();
        if (!event) {
            std::fprintf(stderr, "the spawner went away\n");
            std::exit(1);
        }
        if (event->sandbox_id != 0 && !event->gone) {
            harness.destroy(event->sandbox_id);
        } else {
            ++gone;
            if (asked < sizes.churn_count) {
                ++asked;
                harness.send(harness.make_acquire());
            }
        }
    }
    const double seconds = static_cast<double>(now_us() - start_us) / 1e6;
    std::printf(
        "{\"case\": \"make_acquire_destroy\", \"n\": %d, \"per_second\": %.0f}\n",
        gone,
        gone / seconds
    );
}

/// The most that was available within a while: other programs' memory comes and goes.
std::int64_t quiet_available_kib(const Sizes& sizes) {
    std::int64_t most = 0;
    for (int i = 0; i < sizes.memory_samples; ++i) {
        most = std::max(most, available_kib());
        (void)::poll(nullptr, 0, 20);
    }
    return most;
}

/// One way up only: slabs that an earlier round freed would be used again and hide the cost.
void bench_memory(const Sizes& sizes) {
    constexpr std::uint32_t kFew = 4;
    Harness harness;
    (void)harness.await_started();
    harness.fill_pool(kFew);
    const std::int64_t before_kib = quiet_available_kib(sizes);
    const std::int64_t kernel_before_kib = kernel_kib();
    const std::int64_t start_us = now_us();
    harness.fill_pool(sizes.alive_count);
    const double seconds = static_cast<double>(now_us() - start_us) / 1e6;
    const auto used_kib = static_cast<double>(before_kib - quiet_available_kib(sizes));
    const auto used_kernel_kib = static_cast<double>(kernel_kib() - kernel_before_kib);
    const double blanks = sizes.alive_count - kFew;
    std::printf(
        "{\"case\": \"blank_memory\", \"alive\": %u, \"kib_each\": %.0f, \"kernel_kib_each\": "
        "%.0f, "
        "\"made_per_second\": %.0f}\n",
        sizes.alive_count,
        used_kib / blanks,
        used_kernel_kib / blanks,
        blanks / seconds
    );
}

/// From the request to the answer, and to the worker's first answer through the channel.
void bench_acquire(const Sizes& sizes) {
    Harness harness;
    (void)harness.await_started();
    std::vector<double> answered_us;
    std::vector<double> ran_us;
    for (int i = 0; i < sizes.acquire_count; ++i) {
        harness.fill_pool(2);
        const std::int64_t start_ns = now_ns();
        auto sandbox = harness.acquire();
        if (!sandbox) {
            std::exit(1);
        }
        answered_us.push_back(static_cast<double>(now_ns() - start_ns) / 1e3);
        if (sandbox->ask("mounted-ns") == std::nullopt) {
            std::exit(1);
        }
        const std::string seen = *sandbox->ask("mounted-ns");
        ran_us.push_back(static_cast<double>(std::atoll(seen.c_str()) - start_ns) / 1e3);
        harness.destroy(sandbox->id());
        (void)harness.await_gone(sandbox->id());
    }
    for (const auto& [name, values] :
         {std::pair("acquire_to_answer", answered_us), std::pair("acquire_to_worker", ran_us)}) {
        std::printf(
            "{\"case\": \"%s\", \"n\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
            name,
            values.size(),
            percentile(values, 0.5),
            percentile(values, 0.99)
        );
    }
}

}  // namespace

int main(int argc, char** argv) {
    Sizes sizes;
    if (argc > 1 && std::strcmp(argv[1], "--short") == 0) {
        sizes = {.churn_count = 20, .alive_count = 10, .acquire_count = 5, .memory_samples = 2};
    }
    bench_memory(sizes);  // first, while the kernel's slabs are as others left them
    bench_acquire(sizes);
    bench_churn(sizes);
    return 0;
}
