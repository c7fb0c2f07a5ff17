#include <atomic>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/base/mapping.h"
#include "engine/base/unique_fd.h"
#include "engine/instance/channel.h"

namespace hako::instance {
namespace {

// The sandbox's side of a channel, free to write whatever it likes.
class ChannelTest : public ::testing::Test {
protected:
    void SetUp() override {
        memfd_.reset(::memfd_create("channel", MFD_CLOEXEC));
        ASSERT_TRUE(memfd_);
        ASSERT_EQ(::ftruncate(memfd_.get(), HAKO_CHANNEL_BYTES), 0);
        auto mapped = Mapping::make_shared(memfd_.get(), HAKO_CHANNEL_BYTES);
        ASSERT_TRUE(mapped.has_value());
        worker_ = *std::move(mapped);
        words().magic = HAKO_CHANNEL_MAGIC;
        words().version = HAKO_CHANNEL_VERSION;
        auto channel = Channel::map(memfd_.get());
        ASSERT_TRUE(channel.has_value());
        channel_ = *std::move(channel);
    }

    hako_channel& words() { return *reinterpret_cast<hako_channel*>(worker_.data()); }
    std::string request_area(std::size_t bytes) {
        return {reinterpret_cast<const char*>(worker_.data() + HAKO_REQUEST_OFFSET), bytes};
    }
    void answer(std::uint32_t kind, std::uint32_t bytes) {
        words().response_kind = kind;
        words().response_bytes = bytes;
        std::atomic_ref<std::uint32_t>(words().response_seq).store(words().request_seq);
    }
    void post_event(std::string_view event) {
        ASSERT_TRUE(channel_
                        .post_invoke({.event = event, .request_id = "id", .function_arn = "arn"})
                        .has_value());
    }
    std::size_t resident_bytes() {
        struct stat info{};
        EXPECT_EQ(::fstat(memfd_.get(), &info), 0);
        return static_cast<std::size_t>(info.st_blocks) * 512;
    }

    UniqueFd memfd_;
    Mapping worker_;
    Channel channel_;
};

TEST_F(ChannelTest, RefusesAnotherVersion) {
    words().version = HAKO_CHANNEL_VERSION + 1;
    const auto mapped = Channel::map(memfd_.get());
    ASSERT_FALSE(mapped.has_value());
    EXPECT_EQ(mapped.error().code, Errc::kProtocol);
}

TEST_F(ChannelTest, HandsOverEventContextAndTexts) {
    ASSERT_TRUE(channel_
                    .post_invoke({
                        .event = R"({"a":1})",
                        .client_context = R"({"c":2})",
                        .request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                        .function_arn = "arn:aws:lambda:us-east-1:123456789012:function:f",
                        .trace_id = {},
                        .deadline_unix_ms = 42,
                    })
                    .has_value());
    EXPECT_EQ(words().request_seq, 1U);
    EXPECT_EQ(words().request_kind, static_cast<std::uint32_t>(HAKO_REQUEST_INVOKE));
    EXPECT_EQ(words().deadline_unix_ms, 42);
    EXPECT_EQ(
        request_area(words().event_bytes + words().client_context_bytes), R"({"a":1}{"c":2})"
    );
    EXPECT_STREQ(words().request_id, "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
}

TEST_F(ChannelTest, AnswerIsTakenOnlyWhenItsNumberFits) {
    post_event("{}");
    EXPECT_EQ(channel_.take_answer().error().code, Errc::kNotFound);
    std::memcpy(worker_.data() + HAKO_RESPONSE_OFFSET, "fine", 4);
    answer(HAKO_RESPONSE_RESULT, 4);
    EXPECT_EQ(channel_.take_answer()->payload, "fine");
    words().response_seq += 1;
    EXPECT_EQ(channel_.take_answer().error().code, Errc::kNotFound)
        << "an answer to nothing we asked";
}

TEST_F(ChannelTest, GarbageIsAProtocolErrorWhateverItIs) {
    post_event("{}");
    struct Case {
        std::uint32_t kind;
        std::uint32_t bytes;
    };
    for (const Case& bad : {
             Case{HAKO_RESPONSE_RESULT, HAKO_RESPONSE_BYTES_MAX + 1},
             Case{HAKO_RESPONSE_RESULT, UINT32_MAX},
             Case{0, 0},
             Case{HAKO_RESPONSE_STREAM_END, 0},  // nobody asked for a stream
             Case{HAKO_RESPONSE_STREAM_ERROR, 2},
             Case{8, 0},
             Case{UINT32_MAX, 0},
             Case{HAKO_RESPONSE_READY, 0},
             Case{HAKO_RESPONSE_INIT_ERROR, 2},
         }) {
        answer(bad.kind, bad.bytes);
        const auto taken = channel_.take_answer();
        ASSERT_FALSE(taken.has_value()) << bad.kind << " " << bad.bytes;
        EXPECT_EQ(taken.error().code, Errc::kProtocol) << bad.kind << " " << bad.bytes;
    }
    answer(HAKO_RESPONSE_RESULT, HAKO_RESPONSE_BYTES_MAX);
    EXPECT_EQ(channel_.take_answer()->payload.size(), HAKO_RESPONSE_BYTES_MAX);
}

TEST_F(ChannelTest, InitTakesOnlyInitAnswers) {
    ASSERT_TRUE(channel_.post_init(std::string_view("A=1\0", 4)).has_value());
    answer(HAKO_RESPONSE_RESULT, 0);
    EXPECT_EQ(channel_.take_answer().error().code, Errc::kProtocol);
    answer(HAKO_RESPONSE_READY, 99);
    EXPECT_EQ(channel_.take_answer()->payload, "") << "READY carries nothing, whatever it says";
}

TEST_F(ChannelTest, TextsThatDoNotFitPublishNothing) {
    const std::string long_text(1000, 'x');
    const auto posted =
        channel_.post_invoke({.event = "{}", .request_id = "id", .function_arn = long_text});
    ASSERT_FALSE(posted.has_value());
    EXPECT_EQ(posted.error().code, Errc::kLimit);
    EXPECT_EQ(words().request_seq, 0U);
}

TEST_F(ChannelTest, LargePayloadsGiveTheirPagesBack) {
    const std::string large(HAKO_EVENT_BYTES_MAX, 'e');
    post_event(large);
    std::memset(worker_.data() + HAKO_RESPONSE_OFFSET, 'r', HAKO_RESPONSE_BYTES_MAX);
    answer(HAKO_RESPONSE_RESULT, HAKO_RESPONSE_BYTES_MAX);
    ASSERT_TRUE(channel_.take_answer().has_value());
    EXPECT_GT(resident_bytes(), 12U << 20U);
    channel_.release_large();
    EXPECT_LT(resident_bytes(), 256U << 10U);
    post_event("{}");
    EXPECT_EQ(request_area(2), "{}");
}

}  // namespace
}  // namespace hako::instance
