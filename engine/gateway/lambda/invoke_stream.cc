#include "engine/gateway/lambda/invoke_stream.h"

#include <array>
#include <span>

#include "engine/gateway/lambda/event_stream.h"
#include "engine/registry/digest.h"
#include "engine/registry/json_writer.h"

namespace hako::gateway::lambda {
namespace {

constexpr EventHead kPayloadChunk = {
    .event_type = "PayloadChunk", .content_type = "application/octet-stream"
};
constexpr EventHead kInvokeComplete = {
    .event_type = "InvokeComplete", .content_type = "application/json"
};
constexpr std::string_view kWholeType = "application/json";

/// The last event: what went wrong, if anything did, and the log if it was asked for.
void append_complete(std::string& out, const instance::InvokeReply& reply) {
    registry::JsonWriter json;
    json.open_object();
    if (reply.status >= 400 || reply.function_error) {
        json.member("ErrorCode", reply.error_code);
        json.member("ErrorDetails", reply.payload);
    }
    if (!reply.log_tail.empty()) {
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(reply.log_tail.data());
        json.member("LogResult", registry::to_base64({bytes, reply.log_tail.size()}));
    }
    json.close_object();
    append_event(out, kInvokeComplete, json.take());
}

}  // namespace

Result<void> InvokeStreamAnswer::on_begin(const instance::StreamHead& head) {
    streamed_ = true;
    const std::array headers = {
        http::Header{.name = "X-Amz-Executed-Version", .value = head.version},
        http::Header{.name = "X-Amzn-Remapped-Content-Type", .value = head.content_type},
        http::Header{.name = "X-Amzn-Trace-Id", .value = request_.trace_id()},
    };
    return out_.begin({.status = 200, .content_type = kEventStreamType, .headers = headers});
}

Result<void> InvokeStreamAnswer::on_part(std::string_view part) {
    buffer_.clear();
    append_event(buffer_, kPayloadChunk, part);
    return out_.write(buffer_);
}

void InvokeStreamAnswer::reply(const instance::InvokeReply& reply) {
    buffer_.clear();
    if (reply.streamed) {
        append_complete(buffer_, reply);  // sent by `finish`: here nobody may wait
    } else if (reply.status == 200) {
        send_whole(reply);
    } else {
        send_refusal(reply);
    }
}

void InvokeStreamAnswer::finish() {
    if (!streamed_) {
        return;
    }
    if (!out_.write(buffer_) || !out_.finish()) {
        out_.abort();  // the client has gone
    }
}

void InvokeStreamAnswer::send_whole(const instance::InvokeReply& reply) {
    if (!reply.function_error && !reply.payload.empty()) {
        append_event(buffer_, kPayloadChunk, reply.payload);
    }
    append_complete(buffer_, reply);
    const std::array headers = {
        http::Header{.name = "X-Amz-Executed-Version", .value = reply.version},
        http::Header{.name = "X-Amzn-Remapped-Content-Type", .value = kWholeType},
        http::Header{.name = "X-Amzn-Trace-Id", .value = request_.trace_id()},
    };
    out_.send({.status = 200, .content_type = kEventStreamType, .headers = headers}, buffer_);
}

void InvokeStreamAnswer::send_refusal(const instance::InvokeReply& reply) {
    const std::array headers = {
        http::Header{.name = "x-amzn-ErrorType", .value = reply.error_code},
        http::Header{.name = "Retry-After", .value = "1"},
    };
    const std::size_t count = reply.status < 400 ? 0 : reply.status == 429 ? 2 : 1;
    out_.send({.status = reply.status, .headers = std::span(headers).first(count)}, reply.payload);
}

}  // namespace hako::gateway::lambda
