#pragma once

#include <string>

namespace hako::registry {

/// A refusal as Lambda words it. `type` is `User`, `Service`, or empty where Lambda sends none.
struct ApiError {
    int status = 500;
    std::string code;  // ResourceNotFoundException
    std::string message;
    std::string type = "User";

    /// The body: {"Type":..,"message":..}; `Message` for the errors where Lambda spells it so.
    [[nodiscard]] std::string to_json() const;
};

/// A failure of the machine below us (disk, database), in words for a person.
struct Failure {
    std::string text;
};

[[nodiscard]] ApiError invalid_parameter(std::string message);
[[nodiscard]] ApiError validation_error(std::string message);
[[nodiscard]] ApiError not_found(std::string message);
[[nodiscard]] ApiError conflict(std::string message);
[[nodiscard]] ApiError too_large(std::string message);
[[nodiscard]] ApiError bad_json(std::string message);
[[nodiscard]] ApiError service_error(std::string message);

}  // namespace hako::registry
