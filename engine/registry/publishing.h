#pragma once

#include <cstdint>

#include "engine/registry/control_parts.h"

// Versions, as CreateFunction, UpdateFunctionCode, PublishVersion and DeleteFunction need them.
namespace hako::registry {

/// What publishing came to: a new version, or the one there is already with this content.
struct Publication {
    FunctionRef made;
    FunctionRef same;

    [[nodiscard]] const FunctionRef& shown() const noexcept {
        return made != nullptr ? made : same;
    }
};

/// The newest version that was not deleted; null if there is none.
[[nodiscard]] FunctionRef last_published(const Function& function);
/// `latest` as version `number`; without an id.
[[nodiscard]] FunctionVersion publication_of(const FunctionVersion& latest, std::uint64_t number);

/// DeleteFunction with a qualifier.
[[nodiscard]] Outcome delete_version(
    ControlParts& parts, ControlCall& call, const FunctionName& name
);

}  // namespace hako::registry
