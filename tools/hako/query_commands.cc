#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/App.hpp>

#include "tools/hako/engine.h"
#include "tools/hako/json.h"
#include "tools/hako/output.h"

// list, get, ping: what only looks.
namespace hako::cli {
namespace {

JsonDocument parse_answer(const std::string& json) {
    auto document = JsonDocument::parse(json);
    if (!document) {
        throw Failure(Exit::kServiceError, "the engine's answer is not JSON");
    }
    return std::move(*document);
}

void add_functions(Table& table, simdjson::dom::element answer, std::string& names) {
    simdjson::dom::array functions;
    if (answer["Functions"].get(functions) != simdjson::SUCCESS) {
        throw Failure(Exit::kServiceError, "the engine's answer has no Functions");
    }
    for (const simdjson::dom::element function : functions) {
        names += text_at(function, "FunctionName") + "\n";
        table.add({
            text_at(function, "FunctionName"),
            text_at(function, "Runtime"),
            text_at(function, "Handler"),
            fmt::format("{} MB", number_at(function, "MemorySize")),
            fmt::format("{} s", number_at(function, "Timeout")),
            bytes_text(static_cast<std::uint64_t>(number_at(function, "CodeSize"))),
            text_at(function, "LastModified"),
        });
    }
}

/// All pages. With --json one object per page would not be one JSON text, so the functions of all
/// pages are joined into {"Functions":[...]}.
Exit list(const Context& context, bool names_only) {
    Client client = connect(context);
    Table table({
        {.title = "NAME"},
        {.title = "RUNTIME"},
        {.title = "HANDLER"},
        {.title = "MEMORY", .align = Align::kRight},
        {.title = "TIMEOUT", .align = Align::kRight},
        {.title = "CODE", .align = Align::kRight},
        {.title = "MODIFIED"},
    });
    std::string names;
    std::string joined;
    std::string marker;
    do {
        JsonWriter request;
        request.begin_object();
        if (!marker.empty()) {
            request.key("Marker").text(marker);
        }
        request.end_object();
        const JsonDocument answer = parse_answer(control(client, "ListFunctions", request.str()));
        add_functions(table, answer.root(), names);
        const std::string page = simdjson::minify(answer.root()["Functions"].value());
        if (page.size() > 2) {  // more than []
            joined += (joined.empty() ? "" : ",") + page.substr(1, page.size() - 2);
        }
        marker = text_at(answer.root(), "NextMarker");
    } while (!marker.empty());
    if (context.json) {
        write_out("{\"Functions\":[" + joined + "]}\n");
    } else if (names_only) {
        write_out(names);
    } else {
        table.print(context);
    }
    return Exit::kOk;
}

/// One row per scalar; members of objects get dotted names.
void add_members(Table& table, const std::string& prefix, simdjson::dom::element value) {
    simdjson::dom::object object;
    if (value.get(object) == simdjson::SUCCESS && object.size() > 0) {
        for (const auto member : object) {
            const std::string name = prefix.empty() ? "" : prefix + ".";
            add_members(table, name + std::string(member.key), member.value);
        }
        return;
    }
    std::string_view text;
    table.add(
        {prefix, value.get(text) == simdjson::SUCCESS ? std::string(text) : simdjson::minify(value)}
    );
}

Exit get(const Context& context, const std::string& name, const std::string& qualifier) {
    JsonWriter request;
    request.begin_object().key("FunctionName").text(name);
    if (!qualifier.empty()) {
        request.key("Qualifier").text(qualifier);
    }
    request.end_object();
    Client client = connect(context);
    const std::string json = control(client, "GetFunction", request.str());
    if (context.json) {
        write_out(json + "\n");
        return Exit::kOk;
    }
    Table table({{.title = "MEMBER"}, {.title = "VALUE"}});
    const JsonDocument answer = parse_answer(json);
    simdjson::dom::object root;
    if (answer.root().get(root) == simdjson::SUCCESS) {
        for (const auto member : root) {
            const bool is_configuration = member.key == "Configuration";
            add_members(table, is_configuration ? "" : std::string(member.key), member.value);
        }
    }
    table.print(context);
    return Exit::kOk;
}

Exit ping(const Context& context) {
    Client client = connect(context);
    const auto first = client.ping();
    const auto second = client.ping();  // without the first wake-up of either side
    const std::string status = control(client, "GetEngineStatus", "{}");
    const auto round_trip_us = static_cast<std::uint64_t>(std::min(first, second).count());
    if (context.json) {
        JsonWriter out;
        out.begin_object().key("Socket").text(socket_path(context));
        out.key("RoundTripUs").number(round_trip_us);
        out.key("Engine").raw(status).end_object();
        write_out(out.str() + "\n");
        return Exit::kOk;
    }
    write_out(fmt::format(
        "engine at {}: round trip {}\n", socket_path(context), milliseconds_text(round_trip_us)
    ));
    Table table({{.title = "STATUS"}, {.title = "VALUE"}});
    const JsonDocument answer = parse_answer(status);
    add_members(table, "", answer.root());
    table.print(context);
    return Exit::kOk;
}

}  // namespace

void add_query_commands(CLI::App& root, Context& context) {
    struct Options {
        std::string name;
        std::string qualifier;
        bool names_only = false;
    };
    auto options = std::make_shared<Options>();

    CLI::App* list_command = root.add_subcommand("list", "List the functions");
    list_command->add_flag("--names", options->names_only, "Names only, one per line");
    list_command->callback([&context, options]() {
        context.run = [&context, options]() { return list(context, options->names_only); };
    });

    CLI::App* get_command = root.add_subcommand("get", "Show a function's configuration");
    get_command->add_option("name", options->name, "Name of the function")->required();
    get_command->add_option("--qualifier", options->qualifier, "Version or alias")
        ->type_name("VERSION");
    get_command->callback([&context, options]() {
        context.run = [&context, options]() {
            return get(context, options->name, options->qualifier);
        };
    });

    CLI::App* ping_command = root.add_subcommand("ping", "Ask the engine how it is");
    ping_command->callback([&context]() { context.run = [&context]() { return ping(context); }; });
}

}  // namespace hako::cli
