#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "engine/base/clock.h"
#include "engine/client/connection.h"
#include "engine/client/include/hako/client.h"

struct hako_client {
    std::unique_ptr<hako::client::Connection> connection;
};

namespace hako::client {
namespace {

std::string_view text_of(hako_client_view view) noexcept {
    return {view.data, view.data == nullptr ? 0 : view.bytes};
}

hako_client_view view_of(std::string_view text) noexcept {
    return {text.data(), text.size()};
}

template <typename T>
std::string_view bytes_of(const T& fixed) noexcept {
    return {reinterpret_cast<const char*>(&fixed), sizeof(fixed)};
}

/// The limits that the engine would answer with a closed connection are checked here; those that it
/// answers properly (payload size, JSON, names) are left to it.
Outcome<wire::InvokeMeta> meta_of(const hako_client_request& request) noexcept {
    const std::size_t name_bytes = text_of(request.function).size();
    const std::size_t context_bytes = text_of(request.client_context).size();
    const std::size_t qualifier_bytes = text_of(request.qualifier).size();
    if (name_bytes == 0 || name_bytes > wire::kFunctionNameBytesMax) {
        return failure(HAKO_CLIENT_EINVALID, "function: must have 1 to 256 bytes");
    }
    if (qualifier_bytes > wire::kFunctionNameBytesMax) {
        return failure(HAKO_CLIENT_EINVALID, "qualifier: at most 256 bytes");
    }
    if (context_bytes > wire::kClientContextBytesMax) {
        return failure(HAKO_CLIENT_EINVALID, "client_context: at most 3583 bytes");
    }
    if (request.type < HAKO_CLIENT_REQUEST_RESPONSE || request.type > HAKO_CLIENT_DRY_RUN) {
        return failure(
            HAKO_CLIENT_EINVALID, "type: must be 0 (RequestResponse), 1 (Event), 2 (DryRun)"
        );
    }
    return wire::InvokeMeta{
        .invocation_type = static_cast<wire::InvocationType>(request.type),
        .log_type = request.tail != 0 ? wire::LogType::kTail : wire::LogType::kNone,
        .name_bytes = static_cast<std::uint16_t>(name_bytes),
        .qualifier_bytes = static_cast<std::uint16_t>(qualifier_bytes),
        .client_context_bytes = static_cast<std::uint16_t>(context_bytes),
    };
}

OutgoingFrame invoke_frame(const wire::InvokeMeta& meta, const hako_client_request& request) {
    return {
        .type = wire::FrameType::kInvoke,
        .fixed = bytes_of(meta),
        .texts =
            {text_of(request.function), text_of(request.qualifier), text_of(request.client_context)
            },
        .payload = text_of(request.payload),
    };
}

Outcome<void> fill_invoke(const IncomingFrame& frame, hako_client_answer& answer) noexcept {
    const auto result = wire::decode_invoke_result(frame.meta);
    if (!result) {
        return failure(
            HAKO_CLIENT_EPROTOCOL, "bad frame from the engine: meta data of InvokeResult"
        );
    }
    answer.function_error = (frame.header.flags & wire::kFlagFunctionError) != 0 ? 1 : 0;
    answer.memory_mib = result->meta.memory_mib;
    answer.duration_us = result->meta.duration_us;
    answer.billed_us = result->meta.billed_us;
    answer.init_us = result->meta.init_us;
    answer.cpu_us = result->meta.cpu_us;
    answer.memory_peak_bytes = result->meta.memory_peak_bytes;
    answer.version = view_of(result->version);
    answer.error_code = view_of(result->error_code);
    answer.log_tail = view_of(result->log_tail);
    static_assert(sizeof(answer.request_id) > sizeof(result->meta.request_id));
    std::memcpy(answer.request_id, result->meta.request_id, sizeof(result->meta.request_id));
    return {};
}

Outcome<void> fill_answer(const IncomingFrame& frame, hako_client_answer& answer) noexcept {
    answer = hako_client_answer{};
    answer.correlation = frame.header.correlation;
    answer.kind = static_cast<int>(frame.header.type);
    answer.status = frame.header.status;
    answer.payload = view_of(frame.payload);
    if (frame.header.type == wire::FrameType::kInvokeResult) {
        return fill_invoke(frame, answer);
    }
    answer.error_code = view_of(frame.meta);
    return {};
}

/// Runs `work`, and turns what it returns or throws into a code and the caller's error struct.
template <typename Work>
int guarded(hako_client_error* error, Work&& work) noexcept {
    Outcome<void> outcome;
    try {
        outcome = std::forward<Work>(work)();
    } catch (const std::bad_alloc&) {
        outcome = failure(HAKO_CLIENT_ENOMEM, "out of memory");
    }
    if (outcome) {
        return HAKO_CLIENT_OK;
    }
    if (error != nullptr) {
        *error = outcome.error();
    }
    return outcome.error().code;
}

Outcome<void> give(int refusal) {
    if (refusal != 0) {
        return failure(HAKO_CLIENT_ECANCELED, "the response was given up");
    }
    return {};
}

/// One frame of a streamed answer to the caller's callbacks.
Outcome<void> give_stream_frame(const hako_client_sink& sink, const IncomingFrame& frame) {
    if (frame.header.type == wire::FrameType::kStreamPart) {
        return give(sink.on_part(sink.context, view_of(frame.payload)));
    }
    const auto begin = wire::decode_stream_begin(frame.meta);
    if (!begin) {
        return failure(
            HAKO_CLIENT_EPROTOCOL, "bad frame from the engine: meta data of StreamBegin"
        );
    }
    return sink.on_begin == nullptr
               ? Outcome<void>{}
               : give(sink.on_begin(sink.context, view_of(begin->content_type)));
}

Outcome<void> invoke_stream(
    hako_client& client,
    const hako_client_request& request,
    const hako_client_sink& sink,
    hako_client_answer& answer
) {
    TRY_ASSIGN(const auto meta, meta_of(request));
    OutgoingFrame frame = invoke_frame(meta, request);
    frame.flags = wire::kFlagStream;
    TRY_ASSIGN(
        const IncomingFrame incoming,
        client.connection->call(
            frame, [&sink](const IncomingFrame& part) { return give_stream_frame(sink, part); }
        )
    );
    if (incoming.header.type != wire::FrameType::kInvokeResult) {
        return failure(HAKO_CLIENT_EPROTOCOL, "bad frame from the engine: answer of another type");
    }
    TRY(fill_answer(incoming, answer));
    const bool is_response = answer.status < 300 && answer.function_error == 0;
    if (is_response && answer.payload.bytes != 0) {
        const hako_client_view whole = std::exchange(answer.payload, {});
        return give(sink.on_part(sink.context, whole));
    }
    return {};
}

/// Submits, waits, and refuses an answer of another type than the request asks for.
Outcome<void> call(
    hako_client& client,
    const OutgoingFrame& frame,
    wire::FrameType wanted,
    hako_client_answer& answer
) {
    TRY_ASSIGN(const IncomingFrame incoming, client.connection->call(frame));
    if (incoming.header.type != wanted) {
        return failure(HAKO_CLIENT_EPROTOCOL, "bad frame from the engine: answer of another type");
    }
    return fill_answer(incoming, answer);
}

}  // namespace
}  // namespace hako::client

using hako::client::Connection;
using hako::client::Outcome;
using hako::client::OutgoingFrame;
using hako::wire::FrameType;

hako_client_view hako_client_text(const char* text) {
    return {text, text == nullptr ? 0 : std::strlen(text)};
}

const char* hako_client_version() {
    return HAKO_VERSION;
}

const char* hako_client_strerror(int code) {
    switch (code) {
        case HAKO_CLIENT_OK:
            return "no error";
        case HAKO_CLIENT_ESYSTEM:
            return "a system call failed";
        case HAKO_CLIENT_ETIMEOUT:
            return "time ran out";
        case HAKO_CLIENT_ECLOSED:
            return "the connection is closed";
        case HAKO_CLIENT_EPROTOCOL:
            return "the frame protocol was broken";
        case HAKO_CLIENT_EINVALID:
            return "an argument is out of range";
        case HAKO_CLIENT_ENOMEM:
            return "out of memory";
        case HAKO_CLIENT_ECANCELED:
            return "the response was given up";
        default:
            return "unknown code";
    }
}

hako_client* hako_client_connect(const char* path, hako_client_error* error) {
    hako_client* client = nullptr;
    (void)hako::client::guarded(error, [&client, path]() -> Outcome<void> {  // NULL says it
        TRY_ASSIGN(auto connection, Connection::connect(path));
        client = new hako_client{std::move(connection)};
        return {};
    });
    return client;
}

hako_client* hako_client_adopt(int fd, hako_client_error* error) {
    hako_client* client = nullptr;
    (void)hako::client::guarded(error, [&client, fd]() -> Outcome<void> {  // NULL says it
        client = new hako_client{std::make_unique<Connection>(hako::UniqueFd(fd))};
        return {};
    });
    return client;
}

void hako_client_close(hako_client* client) {
    delete client;
}

void hako_client_shutdown(hako_client* client) {
    client->connection->shutdown();
}

void hako_client_set_timeout(hako_client* client, int64_t timeout_us) {
    client->connection->set_timeout(timeout_us);
}

int hako_client_fd(const hako_client* client) {
    return client->connection->fd();
}

uint64_t hako_client_in_flight(const hako_client* client) {
    return client->connection->in_flight_count();
}

int hako_client_invoke(
    hako_client* client,
    const hako_client_request* request,
    hako_client_answer* answer,
    hako_client_error* error
) {
    return hako::client::guarded(error, [client, request, answer]() -> Outcome<void> {
        TRY_ASSIGN(const auto meta, hako::client::meta_of(*request));
        const OutgoingFrame frame = hako::client::invoke_frame(meta, *request);
        return hako::client::call(*client, frame, FrameType::kInvokeResult, *answer);
    });
}

int hako_client_invoke_stream(
    hako_client* client,
    const hako_client_request* request,
    const hako_client_sink* sink,
    hako_client_answer* answer,
    hako_client_error* error
) {
    return hako::client::guarded(error, [=]() {
        return hako::client::invoke_stream(*client, *request, *sink, *answer);
    });
}

int hako_client_submit(
    hako_client* client,
    const hako_client_request* request,
    uint64_t* correlation,
    hako_client_error* error
) {
    return hako::client::guarded(error, [client, request, correlation]() -> Outcome<void> {
        TRY_ASSIGN(const auto meta, hako::client::meta_of(*request));
        TRY_ASSIGN(
            const std::uint64_t given,
            client->connection->submit(hako::client::invoke_frame(meta, *request))
        );
        if (correlation != nullptr) {
            *correlation = given;
        }
        return {};
    });
}

int hako_client_flush(hako_client* client, hako_client_error* error) {
    return hako::client::guarded(error, [client]() { return client->connection->flush(); });
}

int hako_client_receive(hako_client* client, hako_client_answer* answer, hako_client_error* error) {
    return hako::client::guarded(error, [client, answer]() -> Outcome<void> {
        TRY_ASSIGN(const auto frame, client->connection->receive());
        return hako::client::fill_answer(frame, *answer);
    });
}

int hako_client_control(
    hako_client* client,
    hako_client_view operation,
    hako_client_view json,
    hako_client_view blob,
    hako_client_answer* answer,
    hako_client_error* error
) {
    return hako::client::guarded(error, [=]() -> Outcome<void> {
        const auto operation_text = hako::client::text_of(operation);
        const auto json_text = hako::client::text_of(json);
        if (operation_text.empty() || operation_text.size() > 64) {
            return hako::client::failure(
                HAKO_CLIENT_EINVALID, "operation: must have 1 to 64 bytes"
            );
        }
        const hako::wire::ControlMeta meta{
            .operation_bytes = static_cast<std::uint16_t>(operation_text.size()),
            // A length that does not fit is refused by submit, with the whole meta data.
            .json_bytes =
                static_cast<std::uint32_t>(std::min<std::size_t>(json_text.size(), UINT32_MAX)),
        };
        const OutgoingFrame frame{
            .type = FrameType::kControl,
            .fixed = hako::client::bytes_of(meta),
            .texts = {operation_text, json_text},
            .payload = hako::client::text_of(blob),
        };
        return hako::client::call(*client, frame, FrameType::kControlResult, *answer);
    });
}

int hako_client_ping(hako_client* client, int64_t* round_trip_us, hako_client_error* error) {
    return hako::client::guarded(error, [client, round_trip_us]() -> Outcome<void> {
        hako_client_answer answer;
        const std::int64_t start_us = hako::now_us();
        TRY(hako::client::call(*client, {.type = FrameType::kPing}, FrameType::kPong, answer));
        if (round_trip_us != nullptr) {
            *round_trip_us = hako::now_us() - start_us;
        }
        return {};
    });
}
