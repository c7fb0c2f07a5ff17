#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/mapping.h"
#include "engine/base/result.h"
#include "hako/channel.h"

namespace hako::instance {

/// One invocation as it is handed to a worker. Views; copied into the channel by `post_invoke`.
struct InvokePost {
    std::string_view event;
    std::string_view client_context;
    std::string_view request_id;
    std::string_view function_arn;
    std::string_view trace_id;
    std::int64_t deadline_unix_ms = 0;
    std::int64_t deadline_monotonic_us = 0;
    /// The answer may be streamed, up to so many bytes; 0: it comes at once.
    std::uint64_t stream_bytes_max = 0;
};

/// The engine's side of one instance's shared memory (hako/channel.h). The other side is hostile:
/// every word is read once and checked, the payload view is to be copied before anything looks at
/// it.
class Channel {
public:
    Channel() = default;
    /// Maps the memfd of a sandbox. Errors: kSystem, kProtocol (not a channel of this version).
    [[nodiscard]] static Result<Channel> map(int memfd);

    /// Both fill the request area and publish the request; the caller then wakes the worker if
    /// `worker_may_sleep`. Errors: kLimit (the text does not fit its field; nothing was published).
    [[nodiscard]] Result<void> post_init(std::string_view environment_block);
    [[nodiscard]] Result<void> post_invoke(const InvokePost& post);

    /// Whether the worker may be in the kernel, so that it needs a futex wake. Call after a post.
    [[nodiscard]] bool worker_may_sleep() const noexcept;
    [[nodiscard]] std::uint32_t* request_word() const noexcept { return &header()->request_seq; }

    struct Answer {
        hako_response_kind kind = HAKO_RESPONSE_READY;
        std::string_view payload;
        std::uint64_t wanted_bytes =
            0;  ///< TOO_LARGE: what the worker wanted to send, as far as it can be believed
    };
    /// The answer to the request posted last. Errors: kNotFound (not there yet), kProtocol
    /// (garbage; end the sandbox).
    [[nodiscard]] Result<Answer> take_answer() const noexcept;

    // A streamed answer, of a request that was posted with `stream_bytes_max`:

    [[nodiscard]] bool has_stream_begun() const noexcept;
    /// The content type, once the worker has begun to stream; copied and fit for a header line.
    /// Errors: kNotFound (not begun), kProtocol (garbage; end the sandbox).
    [[nodiscard]] Result<std::string> stream_type() const;
    /// Copies what the worker has put and we have not taken, as much as fits `into`, and gives it
    /// the room. 0: nothing there. Errors: kProtocol (counters that cannot be).
    [[nodiscard]] Result<std::uint32_t> take_stream(std::span<char> into) noexcept;
    /// Whether the worker waits for the room that was given; then wake it at `stream_word`.
    [[nodiscard]] bool stream_worker_may_sleep() const noexcept;
    [[nodiscard]] std::uint32_t* stream_word() const noexcept { return &header()->stream_taken; }
    /// Says whether the next bytes shall ring. After `true` look once more before waiting.
    void want_stream_ring(bool wanted) noexcept;

    /// Gives the pages of large payloads back; cheap if the last request and answer were small.
    void release_large() noexcept;

private:
    [[nodiscard]] hako_channel* header() const noexcept;
    void publish(hako_request_kind kind) noexcept;
    [[nodiscard]] bool fits(std::uint32_t kind, std::uint32_t bytes) const noexcept;

    Mapping mapping_;
    std::uint32_t posted_seq_ = 0;
    hako_request_kind posted_kind_ = HAKO_REQUEST_INIT;
    std::uint32_t request_bytes_ = 0;
    mutable std::uint32_t response_bytes_ = 0;
    bool takes_stream_ = false;
    std::uint32_t stream_ring_ = 0;
    std::uint32_t stream_taken_ = 0;  // modulo 2^32, as the channel's
};

}  // namespace hako::instance
