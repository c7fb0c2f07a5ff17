#pragma once

#include <cstdint>
#include <memory>

#include "engine/instance/instance.h"
#include "engine/instance/invoke_types.h"
#include "engine/instance/manager.h"
#include "engine/ring/loop.h"

namespace hako::instance {

/// Bounds of one streamed answer.
struct StreamLimits {
    std::uint64_t bytes_max = 209715200;
    std::uint64_t burst_bytes = 6291456;  ///< go out as fast as both sides can
    std::uint64_t bytes_per_s = 0;        ///< what follows them; 0: as fast too
};

/// Hands the parts of one streamed answer from its instance to its caller, as fast as both can.
/// Lives on the invocation's fiber, from the request's post to its reply.
class StreamRelay {
public:
    StreamRelay(ring::Loop& loop, Manager& manager, const StreamLimits& limits)
        : loop_(loop), manager_(manager), limits_(limits) {}
    ~StreamRelay() { close(); }
    StreamRelay(const StreamRelay&) = delete;
    StreamRelay& operator=(const StreamRelay&) = delete;

    struct Target {
        Instance& instance;
        InvokeObserver& observer;
        StreamHead head;  ///< the type is filled in when it is known
        std::int64_t deadline_us = 0;
    };

    /// Passes on what the worker has put meanwhile; parks while the caller takes its time, and to
    /// keep the rate. False: there is nothing; the doorbell rings with the next part. At the
    /// deadline the sandbox is ended even while the caller is waited for.
    /// Errors: kProtocol (garbage in the channel), kLimit (over `bytes_max`), kTimeout (the
    /// deadline), kClosed (the caller left or stopped reading), kCancelled.
    [[nodiscard]] Result<bool> pass_on(const Target& target);
    /// The same for what is left when the worker has said that the stream is over. The deadline was
    /// the function's: only the caller is waited for now.
    [[nodiscard]] Result<void> pass_on_rest(const Target& target);

    /// The invocation has ended: its instance is no longer ours to end.
    void close() noexcept { loop_.disarm(deadline_timer_); }

    [[nodiscard]] bool has_begun() const noexcept { return begun_; }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

private:
    [[nodiscard]] Result<bool> begin(const Target& target);
    [[nodiscard]] Result<void> keep_rate(const Target& target);
    [[nodiscard]] Result<void> rest_until(const Target& target, std::int64_t until_us);
    [[nodiscard]] Result<std::uint32_t> take(Channel& channel);
    [[nodiscard]] Result<void> hand_over(const Target& target, std::uint32_t part_bytes);
    [[nodiscard]] bool is_too_late(const Target& target) const;
    static void end_at_deadline(ring::Timer& timer);

    ring::Loop& loop_;
    Manager& manager_;
    const StreamLimits& limits_;
    std::unique_ptr<char[]> part_;
    ring::Timer deadline_timer_;
    Instance* instance_ = nullptr;  // whom the timer ends
    std::uint64_t bytes_ = 0;
    std::int64_t begun_us_ = 0;
    std::int64_t window_us_ = 0;  // since when `small_parts_count_` counts
    std::uint32_t small_parts_count_ = 0;
    std::uint32_t parts_in_turn_ = 0;
    bool begun_ = false;
    bool over_ = false;
    bool timed_out_ = false;
};

}  // namespace hako::instance
