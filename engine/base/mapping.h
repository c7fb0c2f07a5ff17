#pragma once

#include <cstddef>
#include <utility>

#include "engine/base/result.h"

namespace hako {

/// Owns one mmap()ed range; unmaps it when destroyed.
class Mapping {
public:
    Mapping() noexcept = default;
    /// Maps `bytes` of `fd` from offset 0 shared and writable. Errors: kSystem.
    [[nodiscard]] static Result<Mapping> make_shared(int fd, std::size_t bytes);

    Mapping(Mapping&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Mapping& operator=(Mapping&& other) noexcept;
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping();

    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size_bytes() const noexcept { return bytes_; }
    [[nodiscard]] explicit operator bool() const noexcept { return data_ != nullptr; }

private:
    Mapping(std::byte* data, std::size_t bytes) noexcept : data_(data), bytes_(bytes) {}
    std::byte* data_ = nullptr;
    std::size_t bytes_ = 0;
};

}  // namespace hako
