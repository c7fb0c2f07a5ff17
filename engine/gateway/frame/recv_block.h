#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace hako::gateway {

/// What simdjson may read behind a payload.
inline constexpr std::size_t kReadAheadBytes = 64;

/// Received bytes, shared by the frames that lie in them; counted on one thread.
class RecvBlock {
public:
    // Not filled: a header alone, which announces megabytes, must not cost their pages.
    explicit RecvBlock(std::size_t capacity_bytes)
        : bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity_bytes + kReadAheadBytes)),
          capacity_bytes_(capacity_bytes) {}
    [[nodiscard]] std::byte* data() noexcept { return bytes_.get(); }
    [[nodiscard]] std::size_t capacity_bytes() const noexcept { return capacity_bytes_; }

private:
    friend class BlockRef;
    std::unique_ptr<std::byte[]> bytes_;
    std::size_t capacity_bytes_;
    std::uint32_t refs_count_ = 0;
};

/// A counted reference to a RecvBlock.
class BlockRef {
public:
    BlockRef() noexcept = default;
    [[nodiscard]] static BlockRef make(std::size_t capacity_bytes) {
        return BlockRef(new RecvBlock(capacity_bytes));
    }
    BlockRef(const BlockRef& other) noexcept : BlockRef(other.block_) {}
    BlockRef(BlockRef&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
    BlockRef& operator=(BlockRef other) noexcept {
        std::swap(block_, other.block_);
        return *this;
    }
    ~BlockRef() { reset(); }

    void reset() noexcept {
        if (block_ != nullptr && --block_->refs_count_ == 0) {
            delete block_;
        }
        block_ = nullptr;
    }
    [[nodiscard]] RecvBlock* operator->() const noexcept { return block_; }
    [[nodiscard]] explicit operator bool() const noexcept { return block_ != nullptr; }
    [[nodiscard]] bool is_sole() const noexcept { return block_->refs_count_ == 1; }

private:
    explicit BlockRef(RecvBlock* block) noexcept : block_(block) {
        if (block_ != nullptr) {
            ++block_->refs_count_;
        }
    }
    RecvBlock* block_ = nullptr;
};

}  // namespace hako::gateway
