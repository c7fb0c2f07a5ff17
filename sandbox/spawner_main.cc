#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <getopt.h>

#include "sandbox/namespace_helper.h"
#include "sandbox/spawner.h"
#include "sandbox/start.h"

namespace {

using namespace hako;
using namespace hako::sandbox;

constexpr const char* kHelp =
    "hako-spawner: builds and ends sandboxes for the hako engine, which starts it\n"
    "\n"
    "  --keeper-fd N              be the keeper: start the spawner with all other options, again\n"
    "                             whenever it dies, and pass the engine its sockets over N\n"
    "  --engine-fd N              our end of the engine's SOCK_SEQPACKET pair (without a keeper)\n"
    "  --code-dir DIR             code packages, DIR/<64 hex characters> (required)\n"
    "  --cgroup NAME              our tree below each cgroup mount (default hako)\n"
    "  --pool KIND=N              blanks to keep ready; KIND native, executable or python (0)\n"
    "  --zygote native=PATH       default: hako-zygote beside this program\n"
    "  --zygote python=PATH       default: hako-zygote-python beside it, if there\n"
    "  --native-zygotes N         native zygotes to run, 1..4 (default 1)\n"
    "  --runtime-dir DIR          bound read-only at /var/runtime\n"
    "  --seccomp-bpf FILE         filter for functions instead of the built-in one\n"
    "  --uid-base N               first host uid and gid of sandboxes (default 1879048192)\n"
    "  --mapped-ids N             we are root in a user namespace; ids 1..N of it are ours\n"
    "  --slots N                  sandboxes at most, 1..65536 (default 4096)\n"
    "  --cpu-cap                  limit CPU time to memory / 1769 MB of a core\n"
    "  --prefer-engine            CPU weight above all sandboxes for the engine and self\n"
    "  --engine-pid N             the engine, where our parent is a keeper (default: our parent)\n"
    "  --probe [--json]           print kernel features and exit\n"
    "  --help\n"
    "\n"
    "Exit codes: 0 the engine went away, 2 usage, 3 not root and no user namespace that is of\n"
    "use, 4 kernel feature missing,\n"
    "5 cgroup tree in use, 6 system error, 7 native zygote does not start, 8 bad packet.\n"
    "The keeper's: 0 the engine went away, else that of the last spawner when it gives up.\n";

enum Option : int {
    kEngineFd = 256,
    kKeeperFd,
    kCodeDir,
    kCgroup,
    kPool,
    kZygote,
    kNativeZygotes,
    kRuntimeDir,
    kSeccompBpf,
    kUidBase,
    kSlots,
    kCpuCap,
    kPreferEngine,
    kEnginePid,
    kProbe,
    kJson,
    kHelpOption,
    kNamespaceHelper,
    kInUserNamespace,
    kMappedIds,
    kControlFd,
};

constexpr option kOptions[] = {
    {"engine-fd", required_argument, nullptr, kEngineFd},
    {"keeper-fd", required_argument, nullptr, kKeeperFd},
    {"code-dir", required_argument, nullptr, kCodeDir},
    {"cgroup", required_argument, nullptr, kCgroup},
    {"pool", required_argument, nullptr, kPool},
    {"zygote", required_argument, nullptr, kZygote},
    {"native-zygotes", required_argument, nullptr, kNativeZygotes},
    {"runtime-dir", required_argument, nullptr, kRuntimeDir},
    {"seccomp-bpf", required_argument, nullptr, kSeccompBpf},
    {"uid-base", required_argument, nullptr, kUidBase},
    {"slots", required_argument, nullptr, kSlots},
    {"cpu-cap", no_argument, nullptr, kCpuCap},
    {"prefer-engine", no_argument, nullptr, kPreferEngine},
    {"engine-pid", required_argument, nullptr, kEnginePid},
    {"probe", no_argument, nullptr, kProbe},
    {"json", no_argument, nullptr, kJson},
    {"help", no_argument, nullptr, kHelpOption},
    {"namespace-helper", no_argument, nullptr, kNamespaceHelper},
    {"in-user-namespace", no_argument, nullptr, kInUserNamespace},
    {"mapped-ids", required_argument, nullptr, kMappedIds},
    {"control-fd", required_argument, nullptr, kControlFd},
    {nullptr, 0, nullptr, 0},
};

struct Arguments {
    Settings settings;
    bool probe = false;
    bool json = false;
    bool help = false;
    bool namespace_helper = false;
    int control_fd = -1;
    int keeper_fd = -1;
};

template <typename T>
bool parse_number(std::string_view text, T low, T high, T& out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc{} && end == text.data() + text.size() && out >= low && out <= high;
}

bool parse_pool(Settings& settings, std::string_view text) {
    constexpr std::array<std::string_view, spawner::kRuntimeKindCount> kKinds = {
        "native=", "executable=", "python="
    };
    for (std::size_t i = 0; i < kKinds.size(); ++i) {
        if (text.starts_with(kKinds[i])) {
            text.remove_prefix(kKinds[i].size());
            return parse_number(text, 0U, kPoolBlanksMax, settings.pool_targets[i]);
        }
    }
    return false;
}

bool parse_zygote(Settings& settings, std::string_view text) {
    const std::size_t equals = text.find('=');
    const std::string_view name = text.substr(0, equals);
    if (equals == std::string_view::npos || (name != "native" && name != "python")) {
        return false;
    }
    (name == "native" ? settings.native_zygote : settings.python_zygote) = text.substr(equals + 1);
    return true;
}

/// A tree name may have components, but none that leads elsewhere.
bool parse_cgroup(Settings& settings, std::string_view text) {
    settings.cgroup = text;
    return !text.empty() && text.front() != '/' && text.find("..") == std::string_view::npos;
}

bool parse_option(Arguments& arguments, int which, const char* value) {
    Settings& settings = arguments.settings;
    switch (which) {
        case kEngineFd:
            return parse_number(value, 3, 1 << 20, settings.engine_fd);
        case kKeeperFd:
            return parse_number(value, 3, 1 << 20, arguments.keeper_fd);
        case kCodeDir:
            settings.code_dir = value;
            return true;
        case kCgroup:
            return parse_cgroup(settings, value);
        case kPool:
            return parse_pool(settings, value);
        case kZygote:
            return parse_zygote(settings, value);
        case kNativeZygotes:
            return parse_number(value, 1U, 4U, settings.native_zygotes_count);
        case kRuntimeDir:
            settings.runtime_dir = value;
            return true;
        case kSeccompBpf:
            settings.seccomp_bpf = value;
            return true;
        case kUidBase:
            return parse_number(value, 100'000U, 0xfff00000U - 2 * kSlotsMax, settings.ids.base);
        case kSlots:
            return parse_number(value, 1U, kSlotsMax, settings.slots_max);
        case kCpuCap:
            return settings.cpu_cap = true;
        case kPreferEngine:
            return settings.prefer_engine = true;
        case kEnginePid:
            return parse_number(value, 1, 1 << 30, settings.engine_pid);
        case kProbe:
            return arguments.probe = true;
        case kJson:
            return arguments.json = true;
        case kHelpOption:
            return arguments.help = true;
        case kNamespaceHelper:
            return arguments.namespace_helper = true;
        case kInUserNamespace:
            return settings.in_user_namespace = true;
        case kMappedIds:
            settings.mapped_ids_count = 0;
            return parse_number(value, 0U, 2 * kSlotsMax, *settings.mapped_ids_count);
        case kControlFd:
            return parse_number(value, 3, 1 << 20, arguments.control_fd);
        default:
            return false;
    }
}

std::optional<Arguments> parse_arguments(int argc, char** argv) {
    Arguments arguments;
    for (int index = 0, which = 0;
         (which = ::getopt_long(argc, argv, "", kOptions, &index)) != -1;) {
        if (which == '?') {
            return std::nullopt;  // getopt_long has said why
        }
        if (!parse_option(arguments, which, optarg)) {
            log_line("bad value for --%s: %s", kOptions[index].name, optarg);
            return std::nullopt;
        }
    }
    return arguments;
}

void add_default_zygotes(Settings& settings) {
    std::error_code error;
    const auto beside = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
    if (settings.native_zygote.empty()) {
        settings.native_zygote = beside / "hako-zygote";
    }
    const auto python = beside / "hako-zygote-python";
    if (settings.python_zygote.empty() && std::filesystem::exists(python, error)) {
        settings.python_zygote = python;
    }
}

/// Every option but --keeper-fd, which getopt has accepted in one of its two forms.
std::vector<std::string> arguments_of_spawner(char** argv) {
    std::vector<std::string> arguments;
    for (char** argument = argv + 1; *argument != nullptr; ++argument) {
        const std::string_view text(*argument);
        if (text == "--keeper-fd") {
            ++argument;  // its value
        } else if (!text.starts_with("--keeper-fd=")) {
            arguments.emplace_back(text);
        }
    }
    return arguments;
}

}  // namespace

int main(int argc, char** argv) {
    auto arguments = parse_arguments(argc, argv);
    if (!arguments || optind != argc) {
        std::fputs("hako-spawner: try --help\n", stderr);
        return kExitUsage;
    }
    if (arguments->help) {
        std::fputs(kHelp, stdout);
        return kExitOk;
    }
    if (arguments->namespace_helper) {
        return run_namespace_helper(arguments->control_fd, arguments->settings.in_user_namespace);
    }
    if (arguments->probe) {
        return print_probe(std::move(arguments->settings));
    }
    const bool has_socket = arguments->settings.engine_fd >= 0 || arguments->keeper_fd >= 0;
    if (!has_socket || arguments->settings.code_dir.empty()) {
        log_line("missing option: --code-dir and --keeper-fd or --engine-fd are required");
        return kExitUsage;
    }
    if (arguments->keeper_fd >= 0) {
        return keep_spawner(
            std::move(arguments->settings), arguments->keeper_fd, arguments_of_spawner(argv)
        );
    }
    add_default_zygotes(arguments->settings);
    return serve_engine(std::move(arguments->settings));
}
