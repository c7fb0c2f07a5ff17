#include "engine/instance/channel.h"

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
    const bool is_init = posted_kind_ == HAKO_REQUEST_INIT;
    const bool kind_fits = is_init
                               ? kind == HAKO_RESPONSE_READY || kind == HAKO_RESPONSE_INIT_ERROR
                               : kind >= HAKO_RESPONSE_RESULT && kind <= HAKO_RESPONSE_TOO_LARGE;
    if (!kind_fits || bytes > HAKO_RESPONSE_BYTES_MAX) {
        return fail(Errc::kProtocol, "the worker's answer is out of bounds");
    }
    const bool has_payload = kind != HAKO_RESPONSE_READY && kind != HAKO_RESPONSE_TOO_LARGE;
    response_bytes_ = has_payload ? bytes : 0;
    const auto* area = reinterpret_cast<const char*>(mapping_.data() + HAKO_RESPONSE_OFFSET);
    return Answer{
        .kind = static_cast<hako_response_kind>(kind),
        .payload = std::string_view(area, response_bytes_),
        .wanted_bytes = std::atomic_ref<std::uint64_t>(words.response_bytes_wanted)
                            .load(std::memory_order_relaxed),
    };
}

void Channel::release_large() noexcept {
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
