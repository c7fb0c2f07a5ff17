#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/observe/metrics.h"
#include "engine/registry/function_name.h"

namespace hako {

/// What GetEngineStatus and /status tell.
struct EngineStatus {
    const registry::Identity& identity;
    std::string_view url_base;  ///< of the HTTP front door, as clients are shown it; may be empty
    std::string walls_missing;  ///< names as a JSON list without its brackets
    int keeper_pid = -1;
    int spawner_pid = -1;
    std::uint64_t spawner_number = 0;
    std::uint64_t features = 0;  ///< engine/wire/spawner_protocol.h
    std::size_t functions_count = 0;
    std::size_t frozen_count = 0;
    observe::Metrics metrics;

    [[nodiscard]] std::string to_json(std::int64_t now_us) const;
};

}  // namespace hako
