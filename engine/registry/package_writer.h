#pragma once

#include <cstddef>
#include <expected>
#include <span>

#include "engine/registry/api_error.h"

namespace hako::registry {

/// Unpacks `zip` into the empty directory `dir_fd`: files 0444 or 0555, directories 0555, all of it
/// on disk when the call returns. On an error the directory holds a part and is to be removed.
[[nodiscard]] std::expected<void, ApiError> unpack_zip(std::span<const std::byte> zip, int dir_fd);

}  // namespace hako::registry
