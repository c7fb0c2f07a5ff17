#include "engine/wire/frame.h"

#include <cstring>

namespace hako::wire {
namespace {

template <typename T>
bool take_struct(std::string_view& rest, T& out) noexcept {
    if (rest.size() < sizeof(T)) {
        return false;
    }
    std::memcpy(&out, rest.data(), sizeof(T));
    rest.remove_prefix(sizeof(T));
    return true;
}

bool take_text(std::string_view& rest, std::size_t bytes, std::string_view& out) noexcept {
    if (rest.size() < bytes) {
        return false;
    }
    out = rest.substr(0, bytes);
    rest.remove_prefix(bytes);
    return true;
}

std::optional<FrameFault> check_from_client(const FrameHeader& header) noexcept {
    switch (header.type) {
        case FrameType::kPing:
            if (header.meta_bytes != 0 || header.payload_bytes != 0) {
                return FrameFault{"Ping: meta_bytes and payload_bytes must be 0"};
            }
            return std::nullopt;
        case FrameType::kInvoke:
        case FrameType::kControl:
            return std::nullopt;
        default:
            return FrameFault{"type: a client may send Ping (1), Invoke (3) or Control (5)"};
    }
}

}  // namespace

FrameHeader read_header(std::span<const std::byte, kFrameHeaderBytes> bytes) noexcept {
    FrameHeader header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    return header;
}

std::optional<FrameFault> check_header(const FrameHeader& header, bool from_client) noexcept {
    if (header.magic != kFrameMagic) {
        return FrameFault{"magic: expected \"HKO1\" (frame protocol version 1)"};
    }
    if (header.reserved != 0) {
        return FrameFault{"reserved: must be 0"};
    }
    if (header.meta_bytes > kMetaBytesMax) {
        return FrameFault{"meta_bytes: at most 65536"};
    }
    if (header.payload_bytes > kControlPayloadBytesMax) {
        return FrameFault{"payload_bytes: at most 52428800"};
    }
    if (from_client) {
        return check_from_client(header);
    }
    if (header.type < FrameType::kPing || header.type > FrameType::kStreamPart) {
        return FrameFault{"type: unknown"};
    }
    return std::nullopt;
}

std::optional<InvokeRequest> decode_invoke(std::string_view meta) noexcept {
    InvokeMeta fixed;
    InvokeRequest out;
    if (!take_struct(meta, fixed) || !take_text(meta, fixed.name_bytes, out.name) ||
        !take_text(meta, fixed.qualifier_bytes, out.qualifier) ||
        !take_text(meta, fixed.client_context_bytes, out.client_context) || !meta.empty()) {
        return std::nullopt;
    }
    if (fixed.invocation_type > InvocationType::kDryRun || fixed.log_type > LogType::kTail ||
        out.name.empty() || out.name.size() > kFunctionNameBytesMax ||
        out.client_context.size() > kClientContextBytesMax) {
        return std::nullopt;
    }
    out.invocation_type = fixed.invocation_type;
    out.log_type = fixed.log_type;
    return out;
}

std::optional<InvokeResult> decode_invoke_result(std::string_view meta) noexcept {
    InvokeResult out;
    if (!take_struct(meta, out.meta) || !take_text(meta, out.meta.version_bytes, out.version) ||
        !take_text(meta, out.meta.error_code_bytes, out.error_code) ||
        !take_text(meta, out.meta.log_bytes, out.log_tail) || !meta.empty()) {
        return std::nullopt;
    }
    return out;
}

std::optional<StreamBegin> decode_stream_begin(std::string_view meta) noexcept {
    StreamBegin out;
    if (!take_struct(meta, out.meta) || !take_text(meta, out.meta.version_bytes, out.version) ||
        !take_text(meta, out.meta.type_bytes, out.content_type) || !meta.empty()) {
        return std::nullopt;
    }
    return out;
}

std::optional<ControlRequest> decode_control(std::string_view meta) noexcept {
    ControlMeta fixed;
    ControlRequest out;
    if (!take_struct(meta, fixed) || fixed.reserved != 0 ||
        !take_text(meta, fixed.operation_bytes, out.operation) ||
        !take_text(meta, fixed.json_bytes, out.json) || !meta.empty() || out.operation.empty() ||
        out.operation.size() > kOperationBytesMax) {
        return std::nullopt;
    }
    return out;
}

}  // namespace hako::wire
