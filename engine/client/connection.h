#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/client/failure.h"
#include "engine/client/receive_buffer.h"
#include "engine/wire/frame.h"

namespace hako::client {

/// One request before it has a correlation number. `fixed` is the struct at the start of the meta
/// data, `texts` what follows it.
struct OutgoingFrame {
    wire::FrameType type = wire::FrameType::kPing;
    std::uint16_t flags = 0;
    std::string_view fixed;
    std::array<std::string_view, 3> texts;
    std::string_view payload;
};

/// One answer, as views into the receive buffer.
struct IncomingFrame {
    wire::FrameHeader header;
    std::string_view meta;
    std::string_view payload;
};

/// Takes the frames of a streamed answer before the one that ends it. A failure gives it up.
using PartSink = std::function<Outcome<void>(const IncomingFrame&)>;

/// The socket with its two halves. Sending and receiving each have a lock, so that one thread may
/// receive while others submit. A thread that holds one lock only ever tries the other, except that
/// `call` takes receive, then send; nobody waits the other way round.
class Connection {
public:
    [[nodiscard]] static Outcome<std::unique_ptr<Connection>> connect(const char* path);
    explicit Connection(UniqueFd socket);

    /// Queues or sends a request; returns its correlation number.
    [[nodiscard]] Outcome<std::uint64_t> submit(const OutgoingFrame& frame);
    [[nodiscard]] Outcome<void> flush();
    /// The next answer that no `call` waits for.
    [[nodiscard]] Outcome<IncomingFrame> receive();
    /// Submits and waits for this answer; others that come meanwhile are kept for `receive`.
    /// The parts of a streamed answer go to `sink` (only a request with kFlagStream has any); the
    /// timeout is then one of each wait.
    [[nodiscard]] Outcome<IncomingFrame> call(
        const OutgoingFrame& frame, const PartSink& sink = {}
    );

    void set_timeout(std::int64_t timeout_us) noexcept;
    void shutdown() noexcept;
    [[nodiscard]] int fd() const noexcept { return socket_.get(); }
    [[nodiscard]] std::uint64_t in_flight_count() const noexcept {
        return in_flight_count_.load(std::memory_order_relaxed);
    }

private:
    // Whether the caller holds the receive lock and so may read while it waits to send.
    enum class Holds : bool { kSendLock, kBothLocks };

    [[nodiscard]] std::int64_t deadline_us() const noexcept;

    // With the send lock held (connection_send.cc).
    [[nodiscard]] Outcome<std::uint64_t> submit_locked(const OutgoingFrame& frame, Holds holds);
    void append(std::string_view bytes) noexcept;
    [[nodiscard]] Outcome<void> send_queued(std::string_view tail, Holds holds);
    [[nodiscard]] Outcome<void> await_writable(std::int64_t until_us, Holds holds);

    // With the receive lock held (connection_receive.cc).
    [[nodiscard]] Outcome<IncomingFrame> next_frame(std::int64_t until_us);
    [[nodiscard]] Outcome<bool> take_frame(IncomingFrame& frame);
    [[nodiscard]] Outcome<void> read_some(std::int64_t until_us);
    [[nodiscard]] Outcome<bool> flush_before_waiting();
    [[nodiscard]] Outcome<void> drain_socket();
    void keep(const IncomingFrame& frame);
    [[nodiscard]] std::unexpected<hako_client_error> end_of_stream();
    [[nodiscard]] bool drop_abandoned(const wire::FrameHeader& header);
    void abandon(std::uint64_t correlation);
    [[nodiscard]] Outcome<IncomingFrame> await_call(
        std::uint64_t correlation, std::int64_t until_us, const PartSink& sink
    );

    UniqueFd socket_;
    std::int64_t timeout_us_ = -1;
    std::atomic<std::uint64_t> in_flight_count_ = 0;

    std::mutex send_mutex_;
    bool is_send_broken_ = false;
    std::unique_ptr<char[]> queue_;
    std::atomic<std::size_t> queued_bytes_ = 0;
    std::uint64_t correlation_next_ = 1;

    std::mutex receive_mutex_;
    bool is_receive_broken_ = false;
    ReceiveBuffer received_;
    std::size_t missing_bytes_ = 0;       // of the frame that `take_frame` found incomplete
    std::deque<std::vector<char>> kept_;  // whole frames, oldest first
    std::vector<char> kept_current_;      // the kept frame that was given out last
    std::vector<std::uint64_t> abandoned_;
};

/// A part of a streamed answer, not its end.
[[nodiscard]] bool is_stream_frame(wire::FrameType type) noexcept;

/// Milliseconds for poll() until `until_us`: -1 for kNever, rounded up, 0 when it has passed.
[[nodiscard]] int poll_wait_ms(std::int64_t until_us) noexcept;

}  // namespace hako::client
