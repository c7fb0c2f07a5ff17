#include "engine/gateway/lambda/event_stream.h"

#include <array>
#include <cstdint>

#include <zlib.h>

#include "engine/base/ensure.h"

namespace hako::gateway::lambda {
namespace {

constexpr std::size_t kPreludeBytes = 8;  // both lengths; the sum over them comes behind
constexpr std::size_t kSumBytes = 4;
constexpr std::size_t kPayloadBytesMax = 16 * 1024 * 1024;
constexpr char kStringType = 7;

void append_number(std::string& out, std::uint32_t value) {
    for (const unsigned shift : {24U, 16U, 8U, 0U}) {
        out.push_back(static_cast<char>(value >> shift & 0xffU));
    }
}

/// The CRC-32 of everything in `out` from `begin` on.
void append_sum(std::string& out, std::size_t begin) {
    const auto* bytes = reinterpret_cast<const Bytef*>(out.data() + begin);
    append_number(out, static_cast<std::uint32_t>(::crc32_z(0, bytes, out.size() - begin)));
}

struct Header {
    std::string_view name;
    std::string_view value;

    [[nodiscard]] std::size_t bytes() const { return 1 + name.size() + 1 + 2 + value.size(); }
};

void append_header(std::string& out, const Header& header) {
    out.push_back(static_cast<char>(header.name.size()));
    out.append(header.name);
    out.push_back(kStringType);
    out.push_back(0);  // the upper half of the length
    out.push_back(static_cast<char>(header.value.size()));
    out.append(header.value);
}

}  // namespace

void append_event(std::string& out, const EventHead& head, std::string_view payload) {
    const std::array headers = {
        Header{.name = ":event-type", .value = head.event_type},
        Header{.name = ":content-type", .value = head.content_type},
        Header{.name = ":message-type", .value = "event"},
    };
    std::size_t headers_bytes = 0;
    for (const Header& header : headers) {
        ENSURE(header.value.size() <= UINT8_MAX, "a header's value is short");
        headers_bytes += header.bytes();
    }
    ENSURE(payload.size() <= kPayloadBytesMax, "clients take messages up to 16 MiB");
    const std::size_t begin = out.size();
    const std::size_t total_bytes =
        kPreludeBytes + kSumBytes + headers_bytes + payload.size() + kSumBytes;
    out.reserve(begin + total_bytes);
    append_number(out, static_cast<std::uint32_t>(total_bytes));
    append_number(out, static_cast<std::uint32_t>(headers_bytes));
    append_sum(out, begin);
    for (const Header& header : headers) {
        append_header(out, header);
    }
    out.append(payload);
    append_sum(out, begin);
}

}  // namespace hako::gateway::lambda
