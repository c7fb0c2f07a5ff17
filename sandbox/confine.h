#pragma once

#include <span>

#include <linux/filter.h>

// Steps of giving up rights that init, worker and engine share. Each returns 0 or an errno; none
// allocates, so all may run between clone and exec.
namespace hako::sandbox {

/// Empties the effective, permitted and inheritable sets (the ambient one follows).
[[nodiscard]] int drop_capabilities() noexcept;
/// Empties the bounding set; needs CAP_SETPCAP, so it comes before drop_capabilities.
[[nodiscard]] int drop_bounding_set() noexcept;
/// No root fix-ups, no keep-caps, no ambient raise, all locked; needs CAP_SETPCAP too.
[[nodiscard]] int lock_securebits() noexcept;
/// Installs `filter` for this thread, or for all threads. Needs no_new_privs.
[[nodiscard]] int install_filter(std::span<const sock_filter> filter, bool all_threads) noexcept;

}  // namespace hako::sandbox
