#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fmt/format.h>

#include "engine/base/ensure.h"
#include "engine/config/parse.h"
#include "engine/config/tcp_address.h"
#include "engine/engine.h"
#include "engine/observe/engine_log.h"
#include "engine/startup/listener.h"
#include "engine/startup/notify.h"
#include "engine/startup/spawner_process.h"
#include "sandbox/engine_filter.h"

namespace {

using namespace hako;

// Exit codes, as in hakod(8); 2 is a refused flag or setting.
constexpr int kExitFailure = 1;
constexpr int kExitStateUnusable = 3;
constexpr int kExitSocketUnusable = 4;
constexpr int kExitSpawnerFailed = 5;
constexpr int kExitPrivileges = 6;  // 7 and 8 are engine.h's

constexpr int kSpawnerEndMs = 10'000;
// A channel, doorbell, log pipe and counters for each instance, and the clients' connections.
constexpr rlim_t kOpenFilesWanted = 65'536;
// Larger pieces of memory are mappings of their own and go back to the kernel when freed.
constexpr int kMappedBytesMin = 256 * 1024;

struct StartFailure {
    int exit_code;
    std::string text;
};

struct EngineUser {
    uid_t uid = ::getuid();
    gid_t gid = ::getgid();
};

std::expected<EngineUser, StartFailure> find_user(const std::string& name) {
    if (::geteuid() != 0 || name.empty()) {
        return EngineUser{};  // an ordinary user, or root of a user namespace only
    }
    // The highest number means "no change" to the kernel: it would leave us root.
    constexpr uid_t kUidMax = UINT32_MAX - 1;
    uid_t number = 0;
    const char* const name_end = name.data() + name.size();
    const auto [end, error] = std::from_chars(name.data(), name_end, number);
    if (end == name_end) {
        if (error != std::errc{} || number == 0 || number > kUidMax) {
            return std::unexpected(StartFailure{
                kExitPrivileges,
                fmt::format("engine_user: '{}' is not a user id of 1..{}", name, kUidMax)
            });
        }
        return EngineUser{number, number};
    }
    const passwd* entry = ::getpwnam(name.c_str());
    if (entry == nullptr) {
        return std::unexpected(
            StartFailure{kExitPrivileges, fmt::format("engine_user: no user named '{}'", name)}
        );
    }
    return EngineUser{entry->pw_uid, entry->pw_gid};
}

std::string describe(const Error& error) {
    return error.sys_errno == 0 ? std::string(error.what)
                                : fmt::format("{}: {}", error.what, std::strerror(error.sys_errno));
}

using Listeners = startup::ActivatedListeners;

std::expected<void, StartFailure> open_unix(
    const config::Settings& settings,
    const EngineUser& user,
    const std::string& path,
    std::vector<startup::Listener>& into
) {
    auto opened = startup::open_unix_listener({
        .path = path,
        .mode = static_cast<mode_t>(settings.socket_mode),
        .uid = user.uid,
        .gid = user.gid,
    });
    if (!opened) {
        return std::unexpected(StartFailure{
            kExitSocketUnusable, fmt::format("socket {}: {}", path, describe(opened.error()))
        });
    }
    into.push_back({.fd = *std::move(opened)});
    return {};
}

std::expected<void, StartFailure> open_tcp(
    const config::Settings& settings, std::vector<startup::Listener>& into
) {
    const auto addresses = config::read_tcp_addresses(settings.http);
    ENSURE(addresses.has_value(), "the settings have been checked");
    for (const config::TcpAddress& address : *addresses) {
        auto opened = startup::open_tcp_listener(address.address, address.bytes, address.is_any);
        if (!opened) {
            return std::unexpected(StartFailure{
                kExitSocketUnusable,
                fmt::format("http {}: {}", settings.http, describe(opened.error()))
            });
        }
        into.push_back({.fd = *std::move(opened)});
    }
    return {};
}

// Of each kind: what systemd passed, else what the settings say.
std::expected<Listeners, StartFailure> open_listeners(
    const config::Settings& settings, const EngineUser& user
) {
    auto listeners = startup::take_activated_listeners();
    if (!listeners) {
        return std::unexpected(StartFailure{kExitSocketUnusable, describe(listeners.error())});
    }
    if (listeners->frame.empty()) {
        TRY(open_unix(settings, user, settings.socket, listeners->frame));
    }
    if (listeners->http.empty()) {
        if (!settings.http_socket.empty()) {
            TRY(open_unix(settings, user, settings.http_socket, listeners->http));
        }
        TRY(open_tcp(settings, listeners->http));
    }
    return *std::move(listeners);
}

std::vector<std::string> spawner_arguments(const config::Settings& settings) {
    std::vector<std::string> arguments = {
        "--code-dir",
        settings.state + "/code",
        "--cgroup",
        settings.cgroup,
        "--uid-base",
        std::to_string(settings.sandbox_uid_base),
        "--pool",
        fmt::format("native={}", settings.pool_native),
        "--pool",
        fmt::format("executable={}", settings.pool_executable),
        "--pool",
        fmt::format("python={}", settings.pool_python),
        "--zygote",
        fmt::format("native={}", settings.zygote),
    };
    if (::access(settings.zygote_python.c_str(), X_OK) == 0) {
        arguments.emplace_back("--zygote");
        arguments.emplace_back(fmt::format("python={}", settings.zygote_python));
    }
    arguments.emplace_back("--prefer-engine");
    if (settings.cpu_cap) {
        arguments.emplace_back("--cpu-cap");
    }
    return arguments;
}

void raise_file_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        if (::geteuid() == 0 && limit.rlim_max < kOpenFilesWanted) {
            limit.rlim_max = kOpenFilesWanted;
        }
        limit.rlim_cur = std::min(limit.rlim_max, std::max(limit.rlim_cur, kOpenFilesWanted));
        (void
        )::setrlimit(RLIMIT_NOFILE, &limit);  // fewer instances then; kLimit says so when it bites
    }
}

// glibc raises its bound after the first large free; from then on events of megabytes would come
// from the heap and stay there: 22 MiB after eight of them.
void keep_memory_small() {
    (void)::mallopt(M_MMAP_THRESHOLD, kMappedBytesMin);  // a hint: an engine without it only grows
}

// Signals are for the loop; a client that goes away is an error of its write, not a signal.
void prepare_signals() {
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    (void)::sigprocmask(SIG_BLOCK, &blocked, nullptr);  // cannot fail with these arguments
    (void)std::signal(SIGPIPE, SIG_IGN);
    (void)std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is an error of the write, too
}

struct Prepared {
    EngineInput input;
    startup::SpawnerProcess spawner;
};

// Everything that needs rights, in this order: the lock on the state, the sockets, the spawner;
// then the rights go.
std::expected<Prepared, StartFailure> prepare(const config::Settings& settings) {
    const auto user = find_user(settings.engine_user);
    if (!user) {
        return std::unexpected(user.error());
    }
    auto state = registry::StateDir::open(settings.state);
    if (!state) {
        return std::unexpected(StartFailure{kExitStateUnusable, state.error().text});
    }
    auto access = AccessInput::find(settings, state->keys_path());
    if (!access) {
        return std::unexpected(StartFailure{kExitStateUnusable, access.error().text});
    }
    auto listeners = open_listeners(settings, *user);
    if (!listeners) {
        return std::unexpected(listeners.error());
    }
    auto spawner = startup::SpawnerProcess::start(settings.spawner, spawner_arguments(settings));
    if (!spawner) {
        return std::unexpected(StartFailure{
            kExitSpawnerFailed,
            fmt::format("spawner {}: {}", settings.spawner, describe(spawner.error()))
        });
    }
    if (const auto given = state->chown_to(user->uid, user->gid); !given) {
        return std::unexpected(StartFailure{kExitStateUnusable, given.error().text});
    }
    if (const Result<void> confined = sandbox::confine_engine(user->uid, user->gid); !confined) {
        return std::unexpected(StartFailure{
            kExitPrivileges, fmt::format("drop privileges: {}", describe(confined.error()))
        });
    }
    UniqueFd socket = spawner->take_socket();
    const int keeper_pid = spawner->pid();
    return Prepared{
        .input =
            {
                .settings = settings,
                .state = *std::move(state),
                .access = *std::move(access),
                .frame_listeners = std::move(listeners->frame),
                .http_listeners = std::move(listeners->http),
                .keeper_socket = std::move(socket),
                .keeper_pid = keeper_pid,
            },
        .spawner = *std::move(spawner),
    };
}

int fail_with(const StartFailure& failure) {
    fmt::print(stderr, "hakod: {}\n", failure.text);
    return failure.exit_code;
}

observe::Level level_of(std::string_view name) {
    if (name == "debug") {
        return observe::Level::kDebug;
    }
    if (name == "warn") {
        return observe::Level::kWarning;
    }
    return name == "error" ? observe::Level::kError : observe::Level::kInfo;
}

}  // namespace

int main(int argc, char** argv) {
    const config::ParseOutcome parsed = config::parse(argc, argv);
    if (parsed.exit_code) {
        return *parsed.exit_code;
    }
    observe::init_engine_log(level_of(parsed.settings.log_level));
    prepare_signals();
    keep_memory_small();
    raise_file_limit();
    const startup::Notifier notifier;
    auto prepared = prepare(parsed.settings);
    if (!prepared) {
        return fail_with(prepared.error());
    }
    auto engine = Engine::make(std::move(prepared->input));
    if (!engine) {
        return fail_with({kExitFailure, engine.error().text});
    }
    const int exit_code = (*engine)->run(
        [&notifier] { notifier.send("READY=1\nSTATUS=Serving invocations"); },
        [&notifier] { notifier.send("STOPPING=1\nSTATUS=Draining"); }
    );
    if (!prepared->spawner.join(kSpawnerEndMs)) {
        observe::log_line(
            observe::Level::kError, "spawner", "still cleaning up after {} ms", kSpawnerEndMs
        );
    }
    // Fibers that were cut off still stand on their stacks: nothing is to be destroyed under them.
    std::_Exit(exit_code);
}
