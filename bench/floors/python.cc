#include <array>

#include <fcntl.h>

#include <fmt/format.h>

#include "bench/floors/child.h"
#include "bench/floors/floors.h"
#include "bench/floors/stream.h"
#include "bench/load/payload.h"
#include "bench/load/placement.h"
#include "engine/base/clock.h"

namespace hako::bench {
namespace {

int exec_loop(const PythonPlan& plan, int fd) {
    // This one descriptor is for the loop.
    if (fcntl(fd, F_SETFD, 0) != 0) {
        return 126;
    }
    const std::string number = fmt::format("{}", fd);
    (void)execl(
        plan.python.c_str(),
        plan.python.c_str(),
        "-I",
        plan.script.c_str(),
        plan.handler.c_str(),
        number.c_str(),
        nullptr
    );
    return 127;
}

/// Reads one answer: four bytes of length, then the JSON text.
Result<std::string> read_answer(int fd) {
    std::array<char, sizeof(std::uint32_t)> length{};
    TRY(read_all(fd, length));
    std::uint32_t bytes = 0;
    std::copy(length.begin(), length.end(), reinterpret_cast<char*>(&bytes));
    std::string answer(bytes, '\0');
    TRY(read_all(fd, answer));
    return answer;
}

Result<FloorOutcome> drive(int fd, const PythonPlan& plan) {
    Payload payload(plan.payload_bytes);
    FloorOutcome outcome;
    std::string request;
    std::int64_t measure_start_ns = now_ns();
    for (std::uint64_t number = 0; number < plan.warmup_count + plan.count; ++number) {
        if (number == plan.warmup_count) {
            measure_start_ns = now_ns();
        }
        const std::uint32_t bytes = plan.payload_bytes;
        request.assign(reinterpret_cast<const char*>(&bytes), sizeof(bytes));
        request.append(payload.text(number));
        const std::int64_t start_ns = now_ns();
        TRY(write_all(fd, request));
        TRY_ASSIGN(const std::string answer, read_answer(fd));
        const std::int64_t latency_ns = now_ns() - start_ns;
        if (!payload.matches(number, answer)) {
            return fail(Errc::kProtocol, "the echo differs");
        }
        if (number >= plan.warmup_count) {
            outcome.latency.record(latency_ns);
        }
    }
    outcome.seconds = static_cast<double>(now_ns() - measure_start_ns) / 1e9;
    return outcome;
}

}  // namespace

Result<FloorOutcome> run_python(const PythonPlan& plan) {
    TRY(pin_to_cpu(plan.cpu));
    TRY_ASSIGN(StreamPair link, StreamPair::make());
    TRY_ASSIGN(Child worker, Child::make([&plan, &link] {
                   return exec_loop(plan, link.far.get());
               }));
    link.far.reset();
    TRY_ASSIGN(FloorOutcome outcome, drive(link.near.get(), plan));
    link.near.reset();
    TRY(worker.join());
    return outcome;
}

}  // namespace hako::bench
