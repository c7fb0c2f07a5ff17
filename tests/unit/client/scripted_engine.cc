#include "tests/unit/client/scripted_engine.h"

#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <sys/socket.h>

namespace hako::client_test {
namespace {

bool read_all(int fd, char* into, std::size_t bytes) {
    while (bytes > 0) {
        const ssize_t got = ::recv(fd, into, bytes, 0);
        if (got <= 0) {
            return false;
        }
        into += got;
        bytes -= static_cast<std::size_t>(got);
    }
    return true;
}

}  // namespace

std::string frame_bytes(
    const wire::FrameHeader& header, std::string_view meta, std::string_view payload
) {
    std::string bytes(sizeof(header), '\0');
    std::memcpy(bytes.data(), &header, sizeof(header));
    bytes.append(meta).append(payload);
    return bytes;
}

std::string result_bytes(const ResultParts& parts) {
    wire::InvokeResultMeta fixed;
    std::memcpy(fixed.request_id, kRequestId.data(), sizeof(fixed.request_id));
    fixed.memory_mib = 128;
    fixed.duration_us = 1234;
    fixed.billed_us = 100000;
    fixed.init_us = 2500;
    fixed.cpu_us = 900;
    fixed.memory_peak_bytes = 7 << 20;
    fixed.version_bytes = static_cast<std::uint16_t>(parts.version.size());
    fixed.error_code_bytes = static_cast<std::uint16_t>(parts.error_code.size());
    fixed.log_bytes = static_cast<std::uint32_t>(parts.log_tail.size());
    std::string meta(sizeof(fixed), '\0');
    std::memcpy(meta.data(), &fixed, sizeof(fixed));
    meta.append(parts.version).append(parts.error_code).append(parts.log_tail);
    return frame_bytes(
        {
            .type = wire::FrameType::kInvokeResult,
            .flags = parts.flags,
            .correlation = parts.correlation,
            .meta_bytes = static_cast<std::uint32_t>(meta.size()),
            .payload_bytes = static_cast<std::uint32_t>(parts.payload.size()),
            .status = parts.status,
        },
        meta,
        parts.payload
    );
}

std::string control_result_bytes(
    std::uint64_t correlation, std::uint32_t status, std::string_view code, std::string_view json
) {
    return frame_bytes(
        {
            .type = wire::FrameType::kControlResult,
            .correlation = correlation,
            .meta_bytes = static_cast<std::uint32_t>(code.size()),
            .payload_bytes = static_cast<std::uint32_t>(json.size()),
            .status = status,
        },
        code,
        json
    );
}

Frame read_frame(int fd) {
    Frame frame;
    std::array<char, wire::kFrameHeaderBytes> bytes{};
    if (!read_all(fd, bytes.data(), bytes.size())) {
        frame.header.magic = 0;
        return frame;
    }
    std::memcpy(&frame.header, bytes.data(), bytes.size());
    frame.meta.resize(frame.header.meta_bytes);
    frame.payload.resize(frame.header.payload_bytes);
    if (!read_all(fd, frame.meta.data(), frame.meta.size()) ||
        !read_all(fd, frame.payload.data(), frame.payload.size())) {
        frame.header.magic = 0;
    }
    return frame;
}

bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0) {
            return false;
        }
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

ScriptedEngine::ScriptedEngine(Script script) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        throw std::runtime_error("socketpair failed");
    }
    client_end_.reset(ends[0]);
    thread_ = std::thread([play = std::move(script), engine_end = UniqueFd(ends[1])]() {
        play(engine_end.get());
    });
}

ScriptedEngine::~ScriptedEngine() {
    join();
}

void ScriptedEngine::join() {
    if (thread_.joinable()) {
        thread_.join();
    }
}

}  // namespace hako::client_test
