#include "engine/instance/stream_relay.h"

#include <algorithm>
#include <string>

#include "engine/base/clock.h"

namespace hako::instance {
namespace {

// A quarter of the ring: the worker fills the rest while the caller is given this.
constexpr std::uint32_t kPartBytes = HAKO_STREAM_RING_BYTES / 4;

// A function that writes byte by byte wakes us as often, which costs us more than it does the
// function. After so many small parts in a window the rest of it comes in one piece.
constexpr std::uint32_t kSmallPartBytes = 4096;
constexpr std::uint32_t kSmallPartsMax = 16;
constexpr std::int64_t kWindowUs = 5'000;

// A fast worker and a fast caller keep us from parking: the others get their turn after so many.
constexpr std::uint32_t kPartsInTurnMax = 4;

}  // namespace

Result<bool> StreamRelay::pass_on(const Target& target) {
    TRY_ASSIGN(const bool begun, begin(target));
    if (!begun) {
        return false;
    }
    TRY(keep_rate(target));
    TRY_ASSIGN(const std::uint32_t part_bytes, take(target.instance.channel));
    if (part_bytes == 0) {
        return false;
    }
    TRY(hand_over(target, part_bytes));
    return true;
}

Result<void> StreamRelay::pass_on_rest(const Target& target) {
    TRY_ASSIGN(const bool begun, begin(target));
    if (!begun) {
        return fail(Errc::kProtocol, "the worker ended a stream that it did not begin");
    }
    over_ = true;
    close();
    // Not more than the ring can have held: a thread of the function may go on writing.
    for (std::uint32_t taken_bytes = 0; taken_bytes < HAKO_STREAM_RING_BYTES;) {
        TRY(keep_rate(target));
        TRY_ASSIGN(
            const std::uint32_t part_bytes,
            target.instance.channel.take_stream({part_.get(), kPartBytes})
        );
        if (part_bytes == 0) {
            return {};
        }
        taken_bytes += part_bytes;
        TRY(hand_over(target, part_bytes));
    }
    return {};
}

Result<bool> StreamRelay::begin(const Target& target) {
    if (begun_) {
        return true;
    }
    const Result<std::string> type = target.instance.channel.stream_type();
    if (!type) {
        return type.error().code == Errc::kNotFound ? Result<bool>(false) : fail(type.error());
    }
    begun_ = true;
    begun_us_ = now_us();
    part_ = std::make_unique_for_overwrite<char[]>(kPartBytes);
    instance_ = &target.instance;
    deadline_timer_.owner = this;
    deadline_timer_.on_due = &StreamRelay::end_at_deadline;
    loop_.arm(deadline_timer_, target.deadline_us);
    StreamHead head = target.head;
    head.content_type = *type;
    TRY(target.observer.on_begin(head));
    return true;
}

// While the caller is waited for the invocation's fiber cannot look at the clock.
void StreamRelay::end_at_deadline(ring::Timer& timer) {
    auto& self = *static_cast<StreamRelay*>(timer.owner);
    self.timed_out_ = true;
    self.manager_.end_early(*self.instance_);
}

Result<std::uint32_t> StreamRelay::take(Channel& channel) {
    const std::span<char> into(part_.get(), kPartBytes);
    channel.want_stream_ring(false);
    TRY_ASSIGN(std::uint32_t part_bytes, channel.take_stream(into));
    if (part_bytes == 0) {
        channel.want_stream_ring(true);
        TRY_ASSIGN(part_bytes, channel.take_stream(into));
    }
    return part_bytes;
}

Result<void> StreamRelay::hand_over(const Target& target, std::uint32_t part_bytes) {
    Channel& channel = target.instance.channel;
    if (channel.stream_worker_may_sleep()) {
        loop_.futex_wake(channel.stream_word());
    }
    Manager::note_answer(target.instance);
    const std::int64_t now = now_us();
    if (now - window_us_ > kWindowUs) {
        window_us_ = now;
        small_parts_count_ = 0;
    }
    small_parts_count_ += part_bytes < kSmallPartBytes ? 1 : 0;
    bytes_ += part_bytes;
    if (bytes_ > limits_.bytes_max) {
        return fail(Errc::kLimit, "the streamed answer is too large");
    }
    Result<void> taken = target.observer.on_part({part_.get(), part_bytes});
    if (is_too_late(target)) {
        return fail(Errc::kTimeout, "the function's time is over");
    }
    if (!taken && taken.error().code == Errc::kTimeout) {
        return fail(Errc::kClosed, "the caller stopped reading");
    }
    return taken;
}

Result<void> StreamRelay::keep_rate(const Target& target) {
    if (small_parts_count_ > kSmallPartsMax) {
        TRY(rest_until(target, window_us_ + kWindowUs));
        small_parts_count_ = 0;
    }
    if (limits_.bytes_per_s != 0 && bytes_ > limits_.burst_bytes) {
        const auto late_us = static_cast<std::int64_t>(
            (bytes_ - limits_.burst_bytes) * 1'000'000 / limits_.bytes_per_s
        );
        TRY(rest_until(target, begun_us_ + late_us));
    }
    if (++parts_in_turn_ >= kPartsInTurnMax) {
        parts_in_turn_ = 0;
        loop_.scheduler().yield();
    }
    return {};
}

bool StreamRelay::is_too_late(const Target& target) const {
    return !over_ && (timed_out_ || now_us() >= target.deadline_us);
}

/// Doorbells do not end it: there is nothing to look at before.
Result<void> StreamRelay::rest_until(const Target& target, std::int64_t until_us) {
    const std::int64_t end_us = over_ ? until_us : std::min(until_us, target.deadline_us);
    while (now_us() < end_us) {
        parts_in_turn_ = 0;
        const Result<void> rested = loop_.park_until(end_us);
        if (!rested && rested.error().code != Errc::kTimeout) {
            return rested;
        }
    }
    if (is_too_late(target)) {
        return fail(Errc::kTimeout, "the function's time is over");
    }
    return {};
}

}  // namespace hako::instance
