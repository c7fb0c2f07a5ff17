#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace hako::client {

/// Bytes received but not yet taken, in one block that grows with the largest frame. Frames are
/// read in place: what `take` returned stays where it is until `release_taken`.
class ReceiveBuffer {
public:
    [[nodiscard]] std::string_view pending() const noexcept {
        return {bytes_.get() + begin_, end_ - begin_};
    }
    /// Marks the first `bytes` pending ones as taken.
    [[nodiscard]] std::string_view take(std::size_t bytes) noexcept;
    /// The taken bytes may be overwritten from now on.
    void release_taken() noexcept;

    /// Space behind the pending bytes, at least `bytes_min`. Never moves taken bytes: a block that
    /// holds some is kept aside until `release_taken`.
    [[nodiscard]] std::span<char> room(std::size_t bytes_min);
    /// `bytes` of `room` have been filled.
    void added(std::size_t bytes) noexcept { end_ += bytes; }

private:
    void grow(std::size_t bytes_min);

    std::unique_ptr<char[]> bytes_;
    std::size_t capacity_bytes_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    bool holds_taken_ = false;            // `bytes_` does
    std::unique_ptr<char[]> kept_block_;  // with the taken bytes, if they are not in `bytes_`
};

}  // namespace hako::client
