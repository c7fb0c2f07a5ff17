#include <array>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>

#include <benchmark/benchmark.h>
#include <hako/client.hpp>

#include "engine/wire/frame.h"

// The client library alone: the other end answers each frame with a ready InvokeResult, so what is
// measured is the client plus a socket pair, the most that any engine could give it.
namespace hako::wire {
namespace {

std::string ready_answer() {
    const InvokeResultMeta fixed{.version_bytes = 7};
    const FrameHeader header{
        .type = FrameType::kInvokeResult,
        .meta_bytes = sizeof(fixed) + 7,
        .payload_bytes = 64,
        .status = 200
    };
    std::string bytes(sizeof(header) + sizeof(fixed), '\0');
    std::memcpy(bytes.data(), &header, sizeof(header));
    std::memcpy(bytes.data() + sizeof(header), &fixed, sizeof(fixed));
    return bytes + "$LATEST" + std::string(64, 'p');
}

void answer_until_closed(int fd, std::size_t request_bytes) {
    const std::string answer = ready_answer();
    std::vector<char> in(1 << 20);
    std::string out;
    std::size_t used = 0;
    for (;;) {
        const ssize_t bytes = ::recv(fd, in.data() + used, in.size() - used, 0);
        if (bytes <= 0) {
            return;
        }
        used += static_cast<std::size_t>(bytes);
        std::size_t at = 0;
        out.clear();
        for (; used - at >= request_bytes; at += request_bytes) {
            out += answer;
            // The correlation number lies at byte 8 of both headers.
            std::memcpy(out.data() + out.size() - answer.size() + 8, in.data() + at + 8, 8);
        }
        std::memmove(in.data(), in.data() + at, used - at);
        used -= at;
        if (::send(fd, out.data(), out.size(), MSG_NOSIGNAL) < 0) {
            return;
        }
    }
}

void BM_ClientPipelined64B(benchmark::State& state) {
    const auto window = static_cast<std::uint64_t>(state.range(0));
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        state.SkipWithError("socketpair failed");
        return;
    }
    const std::string payload(64, 'p');
    std::thread engine([&ends]() { answer_until_closed(ends[1], 32 + 8 + 4 + 64); });
    Client client = Client::adopt(ends[0]);
    for (auto _ : state) {
        while (client.in_flight() < window) {
            (void)client.submit("echo", payload);
        }
        benchmark::DoNotOptimize(client.receive().payload().data());
    }
    client.shutdown();
    engine.join();
    ::close(ends[1]);
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ClientPipelined64B)->Arg(1)->Arg(32)->Arg(256)->UseRealTime();

}  // namespace
}  // namespace hako::wire

BENCHMARK_MAIN();
