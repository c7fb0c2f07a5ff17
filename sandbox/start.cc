#include "sandbox/start.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/id_map.h"
#include "sandbox/keeper.h"
#include "sandbox/probe.h"
#include "sandbox/spawner.h"
#include "sandbox/user_namespace.h"
#include "sandbox/walls.h"

namespace hako::sandbox {
namespace {

constexpr std::int64_t kLeftoversUs = 10'000'000;

int complain(int exit_code, const char* text, const char* detail) {
    log_line("%s: %s", text, detail);
    return exit_code;
}

/// Descriptors: a dozen per blank, a handful per live sandbox; as many as the kernel allows.
void raise_descriptor_limit() {
    rlim_t most = 1U << 20U;
    std::ifstream("/proc/sys/fs/nr_open") >> most;
    rlimit limit{.rlim_cur = most, .rlim_max = most};
    if (::setrlimit(RLIMIT_NOFILE, &limit) == 0) {
        return;
    }
    // Without CAP_SYS_RESOURCE: up to the hard limit.
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
    }
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        log_line("cannot raise the descriptor limit: %s", std::strerror(errno));
    }
}

/// For an ordinary user: a user namespace in which it is root. Nothing to do for root.
int become_root(Settings& settings) {
    if (::geteuid() == 0) {
        return kExitOk;
    }
    const auto entered = enter_user_namespace(2 * kSlotsMax);
    if (!entered) {
        log_line(
            "started without root, and this machine lets an ordinary user make no user "
            "namespace: %s: %s (%s)",
            entered.error().what,
            std::strerror(entered.error().sys_errno),
            describe_user_namespace_settings().c_str()
        );
        return kExitNoNamespace;
    }
    settings.mapped_ids_count = *entered;
    return kExitOk;
}

/// Host ids for sandboxes out of those that exist here.
void plan_ids(Settings& settings) {
    IdPlan& ids = settings.ids;
    if (settings.mapped_ids_count) {
        // Half for workers, half for their inits.
        const std::uint32_t slots_count = *settings.mapped_ids_count / 2;
        ids = {.base = 1, .init_offset = slots_count, .is_shared = slots_count == 0};
        if (slots_count > 0) {
            settings.slots_max = std::min(settings.slots_max, slots_count);
        }
    } else if (settings.in_user_namespace) {
        ids.is_shared = !has_ids(ids.base, ids.init_offset + settings.slots_max);
    }
}

/// Everything between being root, of the machine or of a user namespace, and the first probe.
Result<void> enter(Settings& settings) {
    settings.in_user_namespace = is_in_user_namespace();
    plan_ids(settings);
    // Mounting code needs a mount namespace that belongs to the user namespace.
    return settings.in_user_namespace ? enter_mount_namespace() : Result<void>{};
}

CgroupPlace place_of(const Settings& settings) {
    return {.name = settings.cgroup, .is_delegated = settings.in_user_namespace};
}

/// What an ordinary user's namespaces may be refused by, although there is a user namespace.
bool is_of_namespaces(std::string_view feature) {
    constexpr std::array<std::string_view, 3> kOthers = {"clone3", "pidfd", "close_range"};
    return std::ranges::find(kOthers, feature) == kOthers.end() && feature != "seccomp_filter";
}

int check_kernel(const Settings& settings) {
    const char* missing = find_missing(probe_kernel());
    if (missing == nullptr) {
        return kExitOk;
    }
    if (settings.in_user_namespace && is_of_namespaces(missing)) {
        log_line(
            "started without root, and in a user namespace this machine refuses %s (%s)",
            missing,
            describe_user_namespace_settings().c_str()
        );
        return kExitNoNamespace;
    }
    return complain(kExitKernel, "the kernel lacks", missing);
}

int complain_of_tree(const Error& error, const std::string& name) {
    const int code = error.code == Errc::kExists        ? kExitInUse
                     : error.code == Errc::kUnsupported ? kExitKernel
                                                        : kExitSystem;
    const char* detail = error.sys_errno != 0 ? std::strerror(error.sys_errno) : name.c_str();
    return complain(code, error.what, detail);
}

int run_spawner(Settings settings) {
    auto tree = CgroupTree::open(place_of(settings));
    if (!tree) {
        return complain_of_tree(tree.error(), settings.cgroup);
    }
    const auto leftovers = tree->remove_leftovers(now_us() + kLeftoversUs);
    if (!leftovers) {
        return complain(kExitSystem, leftovers.error().what, settings.cgroup.c_str());
    }
    if (settings.cpu_cap && !tree->enable_cpu_cap()) {
        return complain(kExitKernel, "the kernel lacks", "CPU bandwidth control (--cpu-cap)");
    }
    if (settings.prefer_engine) {
        const int engine_pid = settings.engine_pid != 0 ? settings.engine_pid : ::getppid();
        if (auto preferred = tree->prefer({engine_pid, ::getpid()}); !preferred) {
            log_line("no CPU weight of its own for the engine: %s", preferred.error().what);
        }
    }
    const Spawner::Found found{
        .leftovers_count = *leftovers,
        .walls_missing = find_missing_walls(settings, tree->features()),
    };
    Spawner spawner(std::move(settings), std::move(*tree), found);
    return spawner.run();
}

}  // namespace

int serve_engine(Settings settings) {
    (void)::prctl(PR_SET_NAME, "hako-spawner", 0, 0, 0);  // the keeper runs /proc/self/exe
    if (const int code = become_root(settings); code != kExitOk) {
        return code;
    }
    if (auto entered = enter(settings); !entered) {
        return complain(
            settings.in_user_namespace ? kExitNoNamespace : kExitSystem,
            entered.error().what,
            std::strerror(entered.error().sys_errno)
        );
    }
    if (const int code = check_kernel(settings); code != kExitOk) {
        return code;
    }
    raise_descriptor_limit();
    return run_spawner(std::move(settings));
}

int keep_spawner(Settings settings, int control_fd, std::vector<std::string> arguments) {
    if (const int code = become_root(settings); code != kExitOk) {
        give_up_at_once(control_fd, code);
        return code;
    }
    if (settings.mapped_ids_count) {
        arguments.emplace_back("--mapped-ids");
        arguments.emplace_back(std::to_string(*settings.mapped_ids_count));
    }
    settings.in_user_namespace = is_in_user_namespace();
    return run_keeper(
        {.control_fd = control_fd, .cgroup = place_of(settings), .arguments = std::move(arguments)}
    );
}

int print_probe(Settings settings) {
    const bool may_build = become_root(settings) == kExitOk && enter(settings).has_value();
    KernelFeatures features = may_build ? probe_kernel() : KernelFeatures{};
    const std::uint32_t walls_missing =
        may_build ? find_missing_walls(settings, survey_cgroups(place_of(settings))) : 0;
    const std::string json = to_json(features, walls_missing);
    std::puts(json.c_str());
    return find_missing(features) == nullptr ? kExitOk : kExitKernel;
}

}  // namespace hako::sandbox
