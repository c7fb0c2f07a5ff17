#include <string>

#include <gtest/gtest.h>

#include "engine/gateway/lambda/event_stream.h"

namespace hako::gateway::lambda {
namespace {

std::string hex(const std::string& bytes) {
    static const char* const digits = "0123456789abcdef";
    std::string text;
    for (const char c : bytes) {
        text.push_back(digits[static_cast<unsigned char>(c) >> 4U]);
        text.push_back(digits[static_cast<unsigned char>(c) & 15U]);
    }
    return text;
}

// Made with Python's struct and zlib from AWS's description of the encoding.
TEST(EventStream, MessageIsPreludeHeadersPayloadAndSums) {
    std::string out;
    append_event(out, {.event_type = "E", .content_type = "t/t"}, "hi");
    EXPECT_EQ(
        hex(out),
        "0000004c"                                      // total
        "0000003a"                                      // headers
        "3e2db393"                                      // sum of both
        "0b3a6576656e742d7479706507000145"              // :event-type, string, E
        "0d3a636f6e74656e742d747970650700"              // :content-type, string
        "03742f74"                                      // t/t
        "0d3a6d6573736167652d747970650700056576656e74"  // :message-type, string, event
        "6869"                                          // hi
        "c1d479bb"                                      // sum of all of it
    );
}

TEST(EventStream, AppendsBehindWhatIsThere) {
    std::string first;
    append_event(first, {.event_type = "A", .content_type = "t/t"}, "");
    std::string both = first;
    append_event(both, {.event_type = "B", .content_type = "t/t"}, "x");
    std::string second;
    append_event(second, {.event_type = "B", .content_type = "t/t"}, "x");
    EXPECT_EQ(both, first + second);
}

}  // namespace
}  // namespace hako::gateway::lambda
