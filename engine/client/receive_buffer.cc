#include "engine/client/receive_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/base/ensure.h"

namespace hako::client {
namespace {

constexpr std::size_t kBlockBytes = 256 * 1024;
// A read into less than this is not worth its system call: move the rest to the front instead.
constexpr std::size_t kRoomBytesMin = 16 * 1024;

}  // namespace

std::string_view ReceiveBuffer::take(std::size_t bytes) noexcept {
    ENSURE(bytes <= end_ - begin_, "only what has been received can be taken");
    const std::string_view taken(bytes_.get() + begin_, bytes);
    begin_ += bytes;
    holds_taken_ = true;
    return taken;
}

void ReceiveBuffer::release_taken() noexcept {
    holds_taken_ = false;
    kept_block_.reset();
    if (begin_ == end_) {
        begin_ = 0;
        end_ = 0;
    }
}

std::span<char> ReceiveBuffer::room(std::size_t bytes_min) {
    const std::size_t wanted = std::max(bytes_min, kRoomBytesMin);
    if (capacity_bytes_ - end_ < wanted) {
        grow(wanted);
    }
    return {bytes_.get() + end_, capacity_bytes_ - end_};
}

void ReceiveBuffer::grow(std::size_t bytes_min) {
    const std::size_t pending_bytes = end_ - begin_;
    if (!holds_taken_ && capacity_bytes_ - pending_bytes >= bytes_min) {
        std::memmove(bytes_.get(), bytes_.get() + begin_, pending_bytes);
    } else {
        // Twice what is pending: a long drain must not copy everything at each step.
        const std::size_t capacity =
            std::max(kBlockBytes, pending_bytes + std::max(pending_bytes, bytes_min));
        auto block = std::make_unique_for_overwrite<char[]>(capacity);
        if (pending_bytes > 0) {
            std::memcpy(block.get(), bytes_.get() + begin_, pending_bytes);
        }
        std::swap(block, bytes_);
        capacity_bytes_ = capacity;
        if (holds_taken_) {
            ENSURE(kept_block_ == nullptr, "taken bytes lie in one block");
            kept_block_ = std::move(block);
            holds_taken_ = false;
        }
    }
    begin_ = 0;
    end_ = pending_bytes;
}

}  // namespace hako::client
