#include "engine/observe/tail_buffer.h"

#include <algorithm>
#include <cstring>

namespace hako::observe {

void TailBuffer::append(std::string_view text) noexcept {
    if (text.size() > kTailBytes) {
        total_bytes_ += text.size() - kTailBytes;
        text.remove_prefix(text.size() - kTailBytes);
    }
    const std::size_t at = total_bytes_ % kTailBytes;
    const std::size_t first_bytes = std::min(text.size(), kTailBytes - at);
    std::memcpy(ring_.data() + at, text.data(), first_bytes);
    std::memcpy(ring_.data(), text.data() + first_bytes, text.size() - first_bytes);
    total_bytes_ += text.size();
}

std::size_t TailBuffer::size_bytes() const noexcept {
    return std::min<std::uint64_t>(total_bytes_, kTailBytes);
}

std::size_t TailBuffer::copy_to(std::span<char, kTailBytes> out) const noexcept {
    const std::size_t bytes = size_bytes();
    const std::size_t start = (total_bytes_ - bytes) % kTailBytes;
    const std::size_t first_bytes = std::min(bytes, kTailBytes - start);
    std::memcpy(out.data(), ring_.data() + start, first_bytes);
    std::memcpy(out.data() + first_bytes, ring_.data(), bytes - first_bytes);
    return bytes;
}

}  // namespace hako::observe
