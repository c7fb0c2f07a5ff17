#pragma once

#include "hako/function.h"

namespace hako::escape {

/// Does to its own engine what the event's "do" names (docs in misdeeds.cc) and, if it comes that
/// far, answers.
[[nodiscard]] int misbehave(hako_invocation* inv);

}  // namespace hako::escape
