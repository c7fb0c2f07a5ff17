#pragma once

#include <cstddef>
#include <span>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace hako::bench {

/// A connected AF_UNIX stream pair.
struct StreamPair {
    UniqueFd near;
    UniqueFd far;
    [[nodiscard]] static Result<StreamPair> make();
};

/// Blocking transfer of all of `bytes`. read_all: kClosed at the end of the stream.
[[nodiscard]] Result<void> write_all(int fd, std::span<const char> bytes);
[[nodiscard]] Result<void> read_all(int fd, std::span<char> bytes);

}  // namespace hako::bench
