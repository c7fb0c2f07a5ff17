#pragma once

#include <expected>
#include <string_view>

#include "engine/client/include/hako/client.h"

namespace hako::client {

/// A failure is the public error struct itself: it carries a text with the offending value, and is
/// only built on the way out.
template <typename T>
using Outcome = std::expected<T, hako_client_error>;

[[nodiscard]] std::unexpected<hako_client_error> failure(int code, std::string_view text) noexcept;
/// From `sys_errno`; the text is "STEP: what the number means".
[[nodiscard]] std::unexpected<hako_client_error> system_failure(
    int sys_errno, std::string_view step
) noexcept;

}  // namespace hako::client
