#include "engine/wire/frame.h"

#include <array>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace hako::wire {
namespace {

template <typename T>
std::string bytes_of(const T& fixed) {
    std::string bytes(sizeof(T), '\0');
    std::memcpy(bytes.data(), &fixed, sizeof(T));
    return bytes;
}

struct InvokeTexts {
    std::string name = "echo";
    std::string qualifier;
    std::string client_context;
};

std::string invoke_meta(const InvokeTexts& texts, InvokeMeta fixed = {}) {
    fixed.name_bytes = static_cast<std::uint16_t>(texts.name.size());
    fixed.qualifier_bytes = static_cast<std::uint16_t>(texts.qualifier.size());
    fixed.client_context_bytes = static_cast<std::uint16_t>(texts.client_context.size());
    return bytes_of(fixed) + texts.name + texts.qualifier + texts.client_context;
}

std::string control_meta(std::string_view operation, std::string_view json) {
    const ControlMeta fixed{
        .operation_bytes = static_cast<std::uint16_t>(operation.size()),
        .json_bytes = static_cast<std::uint32_t>(json.size()),
    };
    return bytes_of(fixed).append(operation).append(json);
}

std::string result_meta(std::string_view version, std::string_view code, std::string_view log) {
    InvokeResultMeta fixed;
    std::memset(fixed.request_id, 'r', sizeof(fixed.request_id));
    fixed.memory_mib = 1536;
    fixed.duration_us = 1;
    fixed.billed_us = UINT64_MAX;
    fixed.init_us = 3;
    fixed.cpu_us = 4;
    fixed.memory_peak_bytes = 5;
    fixed.version_bytes = static_cast<std::uint16_t>(version.size());
    fixed.error_code_bytes = static_cast<std::uint16_t>(code.size());
    fixed.log_bytes = static_cast<std::uint32_t>(log.size());
    return bytes_of(fixed).append(version).append(code).append(log);
}

TEST(FrameHeader, IsReadAsItIsWritten) {
    const FrameHeader header{
        .type = FrameType::kInvokeResult,
        .flags = kFlagFunctionError,
        .correlation = 0x0123456789abcdef,
        .meta_bytes = 88,
        .payload_bytes = 7,
        .status = 200,
    };
    const std::string bytes = bytes_of(header);
    const auto read =
        read_header(std::as_bytes(std::span<const char, kFrameHeaderBytes>(bytes.data(), 32)));
    EXPECT_EQ(read.magic, kFrameMagic);
    EXPECT_EQ(read.type, FrameType::kInvokeResult);
    EXPECT_EQ(read.flags, kFlagFunctionError);
    EXPECT_EQ(read.correlation, 0x0123456789abcdefU);
    EXPECT_EQ(read.meta_bytes, 88U);
    EXPECT_EQ(read.payload_bytes, 7U);
    EXPECT_EQ(read.status, 200U);
    EXPECT_EQ(bytes.substr(0, 4), "HKO1");
}

TEST(FrameHeader, AcceptsWhatEachSideMaySend) {
    for (const FrameType type : {FrameType::kPing, FrameType::kInvoke, FrameType::kControl}) {
        EXPECT_FALSE(check_header({.type = type}, true).has_value());
    }
    for (const FrameType type :
         {FrameType::kPong, FrameType::kInvokeResult, FrameType::kControlResult, FrameType::kError
         }) {
        EXPECT_FALSE(check_header({.type = type}, false).has_value());
    }
    const FrameHeader largest{
        .type = FrameType::kControl,
        .correlation = UINT64_MAX,
        .meta_bytes = kMetaBytesMax,
        .payload_bytes = kControlPayloadBytesMax,
    };
    EXPECT_FALSE(check_header(largest, true).has_value());
}

TEST(FrameHeader, RefusalNamesTheField) {
    struct Case {
        FrameHeader header;
        bool from_client;
        std::string_view text;
    };
    constexpr auto kUnknown = static_cast<FrameType>(10);
    const std::vector<Case> cases = {
        {{.magic = 0}, true, "magic: expected \"HKO1\" (frame protocol version 1)"},
        {{.magic = 0x324f4b48}, true, "magic: expected \"HKO1\" (frame protocol version 1)"},
        {{.magic = 0x324f4b48}, false, "magic: expected \"HKO1\" (frame protocol version 1)"},
        {{.reserved = 1}, true, "reserved: must be 0"},
        {{.type = FrameType::kInvoke, .meta_bytes = 65537}, true, "meta_bytes: at most 65536"},
        {{.type = FrameType::kInvoke, .meta_bytes = UINT32_MAX}, true, "meta_bytes: at most 65536"},
        {{.type = FrameType::kControl, .payload_bytes = 52428801},
         true,
         "payload_bytes: at most 52428800"},
        {{.type = FrameType::kPing, .meta_bytes = 1},
         true,
         "Ping: meta_bytes and payload_bytes must be 0"},
        {{.type = FrameType::kPing, .payload_bytes = 1},
         true,
         "Ping: meta_bytes and payload_bytes must be 0"},
        {{.type = FrameType::kPong},
         true,
         "type: a client may send Ping (1), Invoke (3) or Control (5)"},
        {{.type = FrameType::kError},
         true,
         "type: a client may send Ping (1), Invoke (3) or Control (5)"},
        {{.type = FrameType{0}}, true, "type: a client may send Ping (1), Invoke (3) or Control (5)"
        },
        {{.type = kUnknown}, false, "type: unknown"},
        {{.type = FrameType{0}}, false, "type: unknown"},
    };
    for (const Case& refused : cases) {
        const auto fault = check_header(refused.header, refused.from_client);
        ASSERT_TRUE(fault.has_value()) << refused.text;
        EXPECT_EQ(fault->text, refused.text);
    }
}

TEST(InvokeMeta, RoundTrips) {
    const InvokeTexts texts{.name = "resize", .qualifier = "live", .client_context = "{\"a\":1}"};
    const std::string meta =
        invoke_meta(texts, {.invocation_type = InvocationType::kEvent, .log_type = LogType::kTail});
    const auto decoded = decode_invoke(meta);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->invocation_type, InvocationType::kEvent);
    EXPECT_EQ(decoded->log_type, LogType::kTail);
    EXPECT_EQ(decoded->name, "resize");
    EXPECT_EQ(decoded->qualifier, "live");
    EXPECT_EQ(decoded->client_context, "{\"a\":1}");
}

TEST(InvokeMeta, TakesTheLargestAndRefusesOneMore) {
    EXPECT_TRUE(decode_invoke(invoke_meta({.name = std::string(256, 'n')})).has_value());
    EXPECT_FALSE(decode_invoke(invoke_meta({.name = std::string(257, 'n')})).has_value());
    EXPECT_TRUE(decode_invoke(invoke_meta({.client_context = std::string(3583, 'c')})).has_value());
    EXPECT_FALSE(decode_invoke(invoke_meta({.client_context = std::string(3584, 'c')})).has_value()
    );
}

TEST(InvokeMeta, RefusesWhatIsOutOfRange) {
    EXPECT_FALSE(decode_invoke(invoke_meta({.name = ""})).has_value());
    EXPECT_FALSE(decode_invoke(invoke_meta({}, {.invocation_type = static_cast<InvocationType>(3)}))
                     .has_value());
    EXPECT_FALSE(decode_invoke(invoke_meta({}, {.log_type = static_cast<LogType>(2)})).has_value());
    EXPECT_FALSE(decode_invoke(invoke_meta({}) + "x").has_value());
}

TEST(InvokeResultMeta, RoundTrips) {
    const std::string meta = result_meta("$LATEST", "Unhandled", "START\n");
    const auto decoded = decode_invoke_result(meta);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(std::string_view(decoded->meta.request_id, 36), std::string(36, 'r'));
    EXPECT_EQ(decoded->meta.memory_mib, 1536U);
    EXPECT_EQ(decoded->meta.duration_us, 1U);
    EXPECT_EQ(decoded->meta.billed_us, UINT64_MAX);
    EXPECT_EQ(decoded->meta.init_us, 3U);
    EXPECT_EQ(decoded->meta.cpu_us, 4U);
    EXPECT_EQ(decoded->meta.memory_peak_bytes, 5U);
    EXPECT_EQ(decoded->version, "$LATEST");
    EXPECT_EQ(decoded->error_code, "Unhandled");
    EXPECT_EQ(decoded->log_tail, "START\n");
    EXPECT_TRUE(decode_invoke_result(result_meta("", "", "")).has_value());
    EXPECT_FALSE(decode_invoke_result(meta + "x").has_value());
}

TEST(ControlMeta, RoundTrips) {
    const std::string meta = control_meta("ListFunctions", "{}");
    const auto decoded = decode_control(meta);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->operation, "ListFunctions");
    EXPECT_EQ(decoded->json, "{}");
}

TEST(ControlMeta, RefusesWhatIsOutOfRange) {
    EXPECT_FALSE(decode_control(control_meta("", "{}")).has_value());
    EXPECT_FALSE(decode_control(control_meta("ListFunctions", "{}") + "x").has_value());
    std::string reserved = control_meta("ListFunctions", "{}");
    reserved[2] = 1;
    EXPECT_FALSE(decode_control(reserved).has_value());
    std::string long_json = control_meta("ListFunctions", "{}");
    std::memset(long_json.data() + 4, 0xff, 4);  // json_bytes near 4 GiB must not wrap
    EXPECT_FALSE(decode_control(long_json).has_value());
}

// Every proper prefix of valid meta data is refused: no length is believed before it is checked.
TEST(MetaData, EveryTruncationIsRefused) {
    const std::string invoke =
        invoke_meta({.name = "resize", .qualifier = "live", .client_context = "{}"});
    for (std::size_t bytes = 0; bytes < invoke.size(); ++bytes) {
        EXPECT_FALSE(decode_invoke(std::string_view(invoke).substr(0, bytes)).has_value());
    }
    const std::string result = result_meta("12", "Unhandled", "log");
    for (std::size_t bytes = 0; bytes < result.size(); ++bytes) {
        EXPECT_FALSE(decode_invoke_result(std::string_view(result).substr(0, bytes)).has_value());
    }
    const std::string control = control_meta("ListFunctions", "{\"MaxItems\":1}");
    for (std::size_t bytes = 0; bytes < control.size(); ++bytes) {
        EXPECT_FALSE(decode_control(std::string_view(control).substr(0, bytes)).has_value());
    }
}

bool lies_within(std::string_view inner, std::string_view outer) {
    return inner.empty() || (inner.data() >= outer.data() &&
                             inner.data() + inner.size() <= outer.data() + outer.size());
}

// Random bytes, half of them with plausible lengths: a decoder gives views inside its input whose
// sizes add up, or nothing. Each input is a heap block of its own, so that ASan sees a byte too
// far.
TEST(MetaData, RandomBytesNeverEscapeTheInput) {
    std::mt19937_64 random(20171214);
    std::size_t accepted = 0;
    for (int round = 0; round < 200000; ++round) {
        std::vector<char> block(random() % 140);
        for (char& byte : block) {
            byte = static_cast<char>(random() % 4 == 0 ? random() % 256 : random() % 12);
        }
        if (round % 2 == 0 && block.size() >= 8) {
            const auto rest = static_cast<std::uint16_t>(block.size() - 8);
            const InvokeMeta fixed{.name_bytes = rest};
            std::memcpy(block.data(), &fixed, sizeof(fixed));
        }
        const std::string_view meta(block.data(), block.size());
        if (const auto invoke = decode_invoke(meta)) {
            ++accepted;
            EXPECT_TRUE(
                lies_within(invoke->name, meta) && lies_within(invoke->qualifier, meta) &&
                lies_within(invoke->client_context, meta)
            );
            EXPECT_EQ(
                8 + invoke->name.size() + invoke->qualifier.size() + invoke->client_context.size(),
                meta.size()
            );
        }
        if (const auto result = decode_invoke_result(meta)) {
            EXPECT_TRUE(
                lies_within(result->version, meta) && lies_within(result->error_code, meta) &&
                lies_within(result->log_tail, meta)
            );
        }
        if (const auto control = decode_control(meta)) {
            EXPECT_TRUE(lies_within(control->operation, meta) && lies_within(control->json, meta));
        }
    }
    EXPECT_GT(accepted, 1000U) << "the generator no longer reaches the accepting path";
}

TEST(FrameHeader, RandomHeadersAreJudgedWithinTheLimits) {
    std::mt19937_64 random(7);
    for (int round = 0; round < 200000; ++round) {
        std::array<std::uint64_t, 4> words{random(), random(), random(), random()};
        if (round % 2 == 0) {
            words[0] = kFrameMagic | (random() % 10) << 32U;
            words[2] &= 0x03ffffff0001ffffU;
            words[3] = 0;
        }
        const auto header = read_header(std::as_bytes(std::span<const std::uint64_t, 4>(words)));
        for (const bool from_client : {true, false}) {
            if (!check_header(header, from_client)) {
                EXPECT_EQ(header.magic, kFrameMagic);
                EXPECT_LE(header.meta_bytes, kMetaBytesMax);
                EXPECT_LE(header.payload_bytes, kControlPayloadBytesMax);
                EXPECT_EQ(header.reserved, 0U);
            }
        }
    }
}

}  // namespace
}  // namespace hako::wire
