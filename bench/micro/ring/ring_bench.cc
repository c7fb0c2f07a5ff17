#include <array>
#include <functional>
#include <memory>
#include <vector>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <benchmark/benchmark.h>

#include "engine/base/ensure.h"
#include "engine/base/mapping.h"
#include "engine/ring/loop.h"

namespace hako::ring {
namespace {

std::unique_ptr<Loop> make_loop() {
    Result<std::unique_ptr<Loop>> loop = Loop::make();
    ENSURE(loop.has_value(), "no io_uring here");
    return std::move(*loop);
}

void spawn(Loop& loop, std::move_only_function<void()> body) {
    ENSURE(loop.scheduler().spawn("bench", std::move(body)).has_value(), "spawn failed");
}

void run(Loop& loop) {
    loop.stop();
    loop.run();
}

/// What explains the time: system calls per iteration.
void count_enters(benchmark::State& state, const Loop& loop) {
    state.counters["enters"] = benchmark::Counter(
        static_cast<double>(loop.counters().enters), benchmark::Counter::kAvgIterations
    );
}

struct SocketPair {
    SocketPair() {
        int fds[2] = {-1, -1};
        const int rc = ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
        ENSURE(rc == 0, "socketpair failed");
        near.reset(fds[0]);
        far.reset(fds[1]);
    }
    UniqueFd near;
    UniqueFd far;
};

// The cheapest operation there is: a poll that is true at once. Park, enter, reap, unpark.
void BM_OpRoundTrip(benchmark::State& state) {
    const auto loop = make_loop();
    const UniqueFd event(::eventfd(1, EFD_CLOEXEC));
    spawn(*loop, [&] {
        for (auto _ : state) {
            benchmark::DoNotOptimize(loop->poll(event.get(), POLLIN, kNever));
        }
    });
    run(*loop);
    count_enters(state, *loop);
}
BENCHMARK(BM_OpRoundTrip);

// The same with a deadline that never comes: what the timer heap adds.
void BM_OpRoundTripWithDeadline(benchmark::State& state) {
    const auto loop = make_loop();
    const UniqueFd event(::eventfd(1, EFD_CLOEXEC));
    spawn(*loop, [&] {
        for (auto _ : state) {
            const std::int64_t deadline_us = loop->turn_now_us() + 3'000'000;
            benchmark::DoNotOptimize(loop->poll(event.get(), POLLIN, deadline_us));
        }
    });
    run(*loop);
    count_enters(state, *loop);
}
BENCHMARK(BM_OpRoundTripWithDeadline);

// 64 bytes there and back between two fibers of one loop.
void BM_PingPong64B(benchmark::State& state) {
    const auto loop = make_loop();
    SocketPair pair;
    spawn(*loop, [&] {
        std::array<std::byte, 64> message{};
        for (auto _ : state) {
            ENSURE(loop->send_all(pair.near.get(), message, kNever).has_value(), "send failed");
            ENSURE(loop->recv(pair.near.get(), message, kNever).has_value(), "recv failed");
        }
        pair.near.reset();
    });
    spawn(*loop, [&] {
        std::array<std::byte, 64> message{};
        for (;;) {
            const Result<std::uint32_t> bytes = loop->recv(pair.far.get(), message, kNever);
            if (!bytes || *bytes == 0) {
                return;
            }
            ENSURE(loop->send_all(pair.far.get(), message, kNever).has_value(), "send failed");
        }
    });
    run(*loop);
    count_enters(state, *loop);
}
BENCHMARK(BM_PingPong64B);

// An eventfd written by hand until its watch is called: how the engine hears an instance.
void BM_EventfdWatch(benchmark::State& state) {
    const auto loop = make_loop();
    const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    std::uint64_t seen_count = 0;
    Watch watch;
    watch.owner = &seen_count;
    watch.on_events = [](Watch& own, std::uint32_t) {
        ++*static_cast<std::uint64_t*>(own.owner);
        std::uint64_t value = 0;
        ENSURE(::read(own.fd, &value, sizeof value) == sizeof value, "eventfd read failed");
    };
    loop->watch(watch, event.get(), POLLIN);
    for (auto _ : state) {
        const std::uint64_t one = 1;
        ENSURE(::write(event.get(), &one, sizeof one) == sizeof one, "eventfd write failed");
        for (const std::uint64_t before = seen_count; seen_count == before;) {
            loop->turn(kNever);
        }
    }
    count_enters(state, *loop);
}
BENCHMARK(BM_EventfdWatch);

// Nobody waits on the word: the queue entry, the call and the kernel's look-up.
void BM_FutexWake(benchmark::State& state) {
    const auto loop = make_loop();
    const UniqueFd memory(::memfd_create("bench", MFD_CLOEXEC));
    ENSURE(::ftruncate(memory.get(), 4096) == 0, "ftruncate failed");
    Result<Mapping> mapping = Mapping::make_shared(memory.get(), 4096);
    ENSURE(mapping.has_value(), "mmap failed");
    auto* word = reinterpret_cast<std::uint32_t*>(mapping->data());
    const auto per_turn = state.range(0);
    for (auto _ : state) {
        for (std::int64_t index = 0; index < per_turn; ++index) {
            loop->futex_wake(word);
        }
        loop->turn(1);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * per_turn);
    count_enters(state, *loop);
}
BENCHMARK(BM_FutexWake)->Arg(1)->Arg(32);

void BM_TimerArmDisarm(benchmark::State& state) {
    const auto loop = make_loop();
    std::vector<Timer> timers(static_cast<std::size_t>(state.range(0)));
    std::uint64_t random = 1;
    for (Timer& timer : timers) {
        timer.on_due = [](Timer&) {};
        loop->arm(timer, now_us() + 60'000'000);
    }
    for (auto _ : state) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        const auto offset_us = static_cast<std::int64_t>(random >> 44);
        loop->arm(
            timers[(random >> 33) % timers.size()], loop->turn_now_us() + 60'000'000 + offset_us
        );
    }
    for (Timer& timer : timers) {
        loop->disarm(timer);
    }
}
BENCHMARK(BM_TimerArmDisarm)->Arg(16)->Arg(4096);

void BM_Offload(benchmark::State& state) {
    const auto loop = make_loop();
    spawn(*loop, [&] {
        for (auto _ : state) {
            loop->offload([] {});
        }
    });
    run(*loop);
    count_enters(state, *loop);
}
BENCHMARK(BM_Offload)->UseRealTime();

}  // namespace
}  // namespace hako::ring

BENCHMARK_MAIN();
