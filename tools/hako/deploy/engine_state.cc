#include "tools/hako/deploy/engine_state.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <simdjson.h>

namespace hako::cli::deploy {
namespace {

constexpr std::uint32_t kNotFound = 404;

JsonDocument parsed(const std::string& json) {
    auto document = JsonDocument::parse(json.empty() ? "{}" : json);
    if (!document) {
        throw Failure(Exit::kServiceError, "the engine's answer is not JSON");
    }
    return *std::move(document);
}

}  // namespace

std::optional<JsonDocument> ask(
    Client& client, std::string_view operation, const std::string& request, bool wants
) {
    try {
        return parsed(control(client, operation, request));
    } catch (const ApiFailure& failure) {
        if (failure.code() == "UnknownOperationException" && wants) {
            throw Failure(
                Exit::kApiError,
                fmt::format("the template needs {}, which this engine does not have", operation)
            );
        }
        if (failure.status() == kNotFound) {
            return std::nullopt;
        }
        throw;
    }
}

std::string named(
    std::string_view function,
    std::initializer_list<std::pair<std::string_view, std::string_view>> more
) {
    JsonWriter out;
    out.begin_object().key("FunctionName").text(function);
    for (const auto& [key, value] : more) {
        out.key(key).text(value);
    }
    return out.end_object().str();
}

std::vector<std::string> list_all(
    Client& client, std::string_view operation, const std::string& function, std::string_view items
) {
    std::vector<std::string> found;
    std::string marker;
    do {
        JsonWriter request;
        request.begin_object();
        if (!function.empty()) {
            request.key("FunctionName").text(function);
        }
        if (!marker.empty()) {
            request.key("Marker").text(marker);
        }
        const JsonDocument page = parsed(control(client, operation, request.end_object().str()));
        simdjson::dom::array list;
        if (page.root()[items].get(list) == simdjson::SUCCESS) {
            for (const auto item : list) {
                found.push_back(simdjson::minify(item));
            }
        }
        marker = text_at(page.root(), "NextMarker");
    } while (!marker.empty());
    return found;
}

std::map<std::string, std::string> tags_of(Client& client, const std::string& function_arn) {
    JsonWriter request;
    request.begin_object().key("Resource").text(function_arn).end_object();
    const auto answer = ask(client, "ListTags", request.str());
    std::map<std::string, std::string> tags;
    simdjson::dom::object members;
    if (answer && answer->root()["Tags"].get(members) == simdjson::SUCCESS) {
        for (const auto [key, value] : members) {
            std::string_view text;
            if (value.get(text) == simdjson::SUCCESS) {
                tags.emplace(key, text);
            }
        }
    }
    return tags;
}

std::vector<std::int64_t> versions_of(Client& client, const std::string& function) {
    std::vector<std::int64_t> numbers;
    for (const std::string& json :
         list_all(client, "ListVersionsByFunction", function, "Versions")) {
        const JsonDocument version = parsed(json);
        const std::string text = text_at(version.root(), "Version");
        std::int64_t number = 0;
        if (std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc{}) {
            numbers.push_back(number);
        }
    }
    std::ranges::sort(numbers);
    return numbers;
}

}  // namespace hako::cli::deploy
