#include "engine/gateway/frame/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include <poll.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "engine/instance/failure_text.h"

namespace hako::gateway {
namespace {

constexpr std::size_t kBlockBytes = 64 * 1024;
// What a connection keeps for its next answers when it has nothing to send.
constexpr std::size_t kSendKeepBytes = 64 * 1024;
// Unread bytes of a connection from which on its streams wait: two parts go out while the next two
// are made.
constexpr std::size_t kStreamPendingBytes = 128 * 1024;

std::string_view view(const std::byte* data, std::size_t bytes) {
    return {reinterpret_cast<const char*>(data), bytes};
}

}  // namespace

FrameConnection::FrameConnection(FrameServer& server, UniqueFd socket)
    : server_(server), socket_(std::move(socket)), block_(BlockRef::make(kBlockBytes)) {}

void FrameConnection::identify() {
    const auth::Access* access = server_.services_.access;
    if (access == nullptr) {
        return;
    }
    ucred peer{};
    socklen_t bytes = sizeof(peer);
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) {
        caller_.kind = http::Caller::Kind::kAnonymous;  // cannot fail on a Unix socket
        return;
    }
    caller_ = access->local_caller(peer.uid, peer.gid);
}

Result<void> FrameConnection::start() {
    identify();
    fiber::Scheduler& scheduler = server_.services_.loop.scheduler();
    TRY_ASSIGN(writer_, scheduler.spawn("frame-writer", [this] { write_loop(); }));
    ++fibers_count_;
    const Result<fiber::FiberId> reader = scheduler.spawn("frame-reader", [this] { read_loop(); });
    watch_for_leaving();
    if (!reader) {
        finished_ = true;  // the writer sees it and takes the connection down
        return {};
    }
    reader_ = *reader;
    ++fibers_count_;
    return {};
}

// ---- reading ----

bool FrameConnection::may_read() const noexcept {
    return calls_count_ < server_.limits_.frames_in_flight_max &&
           pending_.size_bytes() < server_.limits_.unread_answer_bytes_max / 2;
}

void FrameConnection::read_loop() {
    fiber::Scheduler& scheduler = server_.services_.loop.scheduler();
    while (take_frames()) {
        // The requests just begun run first: mostly they are done with the block before the next
        // bytes need it.
        scheduler.yield();
        if (!await_room()) {
            break;
        }
        if (end_bytes_ - begin_bytes_ < next_frame_bytes() && !read_more()) {
            break;
        }
    }
    finished_ = true;
    scheduler.unpark(writer_);
    fiber_done();
}

bool FrameConnection::await_room() {
    fiber::Scheduler& scheduler = server_.services_.loop.scheduler();
    while (!may_read() && !closed_ && !scheduler.is_cancelled()) {
        reader_waits_ = true;
        (void)scheduler.park();  // wake_reader, close or stop_reading ends it
        reader_waits_ = false;
    }
    return !closed_ && !scheduler.is_cancelled();
}

// A client that has only shut its sending side still waits for answers; one that has closed wants
// none: nothing of its invocations may run on for nobody. Watched apart from reading, which stops
// at the limits.
void FrameConnection::watch_for_leaving() {
    leaving_.owner = this;
    leaving_.on_events = [](ring::Watch& watch, std::uint32_t events) {
        if ((events & (POLLHUP | POLLERR)) != 0) {
            static_cast<FrameConnection*>(watch.owner)->end_calls();
        }
    };
    leaving_.on_closed = [](ring::Watch& watch, std::uint32_t) {
        auto& self = *static_cast<FrameConnection*>(watch.owner);
        self.leaving_watched_ = false;
        self.forget_if_done();
    };
    server_.services_.loop.watch(leaving_, socket_.get(), POLLHUP);
    leaving_watched_ = true;
}

void FrameConnection::end_calls() {
    gone_ = true;
    for (FrameCall* call = calls_; call != nullptr; call = call->next) {
        server_.services_.loop.scheduler().cancel(call->fiber);
    }
}

void FrameConnection::make_room(std::size_t wanted_bytes) {
    const std::size_t held_bytes = end_bytes_ - begin_bytes_;
    if (held_bytes == 0 && block_->capacity_bytes() > kBlockBytes) {
        block_ = BlockRef::make(kBlockBytes);  // an idle connection keeps no large one
        begin_bytes_ = end_bytes_ = 0;
    }
    if (block_.is_sole() && held_bytes == 0) {
        begin_bytes_ = end_bytes_ = 0;
    }
    const bool fits_behind = block_->capacity_bytes() - begin_bytes_ >= wanted_bytes;
    if (block_.is_sole() && (fits_behind || block_->capacity_bytes() >= wanted_bytes)) {
        if (!fits_behind || end_bytes_ == block_->capacity_bytes()) {
            std::memmove(block_->data(), block_->data() + begin_bytes_, held_bytes);
            begin_bytes_ = 0;
            end_bytes_ = held_bytes;
        }
        return;
    }
    BlockRef larger = BlockRef::make(std::max(wanted_bytes, kBlockBytes));
    std::memcpy(larger->data(), block_->data() + begin_bytes_, held_bytes);
    block_ = std::move(larger);
    begin_bytes_ = 0;
    end_bytes_ = held_bytes;
}

std::size_t FrameConnection::next_frame_bytes() {
    if (end_bytes_ - begin_bytes_ < wire::kFrameHeaderBytes) {
        return wire::kFrameHeaderBytes;
    }
    const wire::FrameHeader header =
        wire::read_header(std::span<const std::byte, wire::kFrameHeaderBytes>(
            block_->data() + begin_bytes_, wire::kFrameHeaderBytes
        ));
    return std::size_t{wire::kFrameHeaderBytes} + header.meta_bytes + header.payload_bytes;
}

Result<void> FrameConnection::read_more() {
    std::int64_t deadline_us = kNever;
    if (end_bytes_ > begin_bytes_) {
        partial_since_us_ = partial_since_us_ == 0 ? now_us() : partial_since_us_;
        deadline_us = partial_since_us_ + server_.limits_.partial_frame_us;
    }
    make_room(next_frame_bytes());
    TRY_ASSIGN(
        const std::uint32_t got_bytes,
        server_.services_.loop.recv(
            socket_.get(),
            {block_->data() + end_bytes_, block_->capacity_bytes() - end_bytes_},
            deadline_us
        )
    );
    if (got_bytes == 0) {
        return fail(Errc::kClosed, "the client has closed");
    }
    end_bytes_ += got_bytes;
    return {};
}

bool FrameConnection::take_frames() {
    while (end_bytes_ - begin_bytes_ >= wire::kFrameHeaderBytes && may_read()) {
        const std::byte* frame = block_->data() + begin_bytes_;
        const wire::FrameHeader header = wire::read_header(
            std::span<const std::byte, wire::kFrameHeaderBytes>(frame, wire::kFrameHeaderBytes)
        );
        if (const auto fault = wire::check_header(header, true)) {
            refuse(header.magic == wire::kFrameMagic ? header.correlation : 0, fault->text);
            return false;
        }
        const std::size_t frame_bytes =
            std::size_t{wire::kFrameHeaderBytes} + header.meta_bytes + header.payload_bytes;
        if (end_bytes_ - begin_bytes_ < frame_bytes) {
            return true;
        }
        const std::byte* meta = frame + wire::kFrameHeaderBytes;
        if (!begin_frame(
                header,
                view(meta, header.meta_bytes),
                view(meta + header.meta_bytes, header.payload_bytes)
            )) {
            return false;
        }
        begin_bytes_ += frame_bytes;
        partial_since_us_ = 0;
    }
    return true;
}

bool FrameConnection::begin_frame(
    const wire::FrameHeader& header, std::string_view meta, std::string_view payload
) {
    if (header.type == wire::FrameType::kPing) {
        answer(
            {.type = wire::FrameType::kPong, .correlation = header.correlation, .status = 200},
            {},
            {}
        );
        return true;
    }
    return begin_call(header, meta, payload);
}

bool FrameConnection::begin_call(
    const wire::FrameHeader& header, std::string_view meta, std::string_view payload
) {
    const bool is_invoke = header.type == wire::FrameType::kInvoke;
    if (is_invoke && gone_) {
        return true;  // nobody would take its answer
    }
    if (server_.in_flight_count() >= server_.limits_.requests_max) {
        FrameCall refused;
        refused.connection = this;
        refused.header = header;
        refused.refuse();
        return true;
    }
    FrameCall* call = server_.take_call();
    call->server = &server_;
    call->connection = this;
    call->block = block_;
    call->header = header;
    call->meta = meta;
    call->payload = payload;
    const Result<fiber::FiberId> spawned = server_.services_.loop.scheduler().spawn(
        is_invoke ? "invoke" : "control", [call] { call->run(); }
    );
    if (!spawned) {
        call->block.reset();
        server_.give_back(call);
        refuse(header.correlation, "the engine runs as many requests as it can");
        return false;
    }
    ++calls_count_;
    if (is_invoke) {
        call->fiber = *spawned;
        call_begun(*call);
    }
    return true;
}

void FrameConnection::refuse(std::uint64_t correlation, std::string_view text) {
    const std::string body =
        fmt::format(R"({{"Type":"User","message":{}}})", instance::json_quoted(text));
    answer({.type = wire::FrameType::kError, .correlation = correlation, .status = 400}, {}, body);
}

// ---- answering ----

void FrameConnection::answer(
    const wire::FrameHeader& header,
    std::initializer_list<std::string_view> meta,
    std::string_view payload
) {
    if (closed_) {
        return;  // the client has gone: what was done stands in the ledger
    }
    std::size_t meta_bytes = 0;
    for (const std::string_view part : meta) {
        meta_bytes += part.size();
    }
    if (pending_.size_bytes() + payload.size() > server_.limits_.unread_answer_bytes_max) {
        close();  // it asks and does not read
        return;
    }
    wire::FrameHeader sent = header;
    sent.meta_bytes = static_cast<std::uint32_t>(meta_bytes);
    sent.payload_bytes = static_cast<std::uint32_t>(payload.size());
    pending_.append(&sent, sizeof(sent));
    for (const std::string_view part : meta) {
        pending_.append(part);
    }
    pending_.append(payload);
    server_.services_.loop.scheduler().unpark(writer_);
}

void FrameConnection::write_loop() {
    fiber::Scheduler& scheduler = server_.services_.loop.scheduler();
    while (!closed_) {
        if (pending_.empty()) {
            if (finished_ && calls_count_ == 0) {
                break;
            }
            if (scheduler.park() == fiber::Wake::kCancelled) {
                break;
            }
            continue;
        }
        sending_.shrink(kSendKeepBytes);
        sending_.swap(pending_);
        if (!send_answers()) {
            break;
        }
        wake_reader();
        wake_streams();
    }
    close();
    fiber_done();
}

Result<void> FrameConnection::await_stream_room() {
    fiber::Scheduler& scheduler = server_.services_.loop.scheduler();
    while (pending_.size_bytes() >= kStreamPendingBytes && !closed_ && !gone_) {
        ++streams_waiting_count_;
        const fiber::Wake woken = scheduler.park();  // wake_streams, or end_calls
        --streams_waiting_count_;
        if (woken == fiber::Wake::kCancelled) {
            return fail(Errc::kCancelled, "a streamed answer was given up");
        }
    }
    return closed_ || gone_ ? fail(Errc::kClosed, "the client has gone") : Result<void>{};
}

void FrameConnection::wake_streams() {
    for (FrameCall* call = streams_waiting_count_ > 0 ? calls_ : nullptr; call != nullptr;
         call = call->next) {
        if (call->wants_stream()) {
            server_.services_.loop.scheduler().unpark(call->fiber);
        }
    }
}

Result<void> FrameConnection::send_answers() {
    std::span<const std::byte> rest = sending_.bytes();
    // Mostly the socket has room. A send through the ring would complete inside the next
    // io_uring_enter and end its wait at once: one more turn of the loop for nothing.
    const ssize_t sent_bytes =
        ::send(socket_.get(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent_bytes < 0 && errno != EAGAIN) {
        return fail_errno("send to a client");
    }
    rest = rest.subspan(sent_bytes > 0 ? static_cast<std::size_t>(sent_bytes) : 0);
    if (rest.empty()) {
        return {};
    }
    return server_.services_.loop.send_all(
        socket_.get(), rest, now_us() + server_.limits_.send_stall_us
    );
}

void FrameConnection::stop_reading() {
    server_.services_.loop.scheduler().cancel(reader_);
}

void FrameConnection::close() {
    if (closed_) {
        return;
    }
    closed_ = true;
    end_calls();
    server_.services_.loop.unwatch(leaving_);
    // Ends the reader's and the writer's waits; the descriptor itself stays until both are done
    // with it.
    (void)::shutdown(socket_.get(), SHUT_RDWR);  // fails if the client was first
    fiber::Scheduler& scheduler = server_.services_.loop.scheduler();
    scheduler.unpark(reader_);
    scheduler.unpark(writer_);
}

void FrameConnection::call_begun(FrameCall& call) {
    call.previous = nullptr;
    call.next = calls_;
    if (calls_ != nullptr) {
        calls_->previous = &call;
    }
    calls_ = &call;
}

void FrameConnection::call_done(FrameCall& call) {
    ENSURE(calls_count_ > 0, "a request ends once");
    if (call.header.type == wire::FrameType::kInvoke) {
        (call.previous != nullptr ? call.previous->next : calls_) = call.next;
        if (call.next != nullptr) {
            call.next->previous = call.previous;
        }
    }
    --calls_count_;
    if (finished_) {
        server_.services_.loop.scheduler().unpark(writer_);
    }
    wake_reader();
    forget_if_done();
}

void FrameConnection::wake_reader() {
    if (reader_waits_ && may_read()) {
        server_.services_.loop.scheduler().unpark(reader_);
    }
}

void FrameConnection::fiber_done() {
    --fibers_count_;
    forget_if_done();
}

void FrameConnection::forget_if_done() {
    if (fibers_count_ == 0 && calls_count_ == 0 && !leaving_watched_) {
        server_.forget(*this);
    }
}

// ---- one request ----

void FrameCall::run() {
    if (header.type == wire::FrameType::kInvoke) {
        run_invoke();
    } else {
        run_control();
    }
    block.reset();
    connection->call_done(*this);
    server->give_back(this);
}

void FrameCall::run_invoke() {
    const auto request = wire::decode_invoke(meta);
    if (!request) {
        const registry::ApiError error = registry::invalid_parameter(
            "Invoke meta data: lengths of name (1 to 256 bytes), qualifier and client context (at "
            "most 3583 bytes) must add up, invocation_type is 0 to 2, log_type 0 or 1"
        );
        reply_error(error);
        return;
    }
    if (auth::Access* access = server->services_.access; access != nullptr) {
        const http::Caller& caller = connection->caller();
        if (const auto refusal = access->permit_invoke(caller, request->name, request->qualifier)) {
            reply_error(*refusal);
            return;
        }
    }
    server->services_.invoker.invoke(
        {
            .function_name = request->name,
            .qualifier = request->qualifier,
            .payload = payload,
            .client_context = request->client_context,
            .invocation_type = request->invocation_type,
            .log_type = request->log_type,
        },
        *this
    );
}

void FrameCall::reply_error(const registry::ApiError& error) {
    const std::string body = error.to_json();
    instance::InvokeReply bad;
    bad.status = static_cast<std::uint32_t>(error.status);
    bad.error_code = error.code;
    bad.payload = body;
    reply(bad);
}

void FrameCall::refuse() {
    constexpr std::string_view kCode = "TooManyRequestsException";
    constexpr std::string_view kBody =
        R"({"Reason":"ConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."})";
    if (header.type == wire::FrameType::kInvoke) {
        instance::InvokeReply refused;
        refused.status = 429;
        refused.error_code = kCode;
        refused.payload = kBody;
        reply(refused);
        return;
    }
    connection->answer(
        {.type = wire::FrameType::kControlResult, .correlation = header.correlation, .status = 429},
        {kCode},
        kBody
    );
}

void FrameCall::payload_taken() {
    // The name and the qualifier in the block have been looked up; what is needed later has been
    // copied.
    block.reset();
}

void FrameCall::reply(const instance::InvokeReply& reply) {
    wire::InvokeResultMeta fixed = reply.numbers;
    fixed.version_bytes = static_cast<std::uint16_t>(reply.version.size());
    fixed.error_code_bytes = static_cast<std::uint16_t>(reply.error_code.size());
    fixed.log_bytes = static_cast<std::uint32_t>(reply.log_tail.size());
    connection->answer(
        {
            .type = wire::FrameType::kInvokeResult,
            .flags = static_cast<std::uint16_t>(
                (reply.function_error ? wire::kFlagFunctionError : 0) |
                (reply.streamed ? wire::kFlagStream : 0)
            ),
            .correlation = header.correlation,
            .status = reply.status,
        },
        {view(reinterpret_cast<const std::byte*>(&fixed), sizeof(fixed)),
         reply.version,
         reply.error_code,
         reply.log_tail},
        reply.payload
    );
}

Result<void> FrameCall::on_begin(const instance::StreamHead& head) {
    wire::StreamBeginMeta fixed;
    std::ranges::copy(head.request_id, fixed.request_id);
    fixed.version_bytes = static_cast<std::uint16_t>(head.version.size());
    fixed.type_bytes = static_cast<std::uint16_t>(head.content_type.size());
    connection->answer(
        {.type = wire::FrameType::kStreamBegin, .correlation = header.correlation, .status = 200},
        {view(reinterpret_cast<const std::byte*>(&fixed), sizeof(fixed)),
         head.version,
         head.content_type},
        {}
    );
    return {};
}

Result<void> FrameCall::on_part(std::string_view part) {
    TRY(connection->await_stream_room());
    connection->answer(
        {.type = wire::FrameType::kStreamPart, .correlation = header.correlation, .status = 200},
        {},
        part
    );
    return {};
}

registry::ControlAnswer FrameCall::control(const wire::ControlRequest& request) {
    const FrameServices& services = server->services_;
    if (services.access != nullptr) {
        const auto refusal =
            services.access->permit(connection->caller(), auth::action_of(request.operation), "*");
        if (refusal) {
            return {
                .status = refusal->status, .error_code = refusal->code, .json = refusal->to_json()
            };
        }
    }
    if (request.operation == "GetEngineStatus") {
        return {.status = 200, .error_code = {}, .json = services.engine_status_json()};
    }
    if (services.keys != nullptr && auth::KeyOperations::knows(request.operation)) {
        return services.keys->handle(connection->caller(), request.operation, request.json);
    }
    return services.control.handle(
        request.operation, request.json, std::as_bytes(std::span(payload.data(), payload.size()))
    );
}

void FrameCall::run_control() {
    const auto request = wire::decode_control(meta);
    registry::ControlAnswer done;
    if (!request) {
        const registry::ApiError error = registry::invalid_parameter(
            "Control meta data: lengths of operation (1 to 64 bytes) and JSON must add up"
        );
        done = {.status = error.status, .error_code = error.code, .json = error.to_json()};
    } else {
        done = control(*request);
    }
    connection->answer(
        {
            .type = wire::FrameType::kControlResult,
            .correlation = header.correlation,
            .status = static_cast<std::uint32_t>(done.status),
        },
        {done.error_code},
        done.json
    );
}

}  // namespace hako::gateway
