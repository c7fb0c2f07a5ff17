#include "engine/config/derive.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

#include "engine/config/tcp_address.h"
#include "engine/wire/walls.h"

namespace hako::config {

namespace {

constexpr std::string_view kSystemState = "/var/lib/hako";
constexpr std::string_view kSystemSocket = "/run/hako/hako.sock";
// Accepting, the spawner's answers, the ledger, the logs, collecting code, the drain.
constexpr std::uint64_t kOwnFibers = 64;
constexpr std::size_t kSocketPathMax = sizeof(sockaddr_un::sun_path) - 1;

/// FNV-1a: the same state directory always gets the same control group.
std::uint32_t hash_of(std::string_view text) {
    std::uint32_t hash = 2166136261U;
    for (const char character : text) {
        hash = (hash ^ static_cast<unsigned char>(character)) * 16777619U;
    }
    return hash;
}

/// The first of the usual places that has the program; the first place if none has.
std::string find_program(
    const std::string& binary_dir, std::string_view build_dir, std::string_view name
) {
    const std::array<std::string, 3> candidates = {
        fmt::format("{}/{}", binary_dir, name),
        fmt::format("{}/../libexec/hako/{}", binary_dir, name),
        fmt::format("{}/../{}/{}", binary_dir, build_dir, name),
    };
    for (const std::string& candidate : candidates) {
        if (access(candidate.c_str(), X_OK) == 0) {
            return candidate;
        }
    }
    return candidates.front();
}

std::string fault(std::string_view name, std::string_view value, std::string_view rule) {
    return fmt::format("{}: '{}' is not {}", name, value, rule);
}

bool is_region(std::string_view text) {
    return !text.empty() && text.size() <= 50 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
}

bool is_cgroup_part(std::string_view text) {
    return !text.empty() && text.size() <= 64 && text.front() != '.' &&
           std::ranges::all_of(text, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.' || c == '@' || c == ':';
           });
}

bool is_cgroup_name(std::string_view text) {
    for (std::size_t slash = 0; (slash = text.find('/')) != std::string_view::npos;) {
        if (!is_cgroup_part(text.substr(0, slash))) {
            return false;
        }
        text.remove_prefix(slash + 1);
    }
    return is_cgroup_part(text);
}

bool is_account(std::string_view text) {
    return text.size() == 12 &&
           std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

void derive(Settings& settings, const ParseWorld& world) {
    if (settings.state.empty()) {
        settings.state =
            world.is_root ? std::string(kSystemState) : world.home + "/.local/state/hako";
    }
    while (settings.state.size() > 1 && settings.state.ends_with('/')) {
        settings.state.pop_back();
    }
    if (settings.socket.empty()) {
        settings.socket = settings.state == kSystemState ? std::string(kSystemSocket)
                                                         : settings.state + "/hako.sock";
    }
    if (settings.http_socket.empty()) {
        const std::size_t folder_bytes = settings.socket.rfind('/') + 1;
        settings.http_socket = settings.socket.substr(0, folder_bytes) + "http.sock";
    }
    for (std::string* given :
         {&settings.http,
          &settings.http_socket,
          &settings.code_bucket_dir,
          &settings.code_s3_endpoint,
          &settings.code_s3_credentials}) {
        if (*given == "none") {
            given->clear();
        }
    }
    if (settings.secret_key_file.empty()) {
        settings.secret_key_file = settings.state + "/secret.key";
    }
    if (settings.organization == "none") {
        settings.organization.clear();
    }
    if (settings.engine_user.empty() && world.is_root) {
        settings.engine_user = world.has_hako_user ? "hako" : std::to_string(kEngineUid);
    }
    if (settings.code_s3_region.empty()) {
        settings.code_s3_region = settings.region;
    }
    if (settings.cgroup.empty()) {
        settings.cgroup = fmt::format("hako-{:08x}", hash_of(settings.state));
    }
    if (settings.spawner.empty()) {
        settings.spawner = find_program(world.binary_dir, "sandbox", "hako-spawner");
    }
    if (settings.zygote.empty()) {
        settings.zygote = find_program(world.binary_dir, "runtime-shim/native", "hako-zygote");
    }
    if (settings.zygote_python.empty()) {
        settings.zygote_python =
            find_program(world.binary_dir, "runtime-shim/python", "hako-zygote-python");
    }
}

std::optional<std::string> check(const Settings& settings) {
    if (settings.state.front() != '/') {
        return fault("state", settings.state, "an absolute path");
    }
    if (settings.socket.front() != '/' || settings.socket.size() > kSocketPathMax) {
        return fault(
            "socket",
            settings.socket,
            fmt::format("an absolute path of at most {} bytes", kSocketPathMax)
        );
    }
    if (settings.secret_key_file.front() != '/') {
        return fault("secret_key_file", settings.secret_key_file, "an absolute path");
    }
    for (const auto& [name, path] :
         {std::pair{"code_bucket_dir", &settings.code_bucket_dir},
          std::pair{"code_s3_credentials", &settings.code_s3_credentials}}) {
        if (!path->empty() && path->front() != '/') {
            return fault(name, *path, "an absolute path");
        }
    }
    const bool has_http_socket = !settings.http_socket.empty();
    if (has_http_socket &&
        (settings.http_socket.front() != '/' || settings.http_socket.size() > kSocketPathMax ||
         settings.http_socket == settings.socket)) {
        return fault(
            "http_socket",
            settings.http_socket,
            fmt::format(
                "none, or an absolute path of at most {} bytes that is not the socket's",
                kSocketPathMax
            )
        );
    }
    if (!read_tcp_addresses(settings.http)) {
        return fault(
            "http",
            settings.http,
            "none, or ADDRESS:PORT separated by commas (at most 16), an ADDRESS being IPv4, "
            "[IPv6], "
            "localhost or *"
        );
    }
    if (!is_account(settings.account)) {
        return fault("account", settings.account, "twelve digits");
    }
    if (!is_region(settings.region)) {
        return fault("region", settings.region, "a region like us-east-1");
    }
    if (!is_cgroup_name(settings.cgroup)) {
        return fault(
            "cgroup",
            settings.cgroup,
            "1..64 letters, digits, '-', '_', '.', '@' or ':', or several such with '/' between"
        );
    }
    if (!spawner::parse_walls(settings.allow_missing_walls)) {
        return fault(
            "allow_missing_walls",
            settings.allow_missing_walls,
            fmt::format("'all' or some of {}", spawner::wall_names(UINT32_MAX))
        );
    }
    if (settings.function_concurrency &&
        *settings.function_concurrency > settings.concurrency_max) {
        return fault(
            "function_concurrency",
            std::to_string(*settings.function_concurrency),
            fmt::format("at most concurrency_max ({})", settings.concurrency_max)
        );
    }
    if (fibers_max(settings) > kFibersLimit) {
        return fmt::format(
            "connections_max ({}), requests_max ({}), concurrency_max ({}), instances_max ({}) and "
            "events_running_max ({}) are too much together: at most 2 x connections + 2 x requests "
            "+ 2 x concurrency + instances + events = {}",
            settings.connections_max,
            settings.requests_max,
            settings.concurrency_max,
            settings.instances_max,
            settings.events_running_max,
            kFibersLimit - kOwnFibers
        );
    }
    return std::nullopt;
}

std::uint64_t fibers_max(const Settings& settings) noexcept {
    // A reader and a writer for each connection; one for each request, by frame and by HTTP; one
    // for each start, which an admitted invocation waits for or a provisioned instance needs; one
    // for each instance's end; one for each event that runs.
    return 2 * std::uint64_t{settings.connections_max} + 2 * std::uint64_t{settings.requests_max} +
           2 * std::uint64_t{settings.concurrency_max} + settings.instances_max +
           settings.events_running_max + kOwnFibers;
}

}  // namespace hako::config
