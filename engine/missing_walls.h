#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace hako {

/// The walls that sandboxes of the present spawner lack, and what is to be said about them.
class MissingWalls {
public:
    /// Takes what a spawner has found: bits of spawner::Wall. Logs each if they are not the last
    /// one's. True if functions may run: `accepted`, the setting allow_missing_walls, names all.
    [[nodiscard]] bool accept(std::uint32_t walls_missing, std::string_view accepted);
    /// `{"Name":..,"IsWall":..,"Missing":..,"Instead":..}` for each, between commas.
    [[nodiscard]] std::string json() const;

private:
    std::uint32_t missing_ = 0;
};

/// Logs why no spawner has started, and returns the engine's exit code for it. `wait_status` is
/// that of the last one, 0 if unknown.
[[nodiscard]] int explain_no_spawner(const Error& error, int wait_status);

}  // namespace hako
