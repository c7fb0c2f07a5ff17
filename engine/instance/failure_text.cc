#include "engine/instance/failure_text.h"

#include <array>
#include <csignal>
#include <cstring>

#include <sys/wait.h>

#include <fmt/format.h>
#include <simdjson.h>

#include "hako/channel.h"

namespace hako::instance {
namespace {

FailureText with_payload(std::string type, std::string_view request_id, std::string sentence) {
    FailureText text{.error_type = std::move(type), .sentence = std::move(sentence), .payload = {}};
    text.payload = fmt::format(
        R"({{"errorType":{},"errorMessage":{}}})",
        json_quoted(text.error_type),
        json_quoted(fmt::format("RequestId: {} Error: {}", request_id, text.sentence))
    );
    return text;
}

}  // namespace

FailureText timeout_text(std::string_view request_id, std::int64_t timeout_us) {
    const std::int64_t hundredths = timeout_us / 10'000;
    return with_payload(
        "Sandbox.Timedout",
        request_id,
        fmt::format("Task timed out after {}.{:02} seconds", hundredths / 100, hundredths % 100)
    );
}

FailureText exit_text(std::string_view request_id, const spawner::Gone& gone) {
    const int status = gone.wait_status;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return with_payload(
            "Runtime.ExitError", request_id, "Runtime exited without providing a reason"
        );
    }
    if (WIFEXITED(status)) {
        return with_payload(
            "Runtime.ExitError",
            request_id,
            fmt::format("Runtime exited with error: exit status {}", WEXITSTATUS(status))
        );
    }
    const bool out_of_memory = gone.oom_kill_count > 0 && WTERMSIG(status) == SIGKILL;
    return with_payload(
        out_of_memory ? "Runtime.OutOfMemory" : "Runtime.ExitError",
        request_id,
        fmt::format("Runtime exited with error: signal: {}", signal_text(WTERMSIG(status)))
    );
}

FailureText response_too_large_text() {
    return stream_too_large_text(HAKO_RESPONSE_BYTES_MAX);
}

FailureText stream_too_large_text(std::uint64_t bytes_max) {
    FailureText text{
        .error_type = "Function.ResponseSizeTooLarge",
        .sentence = fmt::format(
            "Response payload size exceeded maximum allowed payload size ({} bytes).", bytes_max
        ),
        .payload = {},
    };
    text.payload = fmt::format(
        R"({{"errorType":{},"errorMessage":{}}})",
        json_quoted(text.error_type),
        json_quoted(text.sentence)
    );
    return text;
}

FailureText protocol_text(std::string_view request_id) {
    return with_payload(
        "Runtime.InvalidResponse",
        request_id,
        "Runtime answered out of the bounds of its channel and was stopped"
    );
}

FailureText sandbox_text(std::string_view request_id, std::string_view step, int sys_errno) {
    return with_payload(
        "Sandbox.Failure",
        request_id,
        sys_errno == 0 ? fmt::format("Sandbox ended: {}", step)
                       : fmt::format("Sandbox ended: {}: {}", step, std::strerror(sys_errno))
    );
}

std::string signal_text(int signal_number) {
    struct Name {
        int signal_number;
        const char* text;
    };
    // The words of Go's syscall.Signal, which AWS's supervisor prints.
    static constexpr std::array<Name, 16> kNames = {{
        {SIGHUP, "hangup"},
        {SIGINT, "interrupt"},
        {SIGQUIT, "quit"},
        {SIGILL, "illegal instruction"},
        {SIGTRAP, "trace/breakpoint trap"},
        {SIGABRT, "aborted"},
        {SIGBUS, "bus error"},
        {SIGFPE, "floating point exception"},
        {SIGKILL, "killed"},
        {SIGUSR1, "user defined signal 1"},
        {SIGSEGV, "segmentation fault"},
        {SIGUSR2, "user defined signal 2"},
        {SIGPIPE, "broken pipe"},
        {SIGALRM, "alarm clock"},
        {SIGTERM, "terminated"},
        {SIGSYS, "bad system call"},
    }};
    for (const Name& name : kNames) {
        if (name.signal_number == signal_number) {
            return name.text;
        }
    }
    return fmt::format("signal {}", signal_number);
}

std::string json_quoted(std::string_view text) {
    std::string out;
    out.reserve(text.size() + 2);
    out.push_back('"');
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out.push_back('\\');
            out.push_back(c);
        } else if (byte < 0x20) {
            out += fmt::format("\\u{:04x}", byte);
        } else {
            out.push_back(c);
        }
    }
    out.push_back('"');
    return out;
}

std::string error_member(std::string_view payload, std::string_view key) {
    simdjson::dom::parser parser;
    simdjson::dom::object object;
    std::string_view value;
    if (parser.parse(payload.data(), payload.size()).get_object().get(object) !=
            simdjson::SUCCESS ||
        object.at_key(key).get_string().get(value) != simdjson::SUCCESS) {
        return {};
    }
    return std::string(value.substr(0, 256));
}

}  // namespace hako::instance
