#pragma once

#include <optional>
#include <string>

#include "engine/config/parse.h"
#include "engine/config/settings.h"

namespace hako::config {

/// Fills in what depends on other settings or the machine and was not given.
void derive(Settings& settings, const ParseWorld& world);

/// Rules about the form of strings and about several settings together. Nothing if all is well,
/// else one line naming the field, its value and what is allowed.
[[nodiscard]] std::optional<std::string> check(const Settings& settings);

}  // namespace hako::config
