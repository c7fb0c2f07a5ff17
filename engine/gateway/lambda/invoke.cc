#include "engine/gateway/lambda/invoke.h"

#include <algorithm>
#include <charconv>
#include <span>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/gateway/http/handler.h"
#include "engine/registry/digest.h"

namespace hako::gateway::lambda {
namespace {

using registry::ApiError;

constexpr std::size_t kContextBytesMax = 3583;
// simdjson reads ahead, of the client context too.
constexpr std::size_t kReadAheadBytes = 64;

std::unexpected<ApiError> refused(ApiError error) {
    return std::unexpected(std::move(error));
}

ApiError not_in_enum(std::string_view value, std::string_view member, std::string_view values) {
    return registry::validation_error(fmt::format(
        "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: Member must "
        "satisfy enum value set: [{}]",
        value,
        member,
        values
    ));
}

}  // namespace

std::expected<void, ApiError> InvokeRequest::read(
    const http::Request& request, std::string_view encoded_name
) {
    const std::string_view qualifier =
        find_query_value(request.query, "Qualifier").value_or(std::string_view());
    if (!name_.decode(encoded_name, false) || !qualifier_.decode(qualifier, true)) {
        return refused(registry::invalid_parameter("The path or the query is not well encoded."));
    }
    call_.function_name = name_.text();
    call_.qualifier = qualifier_.text();
    call_.payload = request.body;
    call_.request_id = request.request_id;
    return read_headers(request);
}

std::expected<void, ApiError> InvokeRequest::read_stream(
    const http::Request& request, std::string_view encoded_name
) {
    TRY(read(request, encoded_name));
    if (call_.invocation_type == wire::InvocationType::kEvent) {
        return refused(not_in_enum("Event", "invocationType", "RequestResponse, DryRun"));
    }
    return {};
}

std::expected<void, ApiError> InvokeRequest::read_async(
    const http::Request& request, std::string_view encoded_name
) {
    if (!name_.decode(encoded_name, false)) {
        return refused(registry::invalid_parameter("The path is not well encoded."));
    }
    call_.function_name = name_.text();
    call_.payload = request.body;
    call_.request_id = request.request_id;
    call_.invocation_type = wire::InvocationType::kEvent;
    make_trace_id(request.request_id);
    return {};
}

std::expected<void, ApiError> InvokeRequest::read_headers(const http::Request& request) {
    for (const http::Header& header : request.headers) {
        if (header.name.size() < 12 || (header.name[0] | 0x20) != 'x') {
            continue;  // none of the four
        }
        const std::string_view value = header.value;
        if (http::is_same_word(header.name, "X-Amz-Invocation-Type")) {
            if (value == "Event") {
                call_.invocation_type = wire::InvocationType::kEvent;
            } else if (value == "DryRun") {
                call_.invocation_type = wire::InvocationType::kDryRun;
            } else if (!value.empty() && value != "RequestResponse") {
                return refused(
                    not_in_enum(value, "invocationType", "Event, RequestResponse, DryRun")
                );
            }
        } else if (http::is_same_word(header.name, "X-Amz-Log-Type")) {
            if (value == "Tail") {
                call_.log_type = wire::LogType::kTail;
            } else if (!value.empty() && value != "None") {
                return refused(not_in_enum(value, "logType", "None, Tail"));
            }
        } else if (http::is_same_word(header.name, "X-Amz-Client-Context")) {
            TRY(read_context(value));
        } else if (http::is_same_word(header.name, "X-Amzn-Trace-Id")) {
            call_.trace_id = value;
        }
    }
    if (call_.trace_id.empty()) {
        make_trace_id(request.request_id);
    }
    return {};
}

std::expected<void, ApiError> InvokeRequest::read_context(std::string_view base64) {
    if (base64.empty()) {
        return {};
    }
    if (base64.size() > kContextBytesMax) {
        return refused(registry::invalid_parameter(fmt::format(
            "Client context must be at most {} bytes of base64-encoded JSON.", kContextBytesMax
        )));
    }
    const auto decoded = registry::from_base64(base64);
    if (!decoded) {
        return refused(ApiError{
            .status = 400,
            .code = "InvalidRequestContentException",
            .message = "Client context must be a valid Base64-encoded JSON object.",
        });
    }
    context_.reserve(decoded->size() + kReadAheadBytes);
    context_.resize(decoded->size());
    std::ranges::transform(*decoded, context_.begin(), [](std::byte byte) {
        return static_cast<char>(byte);
    });
    call_.client_context = {context_.data(), context_.size()};
    return {};
}

// Root=1-TIME-ID;Sampled=0: Lambda's form where the caller traces nothing. The id is the request's.
void InvokeRequest::make_trace_id(std::string_view request_id) {
    constexpr std::string_view kRoot = "Root=1-";
    constexpr std::size_t kTimeDigits = 8;
    constexpr std::size_t kIdDigits = 24;
    constexpr std::int64_t kSecondUs = 1'000'000;
    char* out = std::ranges::copy(kRoot, trace_text_.data()).out;
    const auto seconds = static_cast<std::uint32_t>(wall_us() / kSecondUs);
    for (std::size_t digit = 0; digit < kTimeDigits; ++digit) {
        *out++ = "0123456789abcdef"[seconds >> (4 * (kTimeDigits - 1 - digit)) & 0xfU];
    }
    *out++ = '-';
    std::size_t digits_count = 0;
    for (const char c : request_id) {
        if (c != '-' && digits_count < kIdDigits) {
            *out++ = c;
            ++digits_count;
        }
    }
    out = std::ranges::copy(std::string_view(";Sampled=0"), out).out;
    call_.trace_id = {trace_text_.data(), out};
}

void InvokeAnswer::reply(const instance::InvokeReply& reply) {
    std::array<http::Header, 5> headers;
    std::size_t count = 0;
    std::string log;
    if (reply.status >= 400) {
        headers[count++] = {.name = "x-amzn-ErrorType", .value = reply.error_code};
        if (reply.status == 429) {
            headers[count++] = {.name = "Retry-After", .value = "1"};
        }
    } else {
        if (!reply.version.empty()) {
            headers[count++] = {.name = "X-Amz-Executed-Version", .value = reply.version};
        }
        if (reply.function_error) {
            headers[count++] = {.name = "X-Amz-Function-Error", .value = reply.error_code};
        }
        if (!reply.log_tail.empty()) {
            const auto* bytes = reinterpret_cast<const std::uint8_t*>(reply.log_tail.data());
            log = registry::to_base64({bytes, reply.log_tail.size()});
            headers[count++] = {.name = "X-Amz-Log-Result", .value = log};
        }
        headers[count++] = {.name = "X-Amzn-Trace-Id", .value = request_.trace_id()};
    }
    out_.send({.status = reply.status, .headers = std::span(headers.data(), count)}, reply.payload);
}

void InvokeAsyncAnswer::reply(const instance::InvokeReply& reply) {
    if (reply.status < 400) {
        out_.send({.status = 202}, R"({"Status":202})");
        return;
    }
    const std::array headers = {http::Header{.name = "x-amzn-ErrorType", .value = reply.error_code}
    };
    out_.send({.status = reply.status, .headers = headers}, reply.payload);
}

}  // namespace hako::gateway::lambda
