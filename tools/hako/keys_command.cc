#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <CLI/App.hpp>

#include "tools/hako/engine.h"
#include "tools/hako/json.h"
#include "tools/hako/output.h"

// keys create, list, enable, disable, rotate, delete: the access keys that sign HTTP requests.
namespace hako::cli {
namespace {

struct KeyOptions {
    std::string user;
    std::string id;
    std::string account;
    std::vector<std::string> rights = {"invoke"};
    std::vector<std::string> functions;
    std::int64_t expires_s = 0;
    std::int64_t grace_s = 86'400;
};

JsonDocument parse_answer(const std::string& json) {
    auto document = JsonDocument::parse(json);
    if (!document) {
        throw Failure(Exit::kServiceError, "the engine's answer is not JSON");
    }
    return std::move(*document);
}

std::string joined(simdjson::dom::element list, std::string_view when_empty) {
    simdjson::dom::array items;
    std::string text;
    if (list.get(items) == simdjson::SUCCESS) {
        for (const simdjson::dom::element item : items) {
            std::string_view one;
            if (item.get(one) == simdjson::SUCCESS) {
                text += fmt::format("{}{}", text.empty() ? "" : ",", one);
            }
        }
    }
    return text.empty() ? std::string(when_empty) : text;
}

void add_list(JsonWriter& request, std::string_view name, const std::vector<std::string>& texts) {
    std::string list;
    for (const std::string& text : texts) {
        JsonWriter one;
        one.text(text);
        list += (list.empty() ? "" : ",") + one.str();
    }
    request.key(name).raw("[" + list + "]");
}

/// The one time a secret is shown: as lines that a shell takes, and nothing else on standard
/// output.
Exit show_secret(const Context& context, const std::string& json) {
    if (context.json) {
        write_out(json + "\n");
        return Exit::kOk;
    }
    const JsonDocument answer = parse_answer(json);
    simdjson::dom::element key;
    if (answer.root()["AccessKey"].get(key) != simdjson::SUCCESS) {
        throw Failure(Exit::kServiceError, "the engine's answer has no AccessKey");
    }
    write_out(fmt::format(
        "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n",
        text_at(key, "AccessKeyId"),
        text_at(key, "SecretAccessKey")
    ));
    fmt::print(stderr, "hako: the secret is shown this once; hako cannot show it again\n");
    return Exit::kOk;
}

Exit create(const Context& context, const KeyOptions& options) {
    JsonWriter request;
    request.begin_object().key("UserName").text(options.user);
    add_list(request, "Rights", options.rights);
    add_list(request, "Functions", options.functions);
    if (!options.account.empty()) {
        request.key("Account").text(options.account);
    }
    if (options.expires_s > 0) {
        request.key("ExpiresInSeconds").number(options.expires_s);
    }
    request.end_object();
    Client client = connect(context);
    return show_secret(context, control(client, "CreateAccessKey", request.str()));
}

Exit list(const Context& context, const KeyOptions& options) {
    JsonWriter request;
    request.begin_object();
    if (!options.user.empty()) {
        request.key("UserName").text(options.user);
    }
    request.end_object();
    Client client = connect(context);
    const std::string json = control(client, "ListAccessKeys", request.str());
    if (context.json) {
        write_out(json + "\n");
        return Exit::kOk;
    }
    Table table({
        {.title = "KEY"},
        {.title = "USER"},
        {.title = "STATUS"},
        {.title = "RIGHTS"},
        {.title = "FUNCTIONS"},
        {.title = "CREATED"},
        {.title = "EXPIRES"},
        {.title = "USED"},
    });
    const JsonDocument answer = parse_answer(json);
    simdjson::dom::array keys;
    if (answer.root()["AccessKeys"].get(keys) != simdjson::SUCCESS) {
        throw Failure(Exit::kServiceError, "the engine's answer has no AccessKeys");
    }
    const auto or_dash = [](std::string text) { return text.empty() ? std::string("-") : text; };
    for (const simdjson::dom::element key : keys) {
        table.add({
            text_at(key, "AccessKeyId"),
            text_at(key, "UserName"),
            text_at(key, "Status"),
            joined(key["Rights"].value(), "none"),
            joined(key["Functions"].value(), "all"),
            text_at(key, "CreateDate"),
            or_dash(text_at(key, "ExpireDate")),
            or_dash(text_at(key, "LastUsedDate")),
        });
    }
    table.print(context);
    return Exit::kOk;
}

Exit rotate(const Context& context, const KeyOptions& options) {
    JsonWriter request;
    request.begin_object().key("AccessKeyId").text(options.id);
    request.key("GraceSeconds").number(options.grace_s).end_object();
    Client client = connect(context);
    return show_secret(context, control(client, "RotateAccessKey", request.str()));
}

/// Operations that answer with nothing one has to see.
Exit change(
    const Context& context,
    const KeyOptions& options,
    std::string_view operation,
    std::string_view status
) {
    JsonWriter request;
    request.begin_object().key("AccessKeyId").text(options.id);
    if (!status.empty()) {
        request.key("Status").text(status);
    }
    request.end_object();
    Client client = connect(context);
    const std::string json = control(client, operation, request.str());
    if (context.json && !json.empty()) {
        write_out(json + "\n");
    }
    return Exit::kOk;
}

using Options = std::shared_ptr<KeyOptions>;

void add_create(CLI::App& keys, Context& context, const Options& options) {
    CLI::App* command = keys.add_subcommand("create", "Make a key and print its secret, once");
    command->add_option("user", options->user, "Whose key it is: the name in the ARN")
        ->type_name("USER")
        ->required();
    command
        ->add_option(
            "--rights", options->rights, "invoke, control, admin: one or more with commas between"
        )
        ->type_name("RIGHTS")
        ->delimiter(',')
        ->capture_default_str();
    command
        ->add_option(
            "--functions", options->functions, "Only these: names with * and ?, commas between"
        )
        ->type_name("PATTERNS")
        ->delimiter(',');
    command->add_option("--expires", options->expires_s, "Ends after so long; 0: never")
        ->type_name("SECONDS")
        ->capture_default_str();
    command
        ->add_option(
            "--account",
            options->account,
            "Another account's user, who may do what functions' policies say"
        )
        ->type_name("NUMBER");
    command->callback([&context, options] {
        context.run = [&context, options] { return create(context, *options); };
    });
}

void add_list_command(CLI::App& keys, Context& context, const Options& options) {
    CLI::App* command = keys.add_subcommand("list", "All keys, without their secrets");
    command->add_option("user", options->user, "Only this user's")->type_name("USER");
    command->callback([&context, options] {
        context.run = [&context, options] { return list(context, *options); };
    });
}

struct Change {
    const char* name;
    const char* help;
    const char* operation;
    const char* status;
};

void add_change(CLI::App& keys, Context& context, const Options& options, const Change& what) {
    CLI::App* command = keys.add_subcommand(what.name, what.help);
    command->add_option("key", options->id, "The key's id")->type_name("KEY")->required();
    command->callback([&context, options, what] {
        context.run = [&context, options, what] {
            return change(context, *options, what.operation, what.status);
        };
    });
}

void add_rotate(CLI::App& keys, Context& context, const Options& options) {
    CLI::App* command =
        keys.add_subcommand("rotate", "Make a key like this one, and let this one end");
    command->add_option("key", options->id, "The key's id")->type_name("KEY")->required();
    command->add_option("--grace", options->grace_s, "How long the old one still works")
        ->type_name("SECONDS")
        ->capture_default_str();
    command->callback([&context, options] {
        context.run = [&context, options] { return rotate(context, *options); };
    });
}

}  // namespace

void add_keys_command(CLI::App& root, Context& context) {
    CLI::App* keys = root.add_subcommand("keys", "Access keys, which sign HTTP requests");
    keys->require_subcommand(1);
    const auto options = std::make_shared<KeyOptions>();
    add_create(*keys, context, options);
    add_list_command(*keys, context, options);
    add_change(
        *keys,
        context,
        options,
        {"enable", "Let a disabled key work again", "UpdateAccessKey", "Active"}
    );
    add_change(
        *keys,
        context,
        options,
        {"disable", "Let a key stop working at once", "UpdateAccessKey", "Inactive"}
    );
    add_rotate(*keys, context, options);
    add_change(*keys, context, options, {"delete", "Forget a key", "DeleteAccessKey", ""});
}

}  // namespace hako::cli
