#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "engine/base/byte_buffer.h"
#include "engine/base/unique_fd.h"
#include "engine/fiber/fiber.h"
#include "engine/gateway/frame/recv_block.h"
#include "engine/gateway/frame/server.h"
#include "engine/instance/invoke_types.h"
#include "engine/ring/loop.h"
#include "engine/wire/frame.h"

namespace hako::gateway {

/// One client of the frame socket: a fiber reads and begins frames, a fiber sends what has been
/// answered, one fiber runs each request. Lives until all of them are done with it.
class FrameConnection {
public:
    FrameConnection(FrameServer& server, UniqueFd socket);
    FrameConnection(const FrameConnection&) = delete;
    FrameConnection& operator=(const FrameConnection&) = delete;

    /// Starts the two fibers; nothing runs if it fails. Errors: kLimit.
    [[nodiscard]] Result<void> start();
    /// No further frames are begun.
    void stop_reading();
    void close();

    // For the requests that run:
    void answer(
        const wire::FrameHeader& header,
        std::initializer_list<std::string_view> meta,
        std::string_view payload
    );
    /// Parks while the client has much to read yet. Errors: kClosed, kCancelled.
    [[nodiscard]] Result<void> await_stream_room();
    void call_begun(FrameCall& call);
    void call_done(FrameCall& call);
    [[nodiscard]] bool is_gone() const noexcept { return gone_; }
    [[nodiscard]] const http::Caller& caller() const noexcept { return caller_; }

private:
    /// Who is at the other end, and what he may do whatever it is done to.
    void identify();
    void read_loop();
    void write_loop();
    /// Waits until a further request may be begun. False: none will be.
    [[nodiscard]] bool await_room();
    [[nodiscard]] Result<void> read_more();
    [[nodiscard]] Result<void> send_answers();
    /// Bytes of the next frame, as far as is known: at least those of a header.
    [[nodiscard]] std::size_t next_frame_bytes();
    /// Begins the whole frames in the block, as many as may run. False: the connection is to be
    /// closed.
    [[nodiscard]] bool take_frames();
    [[nodiscard]] bool begin_frame(
        const wire::FrameHeader& header, std::string_view meta, std::string_view payload
    );
    [[nodiscard]] bool begin_call(
        const wire::FrameHeader& header, std::string_view meta, std::string_view payload
    );
    void make_room(std::size_t wanted_bytes);
    void refuse(std::uint64_t correlation, std::string_view text);
    [[nodiscard]] bool may_read() const noexcept;
    void wake_reader();
    void wake_streams();
    void watch_for_leaving();
    /// Ends what runs for a client that is gone.
    void end_calls();
    void fiber_done();
    void forget_if_done();

    FrameServer& server_;
    UniqueFd socket_;
    http::Caller caller_;
    fiber::FiberId reader_;
    fiber::FiberId writer_;
    ring::Watch leaving_;
    BlockRef block_;
    std::size_t begin_bytes_ = 0;  // of what was received and not yet begun, in the block
    std::size_t end_bytes_ = 0;
    std::int64_t partial_since_us_ = 0;  // when the frame that is not whole was begun; 0: none
    ByteBuffer pending_;                 // answers to send next
    ByteBuffer sending_;                 // answers the kernel is being given
    FrameCall* calls_ = nullptr;         // list of the invocations that run
    std::uint32_t calls_count_ = 0;
    std::uint32_t fibers_count_ = 0;
    std::uint32_t streams_waiting_count_ = 0;  // calls in await_stream_room
    bool reader_waits_ = false;                // for may_read
    bool leaving_watched_ = false;
    bool gone_ = false;      // nobody wants the answers any more
    bool closed_ = false;    // nothing can be sent or received any more
    bool finished_ = false;  // the reader has ended: close once everything is answered
};

/// One request that runs; pooled by the server.
struct FrameCall final : instance::InvokeObserver {
    FrameServer* server = nullptr;
    FrameConnection* connection = nullptr;
    BlockRef block;  // keeps the views below alive
    wire::FrameHeader header;
    std::string_view meta;
    std::string_view payload;
    fiber::FiberId fiber;
    FrameCall* next = nullptr;
    FrameCall* previous = nullptr;

    virtual ~FrameCall() = default;
    void run();
    void run_invoke();
    void run_control();
    [[nodiscard]] registry::ControlAnswer control(const wire::ControlRequest& request);
    /// Answers an invocation that was not begun.
    void reply_error(const registry::ApiError& error);
    /// Answers without having begun: the engine runs as many requests as it may.
    void refuse();
    void payload_taken() override;
    [[nodiscard]] bool is_gone() const override { return connection->is_gone(); }
    void reply(const instance::InvokeReply& reply) override;
    [[nodiscard]] bool wants_stream() const override {
        return (header.flags & wire::kFlagStream) != 0;
    }
    [[nodiscard]] Result<void> on_begin(const instance::StreamHead& head) override;
    [[nodiscard]] Result<void> on_part(std::string_view part) override;
};

}  // namespace hako::gateway
