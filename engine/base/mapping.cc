#include "engine/base/mapping.h"

#include <sys/mman.h>

namespace hako {

Result<Mapping> Mapping::make_shared(int fd, std::size_t bytes) {
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        return fail_errno("mmap shared");
    }
    return Mapping(static_cast<std::byte*>(data), bytes);
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    if (this != &other) {
        Mapping old(std::move(*this));
        data_ = std::exchange(other.data_, nullptr);
        bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
}

Mapping::~Mapping() {
    if (data_ != nullptr) {
        (void
        )::munmap(data_, bytes_);  // can only fail on a bad address, which is ours by construction
    }
}

}  // namespace hako
