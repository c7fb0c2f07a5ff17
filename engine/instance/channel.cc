#include "engine/instance/channel.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>

#include <sys/mman.h>

#include "engine/base/ensure.h"

namespace hako::instance {
namespace {

// Payloads up to this stay resident for the next invocation: page faults cost 2 us each.
constexpr std::uint32_t kKeptBytes = 64 * 1024;
constexpr std::size_t kPageBytes = 4096;

template <std::size_t N>
bool put_text(char (&field)[N], std::string_view text) noexcept {
    if (text.size() >= N) {
        return false;
    }
    std::memcpy(field, text.data(), text.size());
    field[text.size()] = '\0';
    return true;
}

std::uint32_t load(std::uint32_t& word, std::memory_order order) noexcept {
    return std::atomic_ref<std::uint32_t>(word).load(order);
}

// What the type becomes is a header line of an answer: nothing that could end it.
bool is_header_text(std::string_view text) noexcept {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

std::size_t round_up_to_page(std::size_t bytes) noexcept {
    return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

}  // namespace

Result<Channel> Channel::map(int memfd) {
    Channel channel;
    TRY_ASSIGN(channel.mapping_, Mapping::make_shared(memfd, HAKO_CHANNEL_BYTES));
    if (channel.header()->magic != HAKO_CHANNEL_MAGIC ||
        channel.header()->version != HAKO_CHANNEL_VERSION) {
        return fail(Errc::kProtocol, "the sandbox's channel is of another version");
    }
    return channel;
}

hako_channel* Channel::header() const noexcept {
    return reinterpret_cast<hako_channel*>(mapping_.data());
}

void Channel::publish(hako_request_kind kind) noexcept {
    hako_channel& words = *header();
    words.request_kind = kind;
    posted_kind_ = kind;
    ++posted_seq_;
    // seq_cst: the store of the number must come before our look at worker_sleeping, as the
    // worker's store of worker_sleeping comes before its look at the number. One of the two sees
    // the other.
    std::atomic_ref<std::uint32_t>(words.request_seq).store(posted_seq_, std::memory_order_seq_cst);
}

Result<void> Channel::post_init(std::string_view environment_block) {
    if (environment_block.size() > HAKO_REQUEST_AREA_BYTES) {
        return fail(Errc::kLimit, "the environment is too large");
    }
    std::memcpy(
        mapping_.data() + HAKO_REQUEST_OFFSET, environment_block.data(), environment_block.size()
    );
    request_bytes_ = static_cast<std::uint32_t>(environment_block.size());
    header()->event_bytes = request_bytes_;
    header()->client_context_bytes = 0;
    publish(HAKO_REQUEST_INIT);
    return {};
}

Result<void> Channel::post_invoke(const InvokePost& post) {
    hako_channel& words = *header();
    if (post.event.size() > HAKO_EVENT_BYTES_MAX ||
        post.event.size() + post.client_context.size() > HAKO_REQUEST_AREA_BYTES) {
        return fail(Errc::kLimit, "event and client context do not fit the request area");
    }
    if (!put_text(words.request_id, post.request_id) ||
        !put_text(words.invoked_function_arn, post.function_arn) ||
        !put_text(words.trace_id, post.trace_id)) {
        return fail(Errc::kLimit, "a text of the request is longer than its field");
    }
    std::byte* area = mapping_.data() + HAKO_REQUEST_OFFSET;
    std::memcpy(area, post.event.data(), post.event.size());
    if (!post.client_context.empty()) {
        std::memcpy(
            area + post.event.size(), post.client_context.data(), post.client_context.size()
        );
    }
    words.event_bytes = static_cast<std::uint32_t>(post.event.size());
    words.client_context_bytes = static_cast<std::uint32_t>(post.client_context.size());
    words.deadline_unix_ms = post.deadline_unix_ms;
    words.deadline_monotonic_us = post.deadline_monotonic_us;
    takes_stream_ = post.stream_bytes_max != 0;
    words.request_flags = takes_stream_ ? HAKO_REQUEST_TAKES_STREAM : 0;
    if (takes_stream_) {
        words.stream_bytes_max = post.stream_bytes_max;
        words.engine_waiting = stream_ring_ = 1;
        words.stream_taken = stream_taken_ = 0;
    }
    request_bytes_ = words.event_bytes + words.client_context_bytes;
    publish(HAKO_REQUEST_INVOKE);
    return {};
}

bool Channel::worker_may_sleep() const noexcept {
    return load(header()->worker_sleeping, std::memory_order_seq_cst) != 0;
}

Result<Channel::Answer> Channel::take_answer() const noexcept {
    hako_channel& words = *header();
    if (load(words.response_seq, std::memory_order_acquire) != posted_seq_) {
        return fail(Errc::kNotFound, "no answer yet");
    }
    // Each word is read exactly once: the worker may go on writing.
    const std::uint32_t kind = load(words.response_kind, std::memory_order_relaxed);
    const std::uint32_t bytes = load(words.response_bytes, std::memory_order_relaxed);
    if (!fits(kind, bytes)) {
        return fail(Errc::kProtocol, "the worker's answer is out of bounds");
    }
    const bool has_payload = kind != HAKO_RESPONSE_READY && kind != HAKO_RESPONSE_TOO_LARGE &&
                             kind != HAKO_RESPONSE_STREAM_END;
    const std::uint32_t payload_bytes = has_payload ? bytes : 0;
    const std::uint32_t skipped_bytes =
        kind == HAKO_RESPONSE_STREAM_ERROR ? HAKO_STREAM_RING_BYTES : 0;
    response_bytes_ = skipped_bytes + payload_bytes;
    const auto* area = reinterpret_cast<const char*>(mapping_.data() + HAKO_RESPONSE_OFFSET);
    return Answer{
        .kind = static_cast<hako_response_kind>(kind),
        .payload = std::string_view(area + skipped_bytes, payload_bytes),
        .wanted_bytes = std::atomic_ref<std::uint64_t>(words.response_bytes_wanted)
                            .load(std::memory_order_relaxed),
    };
}

bool Channel::fits(std::uint32_t kind, std::uint32_t bytes) const noexcept {
    if (posted_kind_ == HAKO_REQUEST_INIT) {
        return (kind == HAKO_RESPONSE_READY || kind == HAKO_RESPONSE_INIT_ERROR) &&
               bytes <= HAKO_RESPONSE_BYTES_MAX;
    }
    if (kind == HAKO_RESPONSE_STREAM_END || kind == HAKO_RESPONSE_STREAM_ERROR) {
        return takes_stream_ && bytes <= HAKO_STREAM_ERROR_BYTES_MAX;
    }
    return kind >= HAKO_RESPONSE_RESULT && kind <= HAKO_RESPONSE_TOO_LARGE &&
           bytes <= HAKO_RESPONSE_BYTES_MAX;
}

bool Channel::has_stream_begun() const noexcept {
    return takes_stream_ && load(header()->stream_seq, std::memory_order_acquire) == posted_seq_;
}

Result<std::string> Channel::stream_type() const {
    hako_channel& words = *header();
    if (!has_stream_begun()) {
        return fail(Errc::kNotFound, "no stream yet");
    }
    // A copy first: the worker may go on writing while we look.
    std::array<char, HAKO_STREAM_TYPE_BYTES> copy;
    std::memcpy(copy.data(), words.stream_type, copy.size());
    const auto end = std::ranges::find(copy, '\0');
    std::string type(copy.begin(), end);
    if (end == copy.end() || !is_header_text(type)) {
        return fail(Errc::kProtocol, "the worker's content type is no header line");
    }
    return type;
}

Result<std::uint32_t> Channel::take_stream(std::span<char> into) noexcept {
    constexpr std::uint32_t kRing = HAKO_STREAM_RING_BYTES;
    static_assert((kRing & (kRing - 1)) == 0 && kRing <= HAKO_RESPONSE_AREA_BYTES);
    hako_channel& words = *header();
    // seq_cst: after `want_stream_ring` it must not be an older look at the counter.
    const std::uint32_t there_bytes =
        load(words.stream_put, std::memory_order_seq_cst) - stream_taken_;
    if (there_bytes > kRing) {
        return fail(Errc::kProtocol, "the worker's stream has more than its ring");
    }
    const auto bytes = static_cast<std::uint32_t>(std::min<std::size_t>(there_bytes, into.size()));
    if (bytes == 0) {
        return 0;
    }
    const auto* ring = reinterpret_cast<const char*>(mapping_.data() + HAKO_RESPONSE_OFFSET);
    const std::uint32_t at = stream_taken_ % kRing;
    const std::uint32_t first_bytes = std::min(bytes, kRing - at);
    std::memcpy(into.data(), ring + at, first_bytes);
    std::memcpy(into.data() + first_bytes, ring, bytes - first_bytes);
    stream_taken_ += bytes;
    // seq_cst, for the look at worker_waiting that follows: as with request_seq above.
    std::atomic_ref<std::uint32_t>(words.stream_taken)
        .store(stream_taken_, std::memory_order_seq_cst);
    return bytes;
}

bool Channel::stream_worker_may_sleep() const noexcept {
    return load(header()->worker_waiting, std::memory_order_seq_cst) != 0;
}

void Channel::want_stream_ring(bool wanted) noexcept {
    // A new number each time: the worker rings once for each.
    stream_ring_ += wanted ? 1 : 0;
    std::atomic_ref<std::uint32_t>(header()->engine_waiting)
        .store(wanted ? stream_ring_ : 0, std::memory_order_seq_cst);
}

void Channel::release_large() noexcept {
    // A long stream has been all over its ring.
    response_bytes_ = std::max(response_bytes_, std::min(stream_taken_, HAKO_STREAM_RING_BYTES));
    stream_taken_ = 0;
    std::byte* base = mapping_.data();
    if (request_bytes_ > kKeptBytes) {
        // Advice only: if it fails the pages stay charged to us until the sandbox ends.
        (void)::madvise(
            base + HAKO_REQUEST_OFFSET + kKeptBytes,
            round_up_to_page(request_bytes_) - kKeptBytes,
            MADV_REMOVE
        );
        request_bytes_ = 0;
    }
    if (response_bytes_ > kKeptBytes) {
        (void)::madvise(
            base + HAKO_RESPONSE_OFFSET + kKeptBytes,
            round_up_to_page(response_bytes_) - kKeptBytes,
            MADV_REMOVE
        );  // as above
        response_bytes_ = 0;
    }
}

}  // namespace hako::instance
