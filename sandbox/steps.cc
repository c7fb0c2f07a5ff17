#include "sandbox/steps.h"

#include <array>

namespace hako::sandbox {

std::string_view step_name(Step step) noexcept {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(Step::kCount)> kNames = {
        "none",
        "slot",
        "make-cgroup",
        "make-channel",
        "make-log-pipe",
        "make-namespaces",
        "send-plan",
        "clone",
        "join-cgroups",
        "unshare-cgroup",
        "join-net",
        "mount-proc",
        "mount-tmp",
        "init-ids",
        "join-user",
        "drop-bounding-set",
        "lock-securebits",
        "fork-worker",
        "init-drop-capabilities",
        "init-descriptors",
        "init-pdeathsig",
        "init-rseq",
        "init-seccomp",
        "worker-ids",
        "worker-drop-capabilities",
        "worker-descriptors",
        "worker-session",
        "worker-seccomp",
        "open-code",
        "enter-mounts",
        "mount-code",
        "open-layers",
        "mount-layers",
        "resize-tmp",
        "set-limits",
        "zygote-gone",
        "ready-timeout",
    };
    static_assert(!kNames.back().empty());
    const auto index = static_cast<std::size_t>(step);
    return index < kNames.size() ? kNames[index] : std::string_view("unknown");
}

}  // namespace hako::sandbox
