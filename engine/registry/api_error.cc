#include "engine/registry/api_error.h"

#include <array>
#include <string_view>
#include <utility>

#include "engine/registry/json_writer.h"

namespace hako::registry {

namespace {

// Shapes whose message member is spelt with a capital (lambda-api.json, `errors`).
constexpr std::array<std::string_view, 3> kCapitalMessage = {
    "ResourceNotFoundException", "ServiceException", "AccessDeniedException"
};

bool is_capital(std::string_view code) {
    for (const std::string_view candidate : kCapitalMessage) {
        if (candidate == code) {
            return true;
        }
    }
    return false;
}

ApiError user_error(int status, const char* code, std::string message) {
    return {.status = status, .code = code, .message = std::move(message), .type = "User"};
}

}  // namespace

std::string ApiError::to_json() const {
    JsonWriter json;
    json.open_object();
    if (!type.empty()) {
        json.member("Type", type);
    }
    json.member(is_capital(code) ? "Message" : "message", message).close_object();
    return json.take();
}

ApiError invalid_parameter(std::string message) {
    return user_error(400, "InvalidParameterValueException", std::move(message));
}

ApiError validation_error(std::string message) {
    return {
        .status = 400, .code = "ValidationException", .message = std::move(message), .type = ""
    };
}

ApiError not_found(std::string message) {
    return user_error(404, "ResourceNotFoundException", std::move(message));
}

ApiError conflict(std::string message) {
    return user_error(409, "ResourceConflictException", std::move(message));
}

ApiError too_large(std::string message) {
    return user_error(413, "RequestEntityTooLargeException", std::move(message));
}

ApiError bad_json(std::string message) {
    return user_error(
        400,
        "InvalidRequestContentException",
        "Could not parse request body into json: " + std::move(message)
    );
}

ApiError service_error(std::string message) {
    return {
        .status = 500, .code = "ServiceException", .message = std::move(message), .type = "Service"
    };
}

}  // namespace hako::registry
