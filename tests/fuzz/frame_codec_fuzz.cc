#include "engine/base/ensure.h"
#include "engine/wire/frame.h"
#include "tests/fuzz/fuzz.h"

// The frame codec, both directions: byte 0 says who sent it and as what the meta data is decoded,
// then a header, then meta data. What is accepted must lie in the input and give the same bytes
// when put together again.

namespace {

using namespace hako;
using namespace hako::wire;

template <typename T>
std::string bytes_of_struct(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string encode(const InvokeRequest& request) {
    std::string bytes = bytes_of_struct(InvokeMeta{
        .invocation_type = request.invocation_type,
        .log_type = request.log_type,
        .name_bytes = static_cast<std::uint16_t>(request.name.size()),
        .qualifier_bytes = static_cast<std::uint16_t>(request.qualifier.size()),
        .client_context_bytes = static_cast<std::uint16_t>(request.client_context.size()),
    });
    return bytes.append(request.name).append(request.qualifier).append(request.client_context);
}

std::string encode(const InvokeResult& result) {
    std::string bytes = bytes_of_struct(result.meta);
    return bytes.append(result.version).append(result.error_code).append(result.log_tail);
}

std::string encode(const StreamBegin& begin) {
    return bytes_of_struct(begin.meta).append(begin.version).append(begin.content_type);
}

std::string encode(const ControlRequest& request) {
    std::string bytes = bytes_of_struct(ControlMeta{
        .operation_bytes = static_cast<std::uint16_t>(request.operation.size()),
        .reserved = 0,
        .json_bytes = static_cast<std::uint32_t>(request.json.size()),
    });
    return bytes.append(request.operation).append(request.json);
}

void check_limits(const FrameHeader& header, bool from_client) {
    ENSURE(header.magic == kFrameMagic && header.reserved == 0, "an accepted header is ours");
    ENSURE(header.meta_bytes <= kMetaBytesMax, "meta data is bounded");
    ENSURE(header.payload_bytes <= kControlPayloadBytesMax, "payloads are bounded");
    const auto type = static_cast<std::uint16_t>(header.type);
    ENSURE(type >= 1 && type <= 9, "an accepted type is known");
    ENSURE(!from_client || type == 1 || type == 3 || type == 5, "clients only ask");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    fuzz::Input input(data, bytes);
    const auto choice = input.take<std::uint8_t>();
    const bool from_client = (choice & 1U) != 0;
    const std::string head(input.take_bytes(kFrameHeaderBytes));
    if (head.size() == kFrameHeaderBytes) {
        const FrameHeader header =
            read_header(std::span<const std::byte, kFrameHeaderBytes>(fuzz::bytes_of(head)));
        if (!check_header(header, from_client)) {
            check_limits(header, from_client);
        }
    }
    const std::string_view meta = input.rest();
    if (const auto invoke = decode_invoke(meta)) {
        ENSURE(fuzz::lies_in(invoke->name, meta), "the name is a view into the input");
        ENSURE(!invoke->name.empty() && invoke->name.size() <= kFunctionNameBytesMax, "name bytes");
        ENSURE(encode(*invoke) == meta, "an Invoke goes back to the same bytes");
    }
    if (const auto result = decode_invoke_result(meta)) {
        ENSURE(fuzz::lies_in(result->log_tail, meta), "the log is a view into the input");
        ENSURE(encode(*result) == meta, "an InvokeResult goes back to the same bytes");
    }
    if (const auto begin = decode_stream_begin(meta)) {
        ENSURE(fuzz::lies_in(begin->content_type, meta), "the type is a view into the input");
        ENSURE(encode(*begin) == meta, "a StreamBegin goes back to the same bytes");
    }
    if (const auto control = decode_control(meta)) {
        ENSURE(fuzz::lies_in(control->json, meta), "the JSON is a view into the input");
        ENSURE(encode(*control) == meta, "a Control goes back to the same bytes");
    }
    return 0;
}
