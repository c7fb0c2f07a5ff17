#include "bench/load/connection.h"

#include <cerrno>
#include <cstring>
#include <span>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

namespace hako::bench {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{256} * 1024;
constexpr std::size_t kReadBytesMin = std::size_t{64} * 1024;

template <typename T>
void append_struct(std::string& out, const T& value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

Connection::Connection(UniqueFd fd) : fd_(std::move(fd)), in_(kBufferBytes) {}

Result<Connection> Connection::make(const std::string& path, std::int64_t stall_ms) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) {
        return fail(Errc::kInvalid, "socket path: at most 107 bytes");
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) {
        return fail_errno("socket");
    }
    const timeval stall{.tv_sec = stall_ms / 1000, .tv_usec = stall_ms % 1000 * 1000};
    if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof(stall)) != 0) {
        return fail_errno("setsockopt SO_RCVTIMEO");
    }
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        return fail_errno("connect to the frame socket");
    }
    return Connection(std::move(fd));
}

void Connection::queue(wire::FrameHeader header, std::string_view meta, std::string_view payload) {
    header.meta_bytes = static_cast<std::uint32_t>(meta.size());
    header.payload_bytes = static_cast<std::uint32_t>(payload.size());
    append_struct(out_, header);
    out_.append(meta).append(payload);
}

Result<void> Connection::flush() {
    while (has_output()) {
        const ssize_t sent = send(
            fd_.get(), out_.data() + out_sent_, out_.size() - out_sent_, MSG_DONTWAIT | MSG_NOSIGNAL
        );
        if (sent < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                return {};
            }
            return errno == EPIPE ? fail(Errc::kClosed, "send: the engine closed the connection")
                                  : fail_errno("send");
        }
        out_sent_ += static_cast<std::size_t>(sent);
    }
    out_.clear();
    out_sent_ = 0;
    return {};
}

void Connection::make_room(std::size_t bytes) {
    if (in_begin_ == in_end_) {
        in_begin_ = 0;
        in_end_ = 0;
    }
    if (in_.size() - in_end_ >= bytes) {
        return;
    }
    std::memmove(in_.data(), in_.data() + in_begin_, in_end_ - in_begin_);
    in_end_ -= in_begin_;
    in_begin_ = 0;
    if (in_.size() - in_end_ < bytes) {
        in_.resize(in_end_ + bytes);
    }
}

Result<bool> Connection::receive(Wait wait) {
    make_room(kReadBytesMin);
    const int flags = wait == Wait::kWait ? 0 : MSG_DONTWAIT;
    const ssize_t got = recv(fd_.get(), in_.data() + in_end_, in_.size() - in_end_, flags);
    if (got > 0) {
        in_end_ += static_cast<std::size_t>(got);
        return true;
    }
    if (got == 0) {
        return fail(Errc::kClosed, "recv: the engine closed the connection");
    }
    if (errno == EINTR) {
        return false;
    }
    if (errno != EAGAIN) {
        return errno == ECONNRESET ? fail(Errc::kClosed, "recv: connection reset")
                                   : fail_errno("recv");
    }
    if (wait == Wait::kWait) {
        return fail(Errc::kTimeout, "no answer within --stall-ms");
    }
    return false;
}

Result<std::optional<Answer>> Connection::next() {
    const std::size_t have_bytes = in_end_ - in_begin_;
    if (have_bytes < wire::kFrameHeaderBytes) {
        return std::nullopt;
    }
    const char* start = in_.data() + in_begin_;
    Answer answer;
    std::memcpy(&answer.header, start, sizeof(answer.header));
    if (wire::check_header(answer.header, false)) {
        return fail(Errc::kProtocol, "the answer's frame header is bad");
    }
    const std::size_t frame_bytes = std::size_t{wire::kFrameHeaderBytes} +
                                    answer.header.meta_bytes + answer.header.payload_bytes;
    if (have_bytes < frame_bytes) {
        // Large answers then arrive in few reads, without moving what is already here again.
        if (in_.size() - in_begin_ < frame_bytes) {
            make_room(frame_bytes);
        }
        return std::nullopt;
    }
    answer.meta = {start + wire::kFrameHeaderBytes, answer.header.meta_bytes};
    answer.payload = {answer.meta.data() + answer.meta.size(), answer.header.payload_bytes};
    in_begin_ += frame_bytes;
    return answer;
}

std::string invoke_meta(std::string_view function) {
    wire::InvokeMeta fixed;
    fixed.name_bytes = static_cast<std::uint16_t>(function.size());
    std::string out;
    append_struct(out, fixed);
    return out.append(function);
}

std::string control_meta(std::string_view operation, std::string_view json) {
    wire::ControlMeta fixed;
    fixed.operation_bytes = static_cast<std::uint16_t>(operation.size());
    fixed.json_bytes = static_cast<std::uint32_t>(json.size());
    std::string out;
    append_struct(out, fixed);
    return out.append(operation).append(json);
}

}  // namespace hako::bench
