#include <algorithm>
#include <atomic>
#include <climits>
#include <new>

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "bench/floors/child.h"
#include "bench/floors/floors.h"
#include "bench/floors/stream.h"
#include "bench/load/payload.h"
#include "bench/load/placement.h"
#include "engine/base/clock.h"
#include "engine/base/mapping.h"

namespace hako::bench {
namespace {

constexpr std::size_t kLineBytes = 64;
constexpr std::uint32_t kStop = UINT32_MAX;

/// One futex word with a note whether somebody may sleep on it.
struct alignas(kLineBytes) Signal {
    std::atomic<std::uint32_t> sequence{0};
    std::atomic<std::uint32_t> sleeping{0};

    void post(std::uint32_t value) {
        sequence.store(value);
        if (sleeping.load() != 0) {
            (void)syscall(SYS_futex, &sequence, FUTEX_WAKE, 1, nullptr, nullptr, 0);
        }
    }

    /// Waits until the word differs from `seen`; returns it.
    std::uint32_t await(std::uint32_t seen, std::int64_t spin_us) {
        if (spin_us > 0) {
            const std::int64_t end_ns = now_ns() + spin_us * 1000;
            while (sequence.load() == seen && now_ns() < end_ns) {
                __builtin_ia32_pause();
            }
        }
        while (sequence.load() == seen) {
            sleeping.store(1);
            if (sequence.load() == seen) {
                (void)syscall(SYS_futex, &sequence, FUTEX_WAIT, seen, nullptr, nullptr, 0);
            }
            sleeping.store(0);
        }
        return sequence.load();
    }
};

/// Shared by relay and worker; request and response bytes lie behind it.
struct Channel {
    Signal request;
    Signal response;
};

using Bytes = std::vector<char>;

int stream_worker(int fd, Bytes buffer) {
    while (read_all(fd, buffer)) {
        if (!write_all(fd, buffer)) {
            return 1;
        }
    }
    return 0;
}

int stream_relay(int client_fd, int worker_fd, Bytes buffer) {
    while (read_all(client_fd, buffer)) {
        if (!write_all(worker_fd, buffer) || !read_all(worker_fd, buffer) ||
            !write_all(client_fd, buffer)) {
            return 1;
        }
    }
    return 0;
}

struct FutexLink {
    Channel* channel;
    char* request;
    char* response;
    std::size_t payload_bytes;
    std::int64_t spin_us;
};

int futex_worker(const FutexLink& link) {
    std::uint32_t seen = 0;
    for (;;) {
        seen = link.channel->request.await(seen, link.spin_us);
        if (seen == kStop) {
            return 0;
        }
        std::copy_n(link.request, link.payload_bytes, link.response);
        link.channel->response.post(seen);
    }
}

int futex_relay(int client_fd, const FutexLink& link) {
    std::uint32_t sequence = 0;
    int status = 0;
    // The payload goes through a buffer of the relay's own both ways: hako copies what a worker
    // wrote before it looks at it.
    Bytes buffer(link.payload_bytes);
    while (read_all(client_fd, buffer)) {
        std::copy_n(buffer.data(), buffer.size(), link.request);
        link.channel->request.post(sequence + 1);
        (void)link.channel->response.await(sequence, link.spin_us);
        sequence += 1;
        std::copy_n(link.response, buffer.size(), buffer.data());
        if (!write_all(client_fd, buffer)) {
            status = 1;
            break;
        }
    }
    link.channel->request.post(kStop);
    return status;
}

Result<FloorOutcome> drive(int fd, const ChainPlan& plan) {
    Payload payload(plan.payload_bytes);
    Bytes buffer(plan.payload_bytes);
    FloorOutcome outcome;
    std::int64_t measure_start_ns = now_ns();
    for (std::uint64_t number = 0; number < plan.warmup_count + plan.count; ++number) {
        if (number == plan.warmup_count) {
            measure_start_ns = now_ns();
        }
        const std::string_view text = payload.text(number);
        const std::int64_t start_ns = now_ns();
        TRY(write_all(fd, text));
        TRY(read_all(fd, buffer));
        const std::int64_t latency_ns = now_ns() - start_ns;
        if (!payload.matches(number, {buffer.data(), buffer.size()})) {
            return fail(Errc::kProtocol, "the echo differs");
        }
        if (number >= plan.warmup_count) {
            outcome.latency.record(latency_ns);
        }
    }
    outcome.seconds = static_cast<double>(now_ns() - measure_start_ns) / 1e9;
    return outcome;
}

Result<FloorOutcome> run_stream_chain(const ChainPlan& plan) {
    TRY_ASSIGN(StreamPair client, StreamPair::make());
    TRY_ASSIGN(StreamPair link, StreamPair::make());
    const Bytes buffer(plan.payload_bytes);
    TRY_ASSIGN(Child worker, Child::make([&client, &link, &buffer] {
                   client = {};
                   link.near.reset();
                   return stream_worker(link.far.get(), buffer);
               }));
    TRY_ASSIGN(Child relay, Child::make([&client, &link, &buffer] {
                   client.near.reset();
                   link.far.reset();
                   return stream_relay(client.far.get(), link.near.get(), buffer);
               }));
    client.far.reset();
    link = {};
    TRY_ASSIGN(FloorOutcome outcome, drive(client.near.get(), plan));
    client.near.reset();
    TRY(relay.join());
    TRY(worker.join());
    return outcome;
}

Result<FloorOutcome> run_futex_chain(const ChainPlan& plan) {
    const std::size_t area_bytes = (plan.payload_bytes / kLineBytes + 1) * kLineBytes;
    const UniqueFd memory(memfd_create("floor-channel", MFD_CLOEXEC));
    const std::size_t bytes = sizeof(Channel) + 2 * area_bytes;
    if (!memory || ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0) {
        return fail_errno("memfd_create");
    }
    TRY_ASSIGN(const Mapping mapping, Mapping::make_shared(memory.get(), bytes));
    char* areas = reinterpret_cast<char*>(mapping.data() + sizeof(Channel));
    const FutexLink link{
        .channel = new (mapping.data()) Channel,
        .request = areas,
        .response = areas + area_bytes,
        .payload_bytes = plan.payload_bytes,
        .spin_us = plan.spin_us,
    };
    TRY_ASSIGN(StreamPair client, StreamPair::make());
    TRY_ASSIGN(Child worker, Child::make([&client, &link] {
                   client = {};
                   return futex_worker(link);
               }));
    TRY_ASSIGN(Child relay, Child::make([&client, &link] {
                   client.near.reset();
                   return futex_relay(client.far.get(), link);
               }));
    client.far.reset();
    TRY_ASSIGN(FloorOutcome outcome, drive(client.near.get(), plan));
    client.near.reset();
    TRY(relay.join());
    TRY(worker.join());
    return outcome;
}

}  // namespace

Result<FloorOutcome> run_chain(const ChainPlan& plan) {
    TRY(pin_to_cpu(plan.cpu));
    return plan.link == WorkerLink::kFutex ? run_futex_chain(plan) : run_stream_chain(plan);
}

}  // namespace hako::bench
