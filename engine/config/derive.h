#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/config/parse.h"
#include "engine/config/settings.h"

namespace hako::config {

/// What the engine becomes when started as root and nobody says otherwise; outside of every range
/// that Debian, systemd or a directory service hands out.
inline constexpr std::uint32_t kEngineUid = 1999999999;

/// Fills in what depends on other settings or the machine and was not given.
void derive(Settings& settings, const ParseWorld& world);

/// Rules about the form of strings and about several settings together. Nothing if all is well,
/// else one line naming the field, its value and what is allowed.
[[nodiscard]] std::optional<std::string> check(const Settings& settings);

}  // namespace hako::config
