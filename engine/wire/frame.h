#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

// The frame protocol of the engine's Unix socket (docs/frame-protocol.md). Every frame: a 32-byte
// little-endian header, then `meta_bytes` of meta data whose form depends on the type, then
// `payload_bytes` of payload. Requests may be pipelined; answers carry the request's correlation
// number and come in any order.
namespace hako::wire {

static_assert(std::endian::native == std::endian::little, "the codec copies structs as they are");

inline constexpr std::uint32_t kFrameMagic =
    0x314f4b48;  // "HKO1": the last character is the protocol version
inline constexpr std::uint32_t kFrameHeaderBytes = 32;
inline constexpr std::uint32_t kMetaBytesMax = 65536;
inline constexpr std::uint32_t kInvokePayloadBytesMax = 6291456;    // Lambda's 6 MB
inline constexpr std::uint32_t kControlPayloadBytesMax = 52428800;  // Lambda's 50 MB zip
inline constexpr std::uint32_t kFunctionNameBytesMax = 256;
inline constexpr std::uint32_t kOperationBytesMax = 64;
inline constexpr std::uint32_t kClientContextBytesMax = 3583;

enum class FrameType : std::uint16_t {
    kPing = 1,
    kPong = 2,
    kInvoke = 3,
    kInvokeResult = 4,
    kControl = 5,
    kControlResult = 6,
    kError = 7,        // the connection is unusable and is closed after it; payload: JSON error
    kStreamBegin = 8,  // a streamed answer begins
    kStreamPart = 9,   // payload: its next bytes
};

struct FrameHeader {
    std::uint32_t magic = kFrameMagic;
    FrameType type = FrameType::kPing;
    std::uint16_t flags = 0;
    std::uint64_t correlation = 0;
    std::uint32_t meta_bytes = 0;
    std::uint32_t payload_bytes = 0;
    std::uint32_t status = 0;  // answers: the HTTP status Lambda would give; requests: 0
    std::uint32_t reserved = 0;
};
static_assert(sizeof(FrameHeader) == kFrameHeaderBytes);

/// InvokeResult flag: the function failed (status stays 200, as in Lambda); the payload is the
/// error JSON.
inline constexpr std::uint16_t kFlagFunctionError = 1U << 0U;
/// Invoke: the caller takes a streamed answer. InvokeResult: the answer was streamed, in the frames
/// before this one; the payload is empty, or the error JSON of what went wrong in the middle.
inline constexpr std::uint16_t kFlagStream = 1U << 1U;

enum class InvocationType : std::uint8_t { kRequestResponse = 0, kEvent = 1, kDryRun = 2 };
enum class LogType : std::uint8_t { kNone = 0, kTail = 1 };

/// Start of an Invoke frame's meta data; behind it, in this order: name, qualifier, client context
/// (JSON, decoded).
struct InvokeMeta {
    InvocationType invocation_type = InvocationType::kRequestResponse;
    LogType log_type = LogType::kNone;
    std::uint16_t name_bytes = 0;
    std::uint16_t qualifier_bytes = 0;
    std::uint16_t client_context_bytes = 0;
};
static_assert(sizeof(InvokeMeta) == 8);

/// Start of an InvokeResult's meta data; behind it: version, error code, log tail.
/// The error code is an API error (`ResourceNotFoundException`) if status >= 400, `Unhandled` if
/// kFlagFunctionError is set.
struct InvokeResultMeta {
    char request_id[36] = {};
    std::uint32_t memory_mib = 0;
    std::uint64_t duration_us = 0;
    std::uint64_t billed_us = 0;
    std::uint64_t init_us = 0;  // 0 on a warm start
    std::uint64_t cpu_us = 0;
    std::uint64_t memory_peak_bytes = 0;
    std::uint16_t version_bytes = 0;
    std::uint16_t error_code_bytes = 0;
    std::uint32_t log_bytes = 0;
};
static_assert(sizeof(InvokeResultMeta) == 88);

/// Start of a StreamBegin's meta data; behind it: version, content type.
struct StreamBeginMeta {
    char request_id[36] = {};
    std::uint16_t version_bytes = 0;
    std::uint16_t type_bytes = 0;
};
static_assert(sizeof(StreamBeginMeta) == 40);
// StreamPart: no meta data, the payload is the part.

/// Start of a Control frame's meta data; behind it: operation name (`CreateFunction`), request
/// JSON. The payload is the code package, if any.
struct ControlMeta {
    std::uint16_t operation_bytes = 0;
    std::uint16_t reserved = 0;
    std::uint32_t json_bytes = 0;
};
static_assert(sizeof(ControlMeta) == 8);
// ControlResult: meta data is the API error code (empty if status < 400), payload is the answer or
// error JSON.

/// The decoded parts of an Invoke frame; views into the caller's buffer.
struct InvokeRequest {
    InvocationType invocation_type = InvocationType::kRequestResponse;
    LogType log_type = LogType::kNone;
    std::string_view name;
    std::string_view qualifier;
    std::string_view client_context;
};

struct InvokeResult {
    InvokeResultMeta meta;
    std::string_view version;
    std::string_view error_code;
    std::string_view log_tail;
};

struct StreamBegin {
    StreamBeginMeta meta;
    std::string_view version;
    std::string_view content_type;
};

struct ControlRequest {
    std::string_view operation;
    std::string_view json;
};

/// Why a header was refused; the text names the field and the limit.
struct FrameFault {
    std::string_view text;
};

/// Checks magic, type, reserved and lengths of a header that a client (`from_client`) or the engine
/// sent.
[[nodiscard]] std::optional<FrameFault> check_header(
    const FrameHeader& header, bool from_client
) noexcept;

/// Decoders: nothing if the lengths inside do not add up to exactly `meta` or a value is out of
/// range.
[[nodiscard]] std::optional<InvokeRequest> decode_invoke(std::string_view meta) noexcept;
[[nodiscard]] std::optional<InvokeResult> decode_invoke_result(std::string_view meta) noexcept;
[[nodiscard]] std::optional<StreamBegin> decode_stream_begin(std::string_view meta) noexcept;
[[nodiscard]] std::optional<ControlRequest> decode_control(std::string_view meta) noexcept;

/// Reads a header from exactly kFrameHeaderBytes bytes.
[[nodiscard]] FrameHeader read_header(std::span<const std::byte, kFrameHeaderBytes> bytes) noexcept;

}  // namespace hako::wire
