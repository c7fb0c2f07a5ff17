#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <utility>

namespace hako {

/// A growable run of bytes that, unlike std::vector, never fills what it is about to hand out.
class ByteBuffer {
public:
    ByteBuffer() = default;
    ByteBuffer(ByteBuffer&& other) noexcept { swap(other); }
    ByteBuffer& operator=(ByteBuffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ByteBuffer(const ByteBuffer&) = delete;
    ByteBuffer& operator=(const ByteBuffer&) = delete;
    ~ByteBuffer() { std::free(data_); }

    void swap(ByteBuffer& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }

    /// `bytes` more at the end, not initialised; valid until the next call that grows.
    [[nodiscard]] std::byte* extend(std::size_t bytes) {
        if (capacity_ - size_ < bytes) {
            grow(bytes);
        }
        std::byte* out = data_ + size_;
        size_ += bytes;
        return out;
    }
    void append(const void* from, std::size_t bytes) {
        if (bytes > 0) {
            std::memcpy(extend(bytes), from, bytes);
        }
    }
    void append(std::string_view text) { append(text.data(), text.size()); }
    void clear() noexcept { size_ = 0; }
    /// Takes back the last `bytes`.
    void drop_back(std::size_t bytes) noexcept { size_ -= bytes; }
    /// Empties it and gives the memory back if it is larger than `keep_bytes`.
    void shrink(std::size_t keep_bytes) noexcept {
        size_ = 0;
        if (capacity_ > keep_bytes) {
            std::free(std::exchange(data_, nullptr));
            capacity_ = 0;
        }
    }

    [[nodiscard]] std::size_t size_bytes() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

private:
    void grow(std::size_t bytes) {
        std::size_t wanted = capacity_ < 4096 ? 4096 : capacity_ * 2;
        while (wanted < size_ + bytes) {
            wanted *= 2;
        }
        void* moved = std::realloc(data_, wanted);
        if (moved == nullptr) {
            throw std::bad_alloc();
        }
        data_ = static_cast<std::byte*>(moved);
        capacity_ = wanted;
    }

    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace hako
