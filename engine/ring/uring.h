#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <liburing.h>

#include "engine/base/result.h"
#include "engine/ring/loop.h"

namespace hako::ring {

/// What liburing 2.3's header does not know yet.
inline constexpr std::uint8_t kOpFutexWake = 52;           // kernel 6.7
inline constexpr std::uint32_t kFutexSizeU32 = 0x02;       // FUTEX2_SIZE_U32, shared
inline constexpr std::uint64_t kFutexAnyBit = 0xffffffff;  // FUTEX_BITSET_MATCH_ANY

/// A completion, copied out of the queue.
struct Completion {
    std::uint64_t user_data = 0;
    std::int32_t res = 0;
    std::uint32_t flags = 0;
    [[nodiscard]] bool is_last() const noexcept { return (flags & IORING_CQE_F_MORE) == 0; }
};

/// The io_uring itself: entries in, completions out, one system call between. It knows nothing of
/// fibers. liburing sets the ring up; the queues are driven here so that each turn is exactly one
/// io_uring_enter and its count is known.
class Uring {
public:
    /// Errors: kUnsupported, kSystem.
    [[nodiscard]] static Result<std::unique_ptr<Uring>> make(const LoopOptions& options);
    ~Uring();
    Uring(const Uring&) = delete;
    Uring& operator=(const Uring&) = delete;

    /// A zeroed entry that goes out with the next `enter`. Submits what is queued when full.
    [[nodiscard]] io_uring_sqe& take_sqe();
    /// Submits everything queued, waits for a completion until `wait_until_us` at most (0: does not
    /// wait) and runs the kernel's deferred work. Skips the call when there is nothing to do.
    void enter(std::int64_t wait_until_us);
    /// Takes the next completion; false when there is none.
    [[nodiscard]] bool next_completion(Completion& completion) noexcept;
    [[nodiscard]] bool has_completions() const noexcept;

    [[nodiscard]] const RingFeatures& features() const noexcept { return features_; }
    [[nodiscard]] Loop::Counters& counters() noexcept { return counters_; }

private:
    Uring() = default;
    [[nodiscard]] Result<void> set_up(const LoopOptions& options);
    [[nodiscard]] Result<void> probe(const LoopOptions& options);
    [[nodiscard]] std::uint32_t queued_count() const noexcept;
    [[nodiscard]] bool needs_enter() const noexcept;
    void call_enter(std::uint32_t wait_count, std::int64_t wait_us);
    void make_room();
    [[nodiscard]] bool pop_from_queue(Completion& completion) noexcept;

    io_uring ring_{};
    bool is_open_ = false;
    std::uint32_t sq_tail_ = 0;
    RingFeatures features_;
    Loop::Counters counters_;
    // Completions taken aside when the kernel refused new entries until older ones were reaped.
    std::vector<Completion> aside_;
    std::size_t aside_next_ = 0;
};

}  // namespace hako::ring
