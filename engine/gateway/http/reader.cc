#include "engine/gateway/http/reader.h"

#include <algorithm>
#include <cstring>

#include "engine/base/ensure.h"

namespace hako::gateway::http {
namespace {

// Behind the longest head: most bodies fit, and chunks are read through it.
constexpr std::size_t kBodyRoomBytes = 32 * 1024;

std::string_view view(const std::byte* data, std::size_t bytes) {
    return {reinterpret_cast<const char*>(data), bytes};
}

}  // namespace

RequestReader::RequestReader(const HeadLimits& limits)
    : limits_(limits),
      block_bytes_(limits.bytes_max + kBodyRoomBytes),
      // Not filled: pages that no request has reached cost nothing.
      block_(std::make_unique_for_overwrite<std::byte[]>(block_bytes_ + kBodyReadAheadBytes)) {}

std::string_view RequestReader::unread() const noexcept {
    return view(block_.get() + begin_bytes_, end_bytes_ - begin_bytes_);
}

std::expected<RequestReader::Next, Fault> RequestReader::advance() {
    switch (stage_) {
        case Stage::kHead:
            return advance_head();
        case Stage::kBody:
            return advance_body();
        case Stage::kChunks:
            return advance_chunks();
        case Stage::kAsking:
        case Stage::kWhole:
            break;
    }
    ENSURE(false, "advanced while an answer is due");
    return Next::kMore;
}

std::expected<RequestReader::Next, Fault> RequestReader::advance_head() {
    auto place = find_head(unread(), limits_);
    if (!place) {
        return std::unexpected(place.error());
    }
    if (place->end_bytes == 0) {
        return Next::kMore;
    }
    const std::string_view head =
        unread().substr(place->begin_bytes, place->end_bytes - place->begin_bytes);
    if (const auto fault = parser_.read_head(head, request_)) {
        return std::unexpected(*fault);
    }
    begin_bytes_ += place->end_bytes;
    head_end_bytes_ = begin_bytes_;
    const std::uint64_t length = parser_.content_length();
    if (!parser_.is_chunked() && length <= unread().size()) {
        return advance_body();
    }
    stage_ = Stage::kAsking;
    return Next::kHead;
}

bool RequestReader::allow_body(std::uint64_t body_bytes_max) {
    ENSURE(stage_ == Stage::kAsking, "a body is allowed once");
    body_bytes_max_ = body_bytes_max;
    if (parser_.is_chunked()) {
        stage_ = Stage::kChunks;
        return true;
    }
    const std::uint64_t length = parser_.content_length();
    if (length > body_bytes_max) {
        return false;
    }
    stage_ = Stage::kBody;
    if (length > block_bytes_ - begin_bytes_) {
        extra_bytes_ = length + kBodyReadAheadBytes;
        large_ = std::make_unique_for_overwrite<std::byte[]>(extra_bytes_);
        large_got_bytes_ = end_bytes_ - begin_bytes_;
        std::memcpy(large_.get(), block_.get() + begin_bytes_, large_got_bytes_);
        begin_bytes_ = end_bytes_;
    }
    return true;
}

std::expected<RequestReader::Next, Fault> RequestReader::advance_body() {
    const std::size_t length = parser_.content_length();
    if (large_ != nullptr) {
        return large_got_bytes_ == length ? whole(view(large_.get(), length)) : Next::kMore;
    }
    if (unread().size() < length) {
        return Next::kMore;
    }
    const std::string_view body = unread().substr(0, length);
    begin_bytes_ += length;
    return whole(body);
}

std::expected<RequestReader::Next, Fault> RequestReader::advance_chunks() {
    const auto chunks = parser_.take_chunks(unread(), joined_, body_bytes_max_);
    if (!chunks) {
        return std::unexpected(chunks.error());
    }
    begin_bytes_ += chunks->taken_bytes;
    extra_bytes_ = joined_.size_bytes();
    if (chunks->is_whole) {
        const std::size_t body_bytes = joined_.size_bytes();
        (void)joined_.extend(kBodyReadAheadBytes);
        return whole(view(joined_.bytes().data(), body_bytes));
    }
    const std::string_view rest = unread();
    std::memmove(block_.get() + head_end_bytes_, rest.data(), rest.size());
    begin_bytes_ = head_end_bytes_;
    end_bytes_ = head_end_bytes_ + rest.size();
    if (end_bytes_ == block_bytes_) {
        return std::unexpected(Fault{.text = "The header of a chunk is too long."});
    }
    return Next::kMore;
}

RequestReader::Next RequestReader::whole(std::string_view body) noexcept {
    request_.body = body;
    stage_ = Stage::kWhole;
    return Next::kWhole;
}

std::span<std::byte> RequestReader::room() noexcept {
    if (large_ != nullptr) {
        return {large_.get() + large_got_bytes_, parser_.content_length() - large_got_bytes_};
    }
    return {block_.get() + end_bytes_, block_bytes_ - end_bytes_};
}

void RequestReader::received(std::size_t bytes) noexcept {
    (large_ != nullptr ? large_got_bytes_ : end_bytes_) += bytes;
}

void RequestReader::next_request() noexcept {
    release_body();
    const std::size_t rest_bytes = end_bytes_ - begin_bytes_;
    if (rest_bytes > 0) {
        std::memmove(block_.get(), block_.get() + begin_bytes_, rest_bytes);
    }
    begin_bytes_ = 0;
    end_bytes_ = rest_bytes;
    stage_ = Stage::kHead;
}

void RequestReader::reset() noexcept {
    release_body();
    begin_bytes_ = end_bytes_ = 0;
    stage_ = Stage::kHead;
}

std::span<const std::byte> RequestReader::begun() const noexcept {
    return {block_.get() + begin_bytes_, end_bytes_ - begin_bytes_};
}

void RequestReader::put_back(std::span<const std::byte> begun) noexcept {
    ENSURE(begun.size() <= block_bytes_, "what came from a block fits one");
    std::memcpy(block_.get(), begun.data(), begun.size());
    begin_bytes_ = 0;
    end_bytes_ = begun.size();
}

std::uint64_t RequestReader::body_bytes() const noexcept {
    if (large_ != nullptr) {
        return large_got_bytes_;
    }
    return parser_.is_chunked() ? joined_.size_bytes() : end_bytes_ - begin_bytes_;
}

void RequestReader::release_body() noexcept {
    large_.reset();
    large_got_bytes_ = 0;
    joined_.shrink(0);
    extra_bytes_ = 0;
}

}  // namespace hako::gateway::http
