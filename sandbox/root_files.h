#pragma once

#include "engine/base/result.h"

namespace hako::sandbox {

/// Writes the synthetic /etc and a few static files of /sys below the working directory, which is
/// the root template being built. Copies from the host only what everybody may read and runtimes
/// need: certificates, loader cache, alternatives, time zone, settings of Java, mono and Python.
[[nodiscard]] Result<void> add_root_files();

}  // namespace hako::sandbox
