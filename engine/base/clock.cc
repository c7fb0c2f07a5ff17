#include "engine/base/clock.h"

#include <ctime>

namespace hako {
namespace {

std::int64_t read_ns(clockid_t clock) noexcept {
    timespec ts{};
    (void)clock_gettime(clock, &ts);  // cannot fail: the clock ids are constants and ts is ours
    return static_cast<std::int64_t>(ts.tv_sec) * 1'000'000'000 + ts.tv_nsec;
}

}  // namespace

std::int64_t now_ns() noexcept {
    return read_ns(CLOCK_MONOTONIC);
}
std::int64_t now_us() noexcept {
    return read_ns(CLOCK_MONOTONIC) / 1000;
}
std::int64_t wall_us() noexcept {
    return read_ns(CLOCK_REALTIME) / 1000;
}

}  // namespace hako
