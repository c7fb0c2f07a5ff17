#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <hako/client.hpp>

#include "tools/hako/context.h"

namespace hako::cli {

/// Connects to the engine that the options name. Failure kUnreachable with the path.
[[nodiscard]] Client connect(const Context& context);

/// A failure of the connection or of an argument as the command's own.
[[nodiscard]] Failure failure_of(const ClientError& error);

/// An engine's 4xx or 5xx; prints as "CODE (STATUS): MESSAGE".
class ApiFailure : public Failure {
public:
    ApiFailure(std::uint32_t status, std::string_view code, std::string_view body);
    /// {"status":404,"code":"...","message":"..."}
    [[nodiscard]] std::string json() const;
    [[nodiscard]] std::uint32_t status() const noexcept { return parts_.status; }
    [[nodiscard]] const std::string& code() const noexcept { return parts_.code; }

private:
    struct Parts {
        std::uint32_t status;
        std::string code;
        std::string message;
    };
    explicit ApiFailure(Parts parts);
    Parts parts_;
};

/// A control operation; returns the answer's JSON. Throws ApiFailure or Failure.
[[nodiscard]] std::string control(
    Client& client, std::string_view operation, std::string_view json, std::string_view package = {}
);

}  // namespace hako::cli
