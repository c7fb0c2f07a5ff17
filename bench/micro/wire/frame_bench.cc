#include <cstring>
#include <span>
#include <string>

#include <benchmark/benchmark.h>

#include "engine/wire/frame.h"

namespace hako::wire {
namespace {

void BM_ReadAndCheckHeader(benchmark::State& state) {
    const FrameHeader header{.type = FrameType::kInvoke, .meta_bytes = 12, .payload_bytes = 64};
    std::string bytes(sizeof(header), '\0');
    std::memcpy(bytes.data(), &header, sizeof(header));
    const std::span<const char, kFrameHeaderBytes> span(bytes.data(), kFrameHeaderBytes);
    for (auto _ : state) {
        benchmark::DoNotOptimize(bytes.data());
        FrameHeader read = read_header(std::as_bytes(span));
        auto fault = check_header(read, true);
        benchmark::DoNotOptimize(read);
        benchmark::DoNotOptimize(fault);
    }
}
BENCHMARK(BM_ReadAndCheckHeader);

void BM_DecodeInvoke(benchmark::State& state) {
    const std::string name(static_cast<std::size_t>(state.range(0)), 'n');
    const InvokeMeta fixed{.name_bytes = static_cast<std::uint16_t>(name.size())};
    std::string meta(sizeof(fixed), '\0');
    std::memcpy(meta.data(), &fixed, sizeof(fixed));
    meta += name;
    for (auto _ : state) {
        benchmark::DoNotOptimize(meta.data());
        auto decoded = decode_invoke(meta);
        benchmark::DoNotOptimize(decoded);
    }
}
BENCHMARK(BM_DecodeInvoke)->Arg(4)->Arg(64);

void BM_EncodeInvoke64B(benchmark::State& state) {
    const std::string name = "echo";
    const std::string payload(64, 'p');
    std::string into(4096, '\0');
    std::uint64_t correlation = 0;
    for (auto _ : state) {
        const InvokeMeta fixed{.name_bytes = static_cast<std::uint16_t>(name.size())};
        const FrameHeader header{
            .type = FrameType::kInvoke,
            .correlation = ++correlation,
            .meta_bytes = static_cast<std::uint32_t>(sizeof(fixed) + name.size()),
            .payload_bytes = static_cast<std::uint32_t>(payload.size()),
        };
        char* at = into.data();
        std::memcpy(at, &header, sizeof(header));
        std::memcpy(at + 32, &fixed, sizeof(fixed));
        std::memcpy(at + 40, name.data(), name.size());
        std::memcpy(at + 40 + name.size(), payload.data(), payload.size());
        benchmark::DoNotOptimize(into.data());
        benchmark::ClobberMemory();
    }
}
BENCHMARK(BM_EncodeInvoke64B);

void BM_DecodeInvokeResult(benchmark::State& state) {
    const std::string log(static_cast<std::size_t>(state.range(0)), 'l');
    const InvokeResultMeta fixed{
        .version_bytes = 7, .log_bytes = static_cast<std::uint32_t>(log.size())
    };
    std::string meta(sizeof(fixed), '\0');
    std::memcpy(meta.data(), &fixed, sizeof(fixed));
    meta.append("$LATEST").append(log);
    for (auto _ : state) {
        benchmark::DoNotOptimize(meta.data());
        auto decoded = decode_invoke_result(meta);
        benchmark::DoNotOptimize(decoded);
    }
}
BENCHMARK(BM_DecodeInvokeResult)->Arg(0)->Arg(4096);

}  // namespace
}  // namespace hako::wire

BENCHMARK_MAIN();
