#include <array>

#include "bench/floors/child.h"
#include "bench/floors/floors.h"
#include "bench/floors/stream.h"
#include "bench/load/placement.h"
#include "engine/base/clock.h"

namespace hako::bench {
namespace {

constexpr std::size_t kPartBytes = 65'536;

int write_parts(int fd, std::uint64_t bytes) {
    static const std::array<char, kPartBytes> part{};
    for (; bytes > 0; bytes -= part.size()) {
        if (!write_all(fd, part)) {
            return 1;
        }
    }
    return 0;
}

int pass_on(int from, int to) {
    static std::array<char, kPartBytes> part;
    for (;;) {
        const ssize_t got = read(from, part.data(), part.size());
        if (got <= 0) {
            return got == 0 ? 0 : 1;
        }
        if (!write_all(to, {part.data(), static_cast<std::size_t>(got)})) {
            return 1;
        }
    }
}

}  // namespace

Result<RelayOutcome> run_relay(const RelayPlan& plan) {
    TRY(pin_to_cpu(plan.cpu));
    TRY_ASSIGN(StreamPair written, StreamPair::make());
    TRY_ASSIGN(StreamPair passed, StreamPair::make());
    const std::uint64_t bytes = plan.mib * 1024 * 1024;
    TRY_ASSIGN(Child relay, Child::make([&written, &passed] {
                   written.near.reset();
                   passed.far.reset();
                   return pass_on(written.far.get(), passed.near.get());
               }));
    written.far.reset();
    passed.near.reset();
    const std::int64_t begin_ns = now_ns();
    TRY_ASSIGN(Child writer, Child::make([&written, &passed, bytes] {
                   passed.far.reset();
                   return write_parts(written.near.get(), bytes);
               }));
    written.near.reset();
    static std::array<char, kPartBytes> part;
    std::uint64_t got_bytes = 0;
    while (got_bytes < bytes) {
        const ssize_t got = read(passed.far.get(), part.data(), part.size());
        if (got <= 0) {
            return fail(Errc::kClosed, "the relay ended early");
        }
        got_bytes += static_cast<std::uint64_t>(got);
    }
    const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
    TRY(writer.join());
    TRY(relay.join());
    return RelayOutcome{.bytes = got_bytes, .seconds = seconds};
}

}  // namespace hako::bench
