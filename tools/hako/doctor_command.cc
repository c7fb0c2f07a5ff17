#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <CLI/App.hpp>

#include "engine/base/unique_fd.h"
#include "engine/wire/walls.h"
#include "tools/hako/context.h"
#include "tools/hako/doctor_checks.h"
#include "tools/hako/json.h"
#include "tools/hako/output.h"

// `hako doctor`: what this machine has of what hako uses. Needs no engine: the spawner probes the
// kernel, the rest is looked at here.
namespace hako::cli {
namespace {

/// A feature of `hako-spawner --probe --json`, by its key.
struct Feature {
    const char* key;
    const char* name;
    bool needed;
    const char* instead;
};
constexpr const char* kNothing = "nothing: a wall would be missing";
constexpr std::array kFeatures = {
    Feature{
        "root", "root", false, "user namespaces, and the cgroups that are delegated to this user"
    },
    Feature{"user_namespace", "user namespaces", true, kNothing},
    Feature{"pid_namespace", "pid namespaces", true, kNothing},
    Feature{"mount_namespace", "mount namespaces", true, kNothing},
    Feature{"ipc_namespace", "ipc namespaces", true, kNothing},
    Feature{"uts_namespace", "uts namespaces", true, kNothing},
    Feature{"net_namespace", "net namespaces", true, kNothing},
    Feature{"cgroup_namespace", "cgroup namespaces", true, kNothing},
    Feature{"clone3", "clone3", true, "nothing: sandboxes are made with it"},
    Feature{"pidfd", "pidfd", true, "nothing: sandboxes are watched and ended by it"},
    Feature{"close_range", "close_range", true, "nothing: it keeps descriptors out of sandboxes"},
    Feature{"mount_api", "mount API", true, "nothing: code is mounted with it"},
    Feature{"seccomp_filter", "seccomp filters", true, kNothing},
    Feature{"proc_subset", "proc subset=pid", true, kNothing},
    Feature{"memfd_noexec", "memfd noexec", false, "the channel's memory is only sealed"},
};

struct Report {
    std::vector<DoctorCheck> checks;
    std::uint32_t walls_missing = 0;  ///< bits of spawner::Wall
    std::string reason;               ///< why hako cannot run; empty if it can
};

/// Standard output of a program that ends soon; an error text in `fault` if it cannot be had.
std::string output_of(const std::string& program, std::string& fault) {
    std::array<int, 2> ends = {-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        fault = std::strerror(errno);
        return {};
    }
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDOUT_FILENO);
    std::string name = program;
    std::string probe = "--probe";
    std::string json = "--json";
    std::array<char*, 4> arguments = {name.data(), probe.data(), json.data(), nullptr};
    pid_t pid = -1;
    const int spawn_errno =
        ::posix_spawn(&pid, name.c_str(), &actions, nullptr, arguments.data(), ::environ);
    posix_spawn_file_actions_destroy(&actions);
    write_end.reset();
    if (spawn_errno != 0) {
        fault = std::strerror(spawn_errno);
        return {};
    }
    std::string text;
    std::array<char, 4096> buffer;
    for (ssize_t got = 0; (got = ::read(read_end.get(), buffer.data(), buffer.size())) != 0;) {
        if (got > 0) {
            text.append(buffer.data(), static_cast<std::size_t>(got));
        } else if (errno != EINTR) {
            break;
        }
    }
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    // Its exit status repeats what the text says; dying is another matter.
    if (!WIFEXITED(status)) {
        fault = "it did not end well";
    }
    return text;
}

void add_controllers(const std::string& controllers, std::vector<DoctorCheck>& checks) {
    constexpr std::array<std::array<const char*, 2>, 5> kControllers = {{
        {"memory", "functions have no memory limit, and peak memory is not known"},
        {"cpu", "processor time is not shared in proportion to memory"},
        {"cpuacct", "the processor time of an invocation is not known"},
        {"pids", "RLIMIT_NPROC alone bounds the processes of a sandbox"},
        {"freezer", "what a function leaves running goes on between invocations"},
    }};
    for (const auto& [name, instead] : kControllers) {
        const bool there =
            fmt::format(",{},", controllers).find(fmt::format(",{},", name)) != std::string::npos;
        checks.push_back({fmt::format("cgroup {}", name), there, false, "", instead});
    }
}

/// What the spawner would build sandboxes without, when this user starts it.
void add_walls(simdjson::dom::element probe, Report& report) {
    simdjson::dom::array names;
    if (probe["walls_missing"].get(names) != simdjson::SUCCESS) {
        return;
    }
    for (const simdjson::dom::element item : names) {
        std::string_view name;
        const bool is_text = item.get(name) == simdjson::SUCCESS;
        const spawner::WallSpec* spec = is_text ? spawner::find_wall(name) : nullptr;
        report.walls_missing |= spec == nullptr ? 0U : spec->wall;
    }
}

/// Takes over what the spawner found; a feature this program does not know is shown by its key.
void add_probe(simdjson::dom::element probe, Report& report) {
    // Named: a range made of a temporary would not outlive the head of the loop in C++23's GCC 12.
    simdjson::dom::object features;
    if (probe.get(features) != simdjson::SUCCESS) {
        return;  // the caller has looked
    }
    for (const auto& [key, value] : features) {
        bool there = false;
        if (value.get(there) != simdjson::SUCCESS) {
            continue;
        }
        const auto* known =
            std::find_if(kFeatures.begin(), kFeatures.end(), [key = key](const Feature& feature) {
                return feature.key == key;
            });
        if (known != kFeatures.end()) {
            report.checks.push_back({known->name, there, known->needed, "", known->instead});
        } else {
            report.checks.push_back({std::string(key), there, false, "", "see hako-spawner"});
        }
    }
    const std::int64_t landlock = number_at(probe, "landlock_abi");
    report.checks.push_back(
        {"Landlock",
         landlock > 0,
         false,
         landlock > 0 ? fmt::format("ABI {}", landlock) : "",
         "the mount namespace alone bounds which files are seen"}
    );
    const std::int64_t version = number_at(probe, "cgroup_version");
    report.checks.push_back(
        {"cgroups",
         version > 0,
         false,
         version > 0 ? fmt::format("v{}", version) : "",
         "nothing as root; without it functions have no limits"}
    );
    if (version > 0) {
        add_controllers(text_at(probe, "cgroup_controllers"), report.checks);
    }
    check_cgroup_files(static_cast<int>(version), report.checks);
    add_walls(probe, report);
    if (const std::string missing = text_at(probe, "missing"); !missing.empty()) {
        bool is_root = false;
        const bool is_ordinary = probe["root"].get(is_root) == simdjson::SUCCESS && !is_root;
        report.reason =
            is_ordinary
                ? fmt::format("without root this machine refuses {}: start it as root", missing)
                : fmt::format("the kernel lacks {}", missing);
    }
}

void run_probe(const std::string& spawner, Report& report) {
    if (spawner.empty()) {
        return;  // its own check says so
    }
    std::string fault;
    const std::string text = output_of(spawner, fault);
    const auto document = JsonDocument::parse(text);
    if (!document || !document->root().is_object()) {
        report.reason = fmt::format(
            "{} --probe does not work: {}", spawner, fault.empty() ? "it prints no JSON" : fault
        );
        return;
    }
    add_probe(document->root(), report);
}

Report examine() {
    Report report;
    const Programs programs = find_programs();
    check_programs(programs, report.checks);
    run_probe(programs.spawner, report);
    check_kernel_files(report.checks);
    check_ring(report.checks);
    check_limits(report.checks);
    for (const DoctorCheck& check : report.checks) {
        // The spawner knows best what it needs, and has said it; this is for the rest.
        if (report.reason.empty() && check.needed && !check.there && check.name != "root") {
            report.reason = fmt::format(
                "{} is missing{}", check.name, check.value.empty() ? "" : ": " + check.value
            );
        }
    }
    return report;
}

void print_json(const Report& report, const std::string& kernel) {
    JsonWriter json;
    json.begin_object().key("can_run").boolean(report.reason.empty());
    json.key("reason").text(report.reason).key("kernel").text(kernel).key("checks");
    std::string list;
    for (const DoctorCheck& check : report.checks) {
        JsonWriter one;
        one.begin_object().key("name").text(check.name);
        one.key("there").boolean(check.there).key("needed").boolean(check.needed);
        one.key("value").text(check.value).key("instead").text(check.instead).end_object();
        list += (list.empty() ? "" : ",") + one.str();
    }
    json.raw("[" + list + "]").key("walls_missing");
    list.clear();
    for (const spawner::WallSpec& spec : spawner::kWalls) {
        if ((report.walls_missing & spec.wall) != 0) {
            JsonWriter one;
            one.begin_object().key("name").text(std::string(spec.name));
            one.key("is_wall").boolean(spec.is_wall);
            one.key("missing").text(std::string(spec.missing));
            one.key("instead").text(std::string(spec.instead)).end_object();
            list += (list.empty() ? "" : ",") + one.str();
        }
    }
    json.raw("[" + list + "]").end_object();
    write_out(json.str() + "\n");
}

void print_table(const Context& context, const Report& report, const std::string& kernel) {
    Table table({{"WHAT"}, {"THERE"}, {"FOUND"}, {"WITHOUT IT"}});
    for (const DoctorCheck& check : report.checks) {
        const char* there = check.there ? "yes" : check.needed ? "MISSING" : "no";
        table.add({check.name, there, check.value, check.there ? "" : check.instead});
    }
    table.print(context);
    if (!report.reason.empty()) {
        write_out(fmt::format("\nhako cannot run: {}.\n", report.reason));
        return;
    }
    write_out(fmt::format("\nhako can run here (Linux {}).\n", kernel));
    if (report.walls_missing == 0) {
        write_out("No wall is missing.\n");
        return;
    }
    write_out("Started by this user, sandboxes lack:\n");
    for (const spawner::WallSpec& spec : spawner::kWalls) {
        if ((report.walls_missing & spec.wall) != 0) {
            write_out(fmt::format("  {}: {}; {}\n", spec.name, spec.missing, spec.instead));
        }
    }
    if (const std::uint32_t walls = spawner::walls_only(report.walls_missing); walls != 0) {
        write_out(fmt::format(
            "To run trusted code all the same: hakod --allow-missing-walls {}\n",
            spawner::wall_names(walls)
        ));
    }
}

Exit doctor(const Context& context) {
    const Report report = examine();
    utsname system{};
    const std::string kernel = ::uname(&system) == 0 ? system.release : "";
    if (context.json) {
        print_json(report, kernel);
    } else {
        print_table(context, report, kernel);
    }
    return report.reason.empty() ? Exit::kOk : Exit::kCannotRun;
}

}  // namespace

void add_doctor_command(CLI::App& root, Context& context) {
    CLI::App* command = root.add_subcommand(
        "doctor", "Say what this machine has of what hako uses; needs no engine"
    );
    command->callback([&context]() { context.run = [&context]() { return doctor(context); }; });
}

}  // namespace hako::cli
