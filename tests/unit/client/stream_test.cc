#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <hako/client.hpp>

#include "tests/unit/client/scripted_engine.h"

// Answers that come in parts.
namespace hako::client_test {
namespace {

std::string begin_bytes(std::uint64_t correlation, std::string_view type) {
    wire::StreamBeginMeta fixed;
    fixed.type_bytes = static_cast<std::uint16_t>(type.size());
    std::string meta(reinterpret_cast<const char*>(&fixed), sizeof(fixed));
    meta.append(type);
    return frame_bytes(
        {.type = wire::FrameType::kStreamBegin,
         .correlation = correlation,
         .meta_bytes = static_cast<std::uint32_t>(meta.size()),
         .status = 200},
        meta,
        ""
    );
}

std::string part_bytes(std::uint64_t correlation, std::string_view part) {
    return frame_bytes(
        {.type = wire::FrameType::kStreamPart,
         .correlation = correlation,
         .payload_bytes = static_cast<std::uint32_t>(part.size()),
         .status = 200},
        "",
        part
    );
}

TEST(StreamedAnswer, StreamedAnswerComesInPartsThenItsEnd) {
    ScriptedEngine engine([](int fd) {
        const Frame frame = read_frame(fd);
        EXPECT_EQ(frame.header.flags, wire::kFlagStream);
        const std::uint64_t correlation = frame.header.correlation;
        (void)write_all(
            fd,
            begin_bytes(correlation, "text/plain") + part_bytes(correlation, "one ") +
                part_bytes(correlation, "two") +
                result_bytes({.correlation = correlation, .flags = wire::kFlagStream})
        );
    });
    Client client = Client::adopt(engine.take_client_fd());
    std::vector<std::string> parts;
    const Answer answer = client.invoke_stream("f", "", [&parts](std::string_view part) {
        parts.emplace_back(part);
    });
    EXPECT_EQ(parts, (std::vector<std::string>{"one ", "two"}));
    EXPECT_TRUE(answer.ok());
    EXPECT_EQ(answer.payload(), "");
    EXPECT_EQ(client.in_flight(), 0U);
}

TEST(StreamedAnswer, AnswerThatIsNotStreamedIsOnePart) {
    ScriptedEngine engine([](int fd) {
        const Frame frame = read_frame(fd);
        (void)write_all(
            fd, result_bytes({.correlation = frame.header.correlation, .payload = frame.payload})
        );
    });
    Client client = Client::adopt(engine.take_client_fd());
    std::string got;
    const Answer answer =
        client.invoke_stream("f", "whole", [&got](std::string_view part) { got.append(part); });
    EXPECT_EQ(got, "whole");
    EXPECT_EQ(answer.payload(), "");
}

TEST(StreamedAnswer, StreamThatBreaksOffHasItsErrorInTheAnswer) {
    ScriptedEngine engine([](int fd) {
        const std::uint64_t correlation = read_frame(fd).header.correlation;
        (void)write_all(
            fd,
            begin_bytes(correlation, "") + part_bytes(correlation, "one") +
                result_bytes({
                    .correlation = correlation,
                    .payload = "{}",
                    .flags = wire::kFlagStream | wire::kFlagFunctionError,
                    .error_code = "Unhandled",
                })
        );
    });
    Client client = Client::adopt(engine.take_client_fd());
    std::string got;
    const Answer answer =
        client.invoke_stream("f", "", [&got](std::string_view part) { got.append(part); });
    EXPECT_EQ(got, "one");
    EXPECT_TRUE(answer.function_error());
    EXPECT_EQ(answer.payload(), "{}");
}

TEST(StreamedAnswer, StreamGivenUpLeavesTheConnectionGood) {
    ScriptedEngine engine([](int fd) {
        const std::uint64_t first = read_frame(fd).header.correlation;
        (void)write_all(fd, begin_bytes(first, "") + part_bytes(first, "one"));
        const Frame second = read_frame(fd);
        (void)write_all(
            fd,
            part_bytes(first, "two") +
                result_bytes({.correlation = first, .flags = wire::kFlagStream}) +
                result_bytes({.correlation = second.header.correlation, .payload = "second"})
        );
    });
    Client client = Client::adopt(engine.take_client_fd());
    EXPECT_THROW((void)client.invoke_stream("f", "", [](std::string_view) { throw 7; }), int)
        << "what a callback throws comes out";
    EXPECT_EQ(client.invoke("f", "").payload(), "second");
    EXPECT_EQ(client.in_flight(), 0U);
}

TEST(StreamedAnswer, PartsThatNobodyAskedForBreakTheProtocol) {
    ScriptedEngine engine([](int fd) {
        const std::uint64_t correlation = read_frame(fd).header.correlation;
        (void)write_all(fd, part_bytes(correlation, "one"));
        (void)read_frame(fd);  // until the client has gone
    });
    Client client = Client::adopt(engine.take_client_fd());
    try {
        (void)client.invoke("f", "");
        ADD_FAILURE() << "a part was taken for an answer";
    } catch (const ClientError& error) {
        EXPECT_EQ(error.code(), HAKO_CLIENT_EPROTOCOL);
    }
}

}  // namespace
}  // namespace hako::client_test
