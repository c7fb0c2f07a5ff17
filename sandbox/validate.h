#pragma once

#include <cstddef>
#include <span>
#include <variant>

#include "engine/base/result.h"
#include "engine/wire/spawner_protocol.h"

namespace hako::sandbox {

using Request =
    std::variant<spawner::Acquire, spawner::Destroy, spawner::PoolTarget, spawner::StatsRequest>;

inline constexpr std::uint32_t kPoolBlanksMax = 4096;

/// Decodes one packet of the engine and checks every field. Errors: kProtocol, `what` names the
/// field. Pure; this is all the parsing the privileged process does.
[[nodiscard]] Result<Request> decode_request(std::span<const std::byte> packet) noexcept;

}  // namespace hako::sandbox
