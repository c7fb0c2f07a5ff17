#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <string_view>

#include "engine/gateway/auth/key_store.h"
#include "engine/gateway/http/handler.h"
#include "engine/registry/control_service.h"
#include "engine/registry/function_name.h"

namespace hako::gateway::auth {

/// What `hako keys` calls: CreateAccessKey, ListAccessKeys, UpdateAccessKey, RotateAccessKey,
/// DeleteAccessKey. A secret is in the answer of the operation that made it, and nowhere else.
/// Lives on the loop.
class KeyOperations {
public:
    KeyOperations(
        KeyStore& keys,
        registry::BlockingRunner& runner,
        registry::Identity identity,
        std::uint32_t keys_max
    );

    [[nodiscard]] static bool knows(std::string_view operation) noexcept;
    /// Parks while the file is written. `caller` is only for the log: who may is decided before.
    [[nodiscard]] registry::ControlAnswer handle(
        const http::Caller& caller, std::string_view operation, std::string_view json
    );

    /// Seconds since 1970; a seam for tests.
    std::function<std::int64_t()> clock_s;

private:
    struct Request;
    using Outcome = std::expected<registry::ControlAnswer, registry::ApiError>;

    [[nodiscard]] Outcome create(Request& request);
    [[nodiscard]] Outcome list(const Request& request);
    [[nodiscard]] Outcome update(const Request& request);
    [[nodiscard]] Outcome rotate(Request& request);
    [[nodiscard]] Outcome remove(const Request& request);
    [[nodiscard]] std::expected<AccessKey, registry::ApiError> existing(const Request& request);
    [[nodiscard]] std::expected<void, registry::ApiError> save();
    void drop_ended();

    KeyStore& keys_;
    registry::BlockingRunner& runner_;
    registry::Identity identity_;
    std::uint32_t keys_max_;
    bool is_busy_ = false;
};

}  // namespace hako::gateway::auth
