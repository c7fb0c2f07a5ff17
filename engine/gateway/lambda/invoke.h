#pragma once

#include <array>
#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "engine/gateway/http/message.h"
#include "engine/gateway/lambda/url_text.h"
#include "engine/instance/invoke_types.h"
#include "engine/registry/api_error.h"

namespace hako::gateway::lambda {

/// An Invoke as HTTP says it: name and qualifier decoded, headers read. Lives as long as the
/// request.
class InvokeRequest {
public:
    /// Errors: InvalidParameterValueException, InvalidRequestContentException, ValidationException.
    [[nodiscard]] std::expected<void, registry::ApiError> read(
        const http::Request& request, std::string_view encoded_name
    );
    /// An InvokeWithResponseStream: never an event.
    [[nodiscard]] std::expected<void, registry::ApiError> read_stream(
        const http::Request& request, std::string_view encoded_name
    );
    /// An InvokeAsync: always an event, no headers.
    [[nodiscard]] std::expected<void, registry::ApiError> read_async(
        const http::Request& request, std::string_view encoded_name
    );
    [[nodiscard]] const instance::InvokeCall& call() const noexcept { return call_; }
    [[nodiscard]] std::string_view trace_id() const noexcept { return call_.trace_id; }

private:
    [[nodiscard]] std::expected<void, registry::ApiError> read_headers(const http::Request& request
    );
    [[nodiscard]] std::expected<void, registry::ApiError> read_context(std::string_view base64);
    void make_trace_id(std::string_view request_id);

    DecodedText name_;
    DecodedText qualifier_;
    std::vector<char> context_;
    std::array<char, 64> trace_text_{};
    instance::InvokeCall call_;
};

/// Answers an Invoke as Lambda does.
class InvokeAnswer final : public instance::InvokeObserver {
public:
    InvokeAnswer(http::ResponseWriter& out, const InvokeRequest& request)
        : out_(out), request_(request) {}

    void payload_taken() override { out_.release_body(); }
    [[nodiscard]] bool is_gone() const override { return out_.is_gone(); }
    void reply(const instance::InvokeReply& reply) override;

private:
    http::ResponseWriter& out_;
    const InvokeRequest& request_;
};

/// Answers an InvokeAsync: `{"Status":202}` for an event that was taken.
class InvokeAsyncAnswer final : public instance::InvokeObserver {
public:
    explicit InvokeAsyncAnswer(http::ResponseWriter& out) : out_(out) {}

    void payload_taken() override { out_.release_body(); }
    [[nodiscard]] bool is_gone() const override { return out_.is_gone(); }
    void reply(const instance::InvokeReply& reply) override;

private:
    http::ResponseWriter& out_;
};

}  // namespace hako::gateway::lambda
