#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "engine/wire/frame.h"

// The examples of docs/frame-protocol.md, read by the codec that the engine uses. HAKO_SOURCE_ROOT
// comes from the build.
namespace hako::wire {
namespace {

std::string unhex(std::string_view text) {
    std::istringstream words{std::string(text)};
    std::string bytes;
    std::string word;
    while (words >> word) {
        bytes.push_back(static_cast<char>(std::stoi(word, nullptr, 16)));
    }
    return bytes;
}

/// Every ```hex NAME block of the document.
std::map<std::string, std::string> examples() {
    std::ifstream file(HAKO_SOURCE_ROOT "/docs/frame-protocol.md");
    std::map<std::string, std::string> found;
    std::string line;
    std::string name;
    while (std::getline(file, line)) {
        if (line.starts_with("```hex ")) {
            name = line.substr(7);
        } else if (line.starts_with("```")) {
            name.clear();
        } else if (!name.empty()) {
            found[name] += unhex(line);
        }
    }
    return found;
}

struct Parts {
    FrameHeader header;
    std::string meta;
    std::string payload;
};

class ProtocolDocument : public testing::Test {
protected:
    static Parts parts(const std::string& name) {
        const std::string bytes = examples()[name];
        Parts out;
        if (bytes.size() < kFrameHeaderBytes) {
            ADD_FAILURE() << "no example " << name;
            return out;
        }
        out.header =
            read_header(std::as_bytes(std::span<const char, kFrameHeaderBytes>(bytes.data(), 32)));
        EXPECT_EQ(32 + out.header.meta_bytes + out.header.payload_bytes, bytes.size()) << name;
        if (32 + out.header.meta_bytes + out.header.payload_bytes == bytes.size()) {
            out.meta = bytes.substr(32, out.header.meta_bytes);
            out.payload = bytes.substr(32 + out.header.meta_bytes);
        }
        return out;
    }
};

TEST_F(ProtocolDocument, PingAndPong) {
    const Parts ping = parts("ping");
    EXPECT_FALSE(check_header(ping.header, true).has_value());
    EXPECT_EQ(ping.header.type, FrameType::kPing);
    const Parts pong = parts("pong");
    EXPECT_FALSE(check_header(pong.header, false).has_value());
    EXPECT_EQ(pong.header.type, FrameType::kPong);
    EXPECT_EQ(pong.header.correlation, ping.header.correlation);
    EXPECT_EQ(pong.header.status, 200U);
}

TEST_F(ProtocolDocument, Invoke) {
    const Parts invoke = parts("invoke");
    EXPECT_FALSE(check_header(invoke.header, true).has_value());
    const auto decoded = decode_invoke(invoke.meta);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(invoke.header.correlation, 2U);
    EXPECT_EQ(decoded->name, "echo");
    EXPECT_EQ(decoded->qualifier, "");
    EXPECT_EQ(decoded->log_type, LogType::kTail);
    EXPECT_EQ(invoke.payload, "{\"a\":1}");
}

TEST_F(ProtocolDocument, InvokeResult) {
    const Parts result = parts("invoke-result");
    EXPECT_FALSE(check_header(result.header, false).has_value());
    const auto decoded = decode_invoke_result(result.meta);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(
        std::string_view(decoded->meta.request_id, 36), "6bc28136-abcd-4365-b021-0ce6b2e64ab0"
    );
    EXPECT_EQ(decoded->meta.memory_mib, 128U);
    EXPECT_EQ(decoded->meta.duration_us, 1234U);
    EXPECT_EQ(decoded->meta.billed_us, 100000U);
    EXPECT_EQ(decoded->meta.init_us, 0U);
    EXPECT_EQ(decoded->meta.cpu_us, 900U);
    EXPECT_EQ(decoded->meta.memory_peak_bytes, 7U << 20U);
    EXPECT_EQ(decoded->version, "$LATEST");
    EXPECT_EQ(decoded->error_code, "");
    EXPECT_EQ(decoded->log_tail, "ok\n");
    EXPECT_EQ(result.header.status, 200U);
    EXPECT_EQ(result.payload, "{\"a\":1}");
}

TEST_F(ProtocolDocument, StreamedAnswer) {
    const Parts invoke = parts("invoke-stream");
    EXPECT_FALSE(check_header(invoke.header, true).has_value());
    EXPECT_EQ(invoke.header.flags, kFlagStream);
    EXPECT_TRUE(decode_invoke(invoke.meta).has_value());
    const Parts begin = parts("stream-begin");
    EXPECT_FALSE(check_header(begin.header, false).has_value());
    EXPECT_EQ(begin.header.type, FrameType::kStreamBegin);
    const auto decoded = decode_stream_begin(begin.meta);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(
        std::string_view(decoded->meta.request_id, 36), "6bc28136-abcd-4365-b021-0ce6b2e64ab0"
    );
    EXPECT_EQ(decoded->version, "$LATEST");
    EXPECT_EQ(decoded->content_type, "text/plain");
    EXPECT_FALSE(decode_stream_begin(begin.meta + "x").has_value());
    EXPECT_FALSE(decode_stream_begin(begin.meta.substr(1)).has_value());
    const Parts part = parts("stream-part");
    EXPECT_FALSE(check_header(part.header, false).has_value());
    EXPECT_EQ(part.header.type, FrameType::kStreamPart);
    EXPECT_EQ(part.meta, "");
    EXPECT_EQ(part.payload, "hello");
}

TEST_F(ProtocolDocument, Control) {
    const Parts control = parts("control");
    EXPECT_FALSE(check_header(control.header, true).has_value());
    const auto decoded = decode_control(control.meta);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->operation, "ListFunctions");
    EXPECT_EQ(decoded->json, "{}");
    const Parts answer = parts("control-result");
    EXPECT_FALSE(check_header(answer.header, false).has_value());
    EXPECT_EQ(answer.meta, "");
    EXPECT_EQ(answer.payload, "{\"Functions\":[]}");
}

TEST_F(ProtocolDocument, Refusal) {
    const auto fault = check_header(parts("refused").header, true);
    ASSERT_TRUE(fault.has_value());
    const Parts error = parts("error");
    EXPECT_FALSE(check_header(error.header, false).has_value());
    EXPECT_EQ(error.header.type, FrameType::kError);
    EXPECT_EQ(error.header.status, 400U);
    std::string text;
    for (const char byte : fault->text) {
        if (byte == '"') {
            text.push_back('\\');
        }
        text.push_back(byte);
    }
    const std::string start = R"({"Type":"User","message":")";
    EXPECT_EQ(error.payload, start + text + "\"}");
}

// The table of refusals quotes the codec's texts.
TEST_F(ProtocolDocument, QuotesEveryRefusal) {
    std::ifstream file(HAKO_SOURCE_ROOT "/docs/frame-protocol.md");
    const std::string document{std::istreambuf_iterator<char>(file), {}};
    const FrameHeader refused[] = {
        {.magic = 0},
        {.reserved = 1},
        {.meta_bytes = kMetaBytesMax + 1},
        {.payload_bytes = kControlPayloadBytesMax + 1},
        {.type = FrameType::kPong},
        {.payload_bytes = 1},
    };
    for (const FrameHeader& header : refused) {
        const auto fault = check_header(header, true);
        ASSERT_TRUE(fault.has_value());
        EXPECT_NE(document.find(fault->text), std::string::npos) << fault->text;
    }
}

}  // namespace
}  // namespace hako::wire
