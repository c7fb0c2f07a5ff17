#include "tools/hako/engine.h"

#include <chrono>

#include <fmt/format.h>

#include "tools/hako/json.h"

namespace hako::cli {
namespace {

Exit exit_of(std::uint32_t status) {
    if (status == 429) {
        return Exit::kThrottled;
    }
    return status >= 500 ? Exit::kServiceError : Exit::kApiError;
}

/// Lambda's error bodies have `message` or `Message`, by error.
std::string message_of(std::string_view body) {
    if (const auto document = JsonDocument::parse(body)) {
        for (const std::string_view name : {"message", "Message"}) {
            std::string text = text_at(document->root(), name);
            if (!text.empty()) {
                return text;
            }
        }
    }
    return std::string(body);
}

}  // namespace

Client connect(const Context& context) {
    const std::string path = socket_path(context);
    try {
        Client client(path);
        if (context.wait_s > 0) {
            client.set_timeout(
                std::chrono::microseconds(static_cast<std::int64_t>(context.wait_s * 1e6))
            );
        }
        return client;
    } catch (const ClientError& error) {
        throw Failure(
            Exit::kUnreachable,
            fmt::format("no engine at the socket {} (is hakod running?)", error.what())
        );
    }
}

Failure failure_of(const ClientError& error) {
    return {error.code() == HAKO_CLIENT_EINVALID ? Exit::kUsage : Exit::kUnreachable, error.what()};
}

ApiFailure::ApiFailure(std::uint32_t status, std::string_view code, std::string_view body)
    : ApiFailure(Parts{status, std::string(code), message_of(body)}) {}

ApiFailure::ApiFailure(Parts parts)
    : Failure(
          exit_of(parts.status), fmt::format("{} ({}): {}", parts.code, parts.status, parts.message)
      ),
      parts_(std::move(parts)) {}

std::string ApiFailure::json() const {
    JsonWriter out;
    out.begin_object().key("status").number(std::uint64_t{parts_.status});
    out.key("code").text(parts_.code).key("message").text(parts_.message).end_object();
    return out.str();
}

std::string control(
    Client& client, std::string_view operation, std::string_view json, std::string_view package
) {
    const Answer answer = client.control(operation, json, package);
    if (answer.status() >= 400) {
        throw ApiFailure(answer.status(), answer.error_code(), answer.payload());
    }
    return std::string(answer.payload());
}

}  // namespace hako::cli
