#include "engine/config/keys.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace hako::config {

namespace {

using S = Settings;

constexpr std::array kKeys = {
    Key{.section = "Where things live",
        .name = "state",
        .field = &S::state,
        .derived = "/var/lib/hako as root, else ~/.local/state/hako",
        .help = "Directory of everything that lasts: registry, code packages, ledger, logs."},
    Key{.name = "socket",
        .field = &S::socket,
        .derived = "hako.sock in the state directory; /run/hako/hako.sock if that is "
                   "/var/lib/hako",
        .help = "Unix socket of the frame protocol."},
    Key{.name = "socket_mode",
        .field = &S::socket_mode,
        .fallback = "0660",
        .unit = "permission bits",
        .min = 0,
        .max = 0777,
        .is_octal = true,
        .help = "Who may connect to the socket."},
    Key{.name = "http",
        .field = &S::http,
        .fallback = "none",
        .help = "TCP addresses of the HTTP front door, ADDRESS:PORT separated by commas: "
                "127.0.0.1:9000, [::1]:9000, localhost:9000, *:9000. None: no TCP."},
    Key{.name = "http_socket",
        .field = &S::http_socket,
        .derived = "http.sock beside the socket",
        .help = "Unix socket of the HTTP front door, with the mode of the socket; none: no such "
                "socket."},
    Key{.name = "spawner",
        .field = &S::spawner,
        .derived = "hako-spawner beside hakod, in ../libexec/hako or in ../sandbox",
        .help = "The privileged process that builds sandboxes."},
    Key{.name = "zygote",
        .field = &S::zygote,
        .derived = "hako-zygote beside hakod, in ../libexec/hako or in ../runtime-shim/native",
        .help = "The program that native and executable instances are forked from."},
    Key{.name = "zygote_python",
        .field = &S::zygote_python,
        .derived = "hako-zygote-python beside hakod, in ../libexec/hako or in "
                   "../runtime-shim/python",
        .help = "The booted Python that instances are forked from; without it there is no Python."},
    Key{.name = "cgroup",
        .field = &S::cgroup,
        .derived = "hako- and a hash of the state directory",
        .help = "Name of the control group below which each sandbox gets its own."},
    Key{.section = "Identity",
        .name = "account",
        .field = &S::account,
        .fallback = "123456789012",
        .help = "Account number in function ARNs: twelve digits."},
    Key{.name = "region",
        .field = &S::region,
        .fallback = "us-east-1",
        .help = "Region in function ARNs."},
    Key{.name = "engine_user",
        .field = &S::engine_user,
        .derived = "hako if that user exists, else 1999999999; without root the caller stays",
        .help = "User (name or number) the engine becomes before it serves, when started as root."},
    Key{.name = "sandbox_uid_base",
        .field = &S::sandbox_uid_base,
        .fallback = "2000000000",
        .min = 65536,
        .max = 2147000000,
        .help = "First user id of the range that sandboxes are mapped to; nobody else may use it."},
    Key{.section = "Instances",
        .name = "pool_native",
        .field = &S::pool_native,
        .fallback = "8",
        .unit = "sandboxes",
        .min = 0,
        .max = 1024,
        .help = "Blank sandboxes kept ready for native functions."},
    Key{.name = "pool_executable",
        .field = &S::pool_executable,
        .fallback = "2",
        .unit = "sandboxes",
        .min = 0,
        .max = 1024,
        .help = "Blank sandboxes kept ready for executables."},
    Key{.name = "pool_python",
        .field = &S::pool_python,
        .fallback = "4",
        .unit = "sandboxes",
        .min = 0,
        .max = 1024,
        .help = "Blank sandboxes kept ready for Python functions."},
    Key{.name = "concurrency_max",
        .field = &S::concurrency_max,
        .fallback = "1000",
        .unit = "invocations",
        .min = 1,
        .max = 100000,
        .help = "Invocations that may run at a time in the account; more are throttled."},
    Key{.name = "function_concurrency",
        .field = &S::function_concurrency,
        .fallback = "none",
        .unit = "invocations",
        .min = 1,
        .max = 100000,
        .help = "The same for each function without reserved concurrency; none: only the "
                "account's limit."},
    Key{.name = "instances_max",
        .field = &S::instances_max,
        .fallback = "1000",
        .unit = "sandboxes",
        .min = 1,
        .max = 100000,
        .help = "Live instances of all functions; idle ones give way before this throttles."},
    Key{.name = "idle_timeout_s",
        .field = &S::idle_timeout_s,
        .fallback = "300",
        .unit = "seconds",
        .min = 1,
        .max = 86400,
        .help = "An instance that did nothing for so long is retired."},
    Key{.name = "init_timeout_s",
        .field = &S::init_timeout_s,
        .fallback = "10",
        .unit = "seconds",
        .min = 1,
        .max = 900,
        .help = "Time a function's start-up code may take."},
    Key{.name = "freeze_grace_ms",
        .field = &S::freeze_grace_ms,
        .fallback = "20",
        .unit = "milliseconds",
        .min = 0,
        .max = 60000,
        .help = "An instance idle for so long is frozen: its threads and children get no processor "
                "time until the next invocation. 0: at once; none: never."},
    Key{.name = "drain_timeout_s",
        .field = &S::drain_timeout_s,
        .fallback = "30",
        .unit = "seconds",
        .min = 0,
        .max = 900,
        .help = "On SIGTERM, time that running invocations get to finish."},
    Key{.name = "cpu_cap",
        .field = &S::cpu_cap,
        .fallback = "false",
        .help = "Also limits the CPU time of an instance to its memory size / 1769 MB of a core, "
                "as Lambda does; else it may use what others leave."},
    Key{.section = "Requests",
        .name = "payload_bytes_max",
        .field = &S::payload_bytes_max,
        .fallback = "6291456",
        .unit = "bytes",
        .min = 1024,
        .max = kPayloadBytesLimit,
        .help = "Largest event; Lambda's limit can only be lowered."},
    Key{.name = "stream_bytes_max",
        .field = &S::stream_bytes_max,
        .fallback = "209715200",
        .unit = "bytes",
        .min = 1024,
        .max = 4294967295,
        .help = "Largest streamed response. Lambda's limit is 200 MB today and was 20 MB."},
    Key{.name = "stream_burst_bytes",
        .field = &S::stream_burst_bytes,
        .fallback = "6291456",
        .unit = "bytes",
        .min = 0,
        .max = 4294967295,
        .help = "Start of a streamed response that stream_bytes_per_s does not slow down."},
    Key{.name = "stream_bytes_per_s",
        .field = &S::stream_bytes_per_s,
        .fallback = "none",
        .unit = "bytes per second",
        .min = 1024,
        .max = 4294967295,
        .help = "Rate of a streamed response behind its burst; Lambda's is 2097152. none: as fast "
                "as function and caller are."},
    Key{.name = "connections_max",
        .field = &S::connections_max,
        .fallback = "1024",
        .unit = "connections",
        .min = 1,
        .max = 65536,
        .help = "Open client connections; more are closed at once."},
    Key{.name = "frames_in_flight_max",
        .field = &S::frames_in_flight_max,
        .fallback = "256",
        .unit = "frames",
        .min = 1,
        .max = 65536,
        .help = "Unanswered requests on one connection; reading stops until one is answered."},
    Key{.name = "requests_max",
        .field = &S::requests_max,
        .fallback = "4096",
        .unit = "requests",
        .min = 1,
        .max = 16384,
        .help = "Unanswered requests on all connections of the socket, and as many over HTTP; more "
                "are refused with 429."},
    Key{.section = "HTTP",
        .name = "http_connections_max",
        .field = &S::http_connections_max,
        .fallback = "16384",
        .unit = "connections",
        .min = 1,
        .max = 60000,
        .help = "Open HTTP connections; more are closed at once."},
    Key{.name = "http_header_bytes_max",
        .field = &S::http_header_bytes_max,
        .fallback = "32768",
        .unit = "bytes",
        .min = 8192,
        .max = 131072,
        .help = "Request line and headers together; more is refused with 431. One line may have "
                "half of it."},
    Key{.name = "http_header_timeout_s",
        .field = &S::http_header_timeout_s,
        .fallback = "10",
        .unit = "seconds",
        .min = 1,
        .max = 3600,
        .help = "From a request's first byte to the end of its headers; then 408."},
    Key{.name = "http_body_timeout_s",
        .field = &S::http_body_timeout_s,
        .fallback = "30",
        .unit = "seconds",
        .min = 1,
        .max = 3600,
        .help = "For a request's body, and a second more for each 32 KiB that have come; then 408."
    },
    Key{.name = "http_idle_timeout_s",
        .field = &S::http_idle_timeout_s,
        .fallback = "90",
        .unit = "seconds",
        .min = 1,
        .max = 86400,
        .help = "A connection that asks nothing for so long is closed."},
    Key{.name = "http_write_timeout_s",
        .field = &S::http_write_timeout_s,
        .fallback = "30",
        .unit = "seconds",
        .min = 1,
        .max = 3600,
        .help = "For a client to take an answer, and a second more for each 32 KiB of it; then the "
                "connection is closed."},
    Key{.name = "http_buffer_bytes_max",
        .field = &S::http_buffer_bytes_max,
        .fallback = "1073741824",
        .unit = "bytes",
        .min = 1048576,
        .max = 1099511627776,
        .help = "Bodies being received and answers not taken yet, of all connections; a request "
                "beyond it is refused with 503."},
    Key{.section = "Accounting",
        .name = "billing_increment_ms",
        .field = &S::billing_increment_ms,
        .fallback = "100",
        .unit = "milliseconds",
        .min = 1,
        .max = 1000,
        .help = "Billed duration is rounded up to a multiple of this."},
    Key{.name = "price_per_gb_s",
        .field = &S::price_per_gb_s,
        .fallback = "0.00001667",
        .unit = "currency per GB-second",
        .min = 0,
        .max = 1000000,
        .help = "Price that `hako bill` multiplies with."},
    Key{.name = "price_per_request",
        .field = &S::price_per_request,
        .fallback = "0.0000002",
        .unit = "currency per request",
        .min = 0,
        .max = 1000000,
        .help = "Price that `hako bill` adds for each invocation."},
    Key{.name = "ledger_sync_ms",
        .field = &S::ledger_sync_ms,
        .fallback = "1000",
        .unit = "milliseconds",
        .min = 1,
        .max = 60000,
        .help = "Ledger records reach the disk within this time (power loss; a crash of the engine "
                "loses none)."},
    Key{.section = "Logs",
        .name = "log_level",
        .field = &S::log_level,
        .fallback = "info",
        .choices = "error|warn|info|debug",
        .help = "What the engine itself writes to standard error."},
    Key{.name = "log_flush_ms",
        .field = &S::log_flush_ms,
        .fallback = "200",
        .unit = "milliseconds",
        .min = 1,
        .max = 60000,
        .help = "Function log lines reach their file within this time."},
    Key{.name = "log_file_bytes_max",
        .field = &S::log_file_bytes_max,
        .fallback = "67108864",
        .unit = "bytes",
        .min = 65536,
        .max = 1099511627776,
        .help = "A function's log file is rotated when it is larger."},
    Key{.section = "Threads",
        .name = "offload_threads",
        .field = &S::offload_threads,
        .fallback = "2",
        .unit = "threads",
        .min = 1,
        .max = 64,
        .help = "Threads for what blocks: database, unpacking, hashing."},
};

template <typename... Ts>
struct Overload : Ts... {
    using Ts::operator()...;
};

std::optional<std::uint64_t> parse_integer(std::string_view text, int base) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return number;
}

bool is_choice(std::string_view choices, std::string_view text) {
    for (std::size_t at = 0; at <= choices.size();) {
        const std::size_t bar = std::min(choices.find('|', at), choices.size());
        if (choices.substr(at, bar - at) == text) {
            return true;
        }
        at = bar + 1;
    }
    return false;
}

std::string refusal(const Key& key, std::string_view text) {
    const std::string range = range_of(key);
    return fmt::format(
        "'{}' is not {} {}{}{}{}",
        text,
        type_of(key) == "integer" || type_of(key) == "octal number" ? "an" : "a",
        key.choices.empty() ? type_of(key) : "choice",
        key.choices.empty() ? " in " : " of ",
        range,
        key.unit.empty() ? "" : fmt::format(" ({})", key.unit)
    );
}

/// The number, if the text is one and in the key's range.
std::optional<std::uint64_t> integer_in_range(const Key& key, std::string_view text) {
    const auto number = parse_integer(text, key.is_octal ? 8 : 10);
    if (!number || static_cast<double>(*number) < key.min ||
        static_cast<double>(*number) > key.max) {
        return std::nullopt;
    }
    return number;
}

std::optional<std::string> assign_string(const Key& key, std::string_view text, std::string& into) {
    if (!key.choices.empty() && !is_choice(key.choices, text)) {
        return refusal(key, text);
    }
    if (text.find('\0') != std::string_view::npos) {
        return "the value has a NUL in it";
    }
    into = text;
    return std::nullopt;
}

template <typename Integer>
std::optional<std::string> assign_integer(const Key& key, std::string_view text, Integer& into) {
    const auto number = integer_in_range(key, text);
    if (!number) {
        return refusal(key, text);
    }
    into = static_cast<Integer>(*number);
    return std::nullopt;
}

std::optional<std::string> assign_number(const Key& key, std::string_view text, double& into) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(number) ||
        number < key.min || number > key.max) {
        return refusal(key, text);
    }
    into = number;
    return std::nullopt;
}

std::optional<std::string> assign_boolean(const Key& key, std::string_view text, bool& into) {
    if (text != "true" && text != "false") {
        return refusal(key, text);
    }
    into = text == "true";
    return std::nullopt;
}

std::string number_text(double number) {
    return fmt::format("{}", number);
}

}  // namespace

std::span<const Key> keys() {
    return kKeys;
}

const Key* find_key(std::string_view name) {
    const auto found = std::ranges::find(kKeys, name, &Key::name);
    return found == kKeys.end() ? nullptr : &*found;
}

std::string flag_of(const Key& key) {
    std::string flag = fmt::format("--{}", key.name);
    std::ranges::replace(flag, '_', '-');
    return flag;
}

std::string_view type_of(const Key& key) {
    return std::visit(
        Overload{
            [](std::string Settings::*) -> std::string_view { return "string"; },
            [](double Settings::*) -> std::string_view { return "number"; },
            [](bool Settings::*) -> std::string_view { return "boolean"; },
            [&key](auto) -> std::string_view { return key.is_octal ? "octal number" : "integer"; },
        },
        key.field
    );
}

std::string range_of(const Key& key) {
    if (!key.choices.empty()) {
        return std::string(key.choices);
    }
    if (std::holds_alternative<std::string Settings::*>(key.field)) {
        return {};
    }
    if (std::holds_alternative<bool Settings::*>(key.field)) {
        return "true or false";
    }
    if (key.is_octal) {
        return fmt::format(
            "{:o}..{:04o}", static_cast<unsigned>(key.min), static_cast<unsigned>(key.max)
        );
    }
    const std::string range = fmt::format(
        "{}..{}", static_cast<std::int64_t>(key.min), static_cast<std::int64_t>(key.max)
    );
    return std::holds_alternative<std::optional<std::uint32_t> Settings::*>(key.field)
               ? fmt::format("{} or none", range)
               : range;
}

std::string default_of(const Key& key) {
    return std::string(key.derived.empty() ? key.fallback : key.derived);
}

std::optional<std::string> assign(const Key& key, std::string_view text, Settings& settings) {
    return std::visit(
        Overload{
            [&](std::string Settings::* field) {
                return assign_string(key, text, settings.*field);
            },
            [&](std::uint32_t Settings::* field) {
                return assign_integer(key, text, settings.*field);
            },
            [&](std::uint64_t Settings::* field) {
                return assign_integer(key, text, settings.*field);
            },
            [&](double Settings::* field) { return assign_number(key, text, settings.*field); },
            [&](bool Settings::* field) { return assign_boolean(key, text, settings.*field); },
            [&](std::optional<std::uint32_t> Settings::* field) -> std::optional<std::string> {
                if (text == "none") {
                    settings.*field = std::nullopt;
                    return std::nullopt;
                }
                std::uint32_t number = 0;
                auto fault = assign_integer(key, text, number);
                if (!fault) {
                    settings.*field = number;
                }
                return fault;
            },
        },
        key.field
    );
}

std::string text_of(const Key& key, const Settings& settings) {
    return std::visit(
        Overload{
            [&](std::string Settings::* field) { return settings.*field; },
            [&](double Settings::* field) { return number_text(settings.*field); },
            [&](bool Settings::* field) { return std::string(settings.*field ? "true" : "false"); },
            [&](std::optional<std::uint32_t> Settings::* field) {
                const auto& value = settings.*field;
                return value ? std::to_string(*value) : std::string("none");
            },
            [&](auto field) {
                return key.is_octal ? fmt::format("{:04o}", settings.*field)
                                    : std::to_string(settings.*field);
            },
        },
        key.field
    );
}

}  // namespace hako::config
