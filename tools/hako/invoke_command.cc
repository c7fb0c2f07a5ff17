#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>
#include <CLI/App.hpp>

#include "engine/base/unique_fd.h"
#include "tools/hako/engine.h"
#include "tools/hako/json.h"
#include "tools/hako/output.h"

namespace hako::cli {
namespace {

struct InvokeArguments {
    std::string name;
    std::string payload;
    std::string payload_file;
    std::string qualifier;
    std::string client_context;
    std::string type = "RequestResponse";
    bool tail = false;
    bool stream = false;
};

std::string read_to_end(int fd, const std::string& name) {
    std::string bytes;
    std::array<char, 65536> block;
    for (;;) {
        const ssize_t read = ::read(fd, block.data(), block.size());
        if (read < 0 && errno == EINTR) {
            continue;
        }
        if (read < 0) {
            throw Failure(Exit::kUsage, fmt::format("{}: {}", name, std::strerror(errno)));
        }
        if (read == 0) {
            return bytes;
        }
        bytes.append(block.data(), static_cast<std::size_t>(read));
    }
}

std::string read_payload(const InvokeArguments& arguments) {
    const std::string& file = arguments.payload_file;
    if (arguments.payload == "-" || file == "-") {
        return read_to_end(STDIN_FILENO, "standard input");
    }
    if (file.empty()) {
        return arguments.payload;
    }
    const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        throw Failure(
            Exit::kUsage, fmt::format("--payload-file: {}: {}", file, std::strerror(errno))
        );
    }
    return read_to_end(fd.get(), "--payload-file: " + file);
}

/// The whole answer; the payload as JSON if it is, else as a string.
std::string answer_json(const Answer& answer) {
    JsonWriter out;
    out.begin_object().key("StatusCode").number(std::uint64_t{answer.status()});
    if (!answer.error_code().empty()) {
        out.key(answer.function_error() ? "FunctionError" : "ErrorCode").text(answer.error_code());
    }
    out.key("ExecutedVersion").text(answer.version());
    out.key("RequestId").text(answer.request_id());
    out.key("DurationUs").number(answer.raw().duration_us);
    out.key("BilledUs").number(answer.raw().billed_us);
    out.key("InitUs").number(answer.raw().init_us);
    out.key("CpuUs").number(answer.raw().cpu_us);
    out.key("MemorySize").number(std::uint64_t{answer.memory_mib()});
    out.key("MemoryPeakBytes").number(answer.memory_peak_bytes());
    if (!answer.log_tail().empty()) {
        out.key("LogTail").text(answer.log_tail());
    }
    if (JsonDocument::parse(answer.payload())) {
        out.key("Payload").raw(answer.payload());
    } else if (!answer.payload().empty()) {
        out.key("Payload").text(answer.payload());
    }
    out.end_object();
    return out.str();
}

std::string function_error_text(std::string_view payload) {
    const auto document = JsonDocument::parse(payload);
    const std::string type = document ? text_at(document->root(), "errorType") : "";
    const std::string message =
        document ? text_at(document->root(), "errorMessage") : std::string(payload);
    return fmt::format("function error: {}{}{}", type, type.empty() ? "" : ": ", message);
}

void print_payload(std::string_view payload) {
    write_out(payload);
    // A prompt behind the payload helps nobody; a pipe gets exactly the bytes of the function.
    if (!payload.empty() && payload.back() != '\n' && ::isatty(STDOUT_FILENO) == 1) {
        write_out("\n");
    }
}

/// Prints the response as it comes. The JSON of an error in the middle is no part of it.
Answer invoke_stream(
    Client& client,
    const InvokeArguments& arguments,
    const std::string& payload,
    const InvokeOptions& options
) {
    std::optional<char> last;
    const Answer answer = client.invoke_stream(
        arguments.name,
        payload,
        [&last](std::string_view part) {
            write_out(part);
            last = part.back();
        },
        options
    );
    if (!last && answer.status() < 400) {
        print_payload(answer.payload());
    } else if (last.value_or('\n') != '\n' && ::isatty(STDOUT_FILENO) == 1) {
        write_out("\n");
    }
    return answer;
}

Exit invoke(const Context& context, const InvokeArguments& arguments) {
    static const std::map<std::string, int> kTypes = {
        {"RequestResponse", HAKO_CLIENT_REQUEST_RESPONSE},
        {"Event", HAKO_CLIENT_EVENT},
        {"DryRun", HAKO_CLIENT_DRY_RUN},
    };
    const auto type = kTypes.find(arguments.type);
    if (type == kTypes.end()) {
        throw Failure(
            Exit::kUsage,
            fmt::format(
                "--type: must be RequestResponse, Event or DryRun, not \"{}\"", arguments.type
            )
        );
    }
    if (arguments.stream && (context.json || type->second != HAKO_CLIENT_REQUEST_RESPONSE)) {
        throw Failure(Exit::kUsage, "--stream: not with --json or another --type");
    }
    if (!arguments.client_context.empty() && !JsonDocument::parse(arguments.client_context)) {
        throw Failure(Exit::kUsage, "--client-context: not JSON");
    }
    const std::string payload = read_payload(arguments);
    Client client = connect(context);
    const InvokeOptions options{
        .qualifier = arguments.qualifier,
        .client_context = arguments.client_context,
        .type = type->second,
        .tail = arguments.tail,
    };
    const Answer answer = arguments.stream ? invoke_stream(client, arguments, payload, options)
                                           : client.invoke(arguments.name, payload, options);
    if (answer.status() >= 400) {
        throw ApiFailure(answer.status(), answer.error_code(), answer.payload());
    }
    if (!answer.log_tail().empty() && !context.json) {
        fmt::print(stderr, "{}", answer.log_tail());
    }
    if (context.json) {
        write_out(answer_json(answer) + "\n");
    } else if (!arguments.stream) {
        print_payload(answer.payload());
    }
    if (!answer.function_error()) {
        return Exit::kOk;
    }
    print_error(context, function_error_text(answer.payload()));
    return Exit::kFunctionError;
}

}  // namespace

void add_invoke_command(CLI::App& root, Context& context) {
    CLI::App* command =
        root.add_subcommand("invoke", "Invoke a function; its response is the output");
    auto arguments = std::make_shared<InvokeArguments>();
    command->add_option("name", arguments->name, "Name, name:qualifier or ARN")->required();
    CLI::Option* payload = command->add_option(
        "payload", arguments->payload, "The event, JSON; - reads standard input; none is {}"
    );
    command->add_option("--payload-file", arguments->payload_file, "Read the event from a file")
        ->type_name("FILE")
        ->excludes(payload);
    command->add_flag("--tail", arguments->tail, "Show the end of the log on standard error");
    command->add_flag(
        "--stream", arguments->stream, "Print the response as the function writes it"
    );
    command->add_option("--qualifier", arguments->qualifier, "Version or alias")
        ->type_name("VERSION");
    command->add_option("--type", arguments->type, "RequestResponse (default), Event or DryRun")
        ->type_name("TYPE");
    command
        ->add_option(
            "--client-context", arguments->client_context, "Context for the function, JSON"
        )
        ->type_name("JSON");
    command->callback([&context, arguments]() {
        context.run = [&context, arguments]() { return invoke(context, *arguments); };
    });
}

}  // namespace hako::cli
