#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>

#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/base/mapping.h"
#include "engine/base/unique_fd.h"
#include "engine/instance/channel.h"
#include "hako/shim.h"

// Streamed answers: the engine's side against the shim's own, and against one that lies.
namespace hako::instance {
namespace {

constexpr std::uint32_t kRing = HAKO_STREAM_RING_BYTES;

class ChannelStream : public ::testing::Test {
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
        doorbell_.reset(::memfd_create("doorbell", MFD_CLOEXEC));  // takes writes as an eventfd
        ASSERT_EQ(hako_shim_attach_at(&shim_, memfd_.get(), doorbell_.get()), 0);
    }
    void TearDown() override { hako_shim_detach(&shim_); }

    hako_channel& words() { return *reinterpret_cast<hako_channel*>(worker_.data()); }
    void post(std::uint64_t bytes_max = 1 << 30) {
        ASSERT_TRUE(channel_
                        .post_invoke({
                            .event = "{}",
                            .request_id = "id",
                            .function_arn = "arn",
                            .stream_bytes_max = bytes_max,
                        })
                        .has_value());
    }
    /// As a worker begins, without the shim's checks.
    void begin_raw(std::string_view type) {
        std::memset(words().stream_type, 0, sizeof(words().stream_type));
        std::memcpy(words().stream_type, type.data(), type.size());
        words().stream_put = 0;
        std::atomic_ref<std::uint32_t>(words().stream_seq).store(words().request_seq);
    }
    std::size_t rings_count() const {
        return static_cast<std::size_t>(::lseek(doorbell_.get(), 0, SEEK_CUR)) / 8;
    }
    std::string take(std::size_t room_bytes = kRing) {
        std::string got(room_bytes, '\0');
        const Result<std::uint32_t> bytes = channel_.take_stream({got.data(), got.size()});
        EXPECT_TRUE(bytes.has_value());
        got.resize(bytes.value_or(0));
        return got;
    }

    UniqueFd memfd_;
    UniqueFd doorbell_;
    Mapping worker_;
    Channel channel_;
    hako_shim shim_ = {};
    hako_stream stream_ = {};
};

TEST_F(ChannelStream, PartsComeAsTheyWerePut) {
    post();
    EXPECT_EQ(channel_.stream_type().error().code, Errc::kNotFound);
    ASSERT_EQ(hako_stream_open(&stream_, &shim_, "text/plain"), 0);
    EXPECT_EQ(*channel_.stream_type(), "text/plain");
    EXPECT_EQ(take(), "");
    ASSERT_EQ(hako_stream_put(&stream_, "hello ", 6), 0);
    ASSERT_EQ(hako_stream_put(&stream_, "world", 5), 0);
    EXPECT_EQ(take(3), "hel");
    EXPECT_EQ(take(), "lo world");
    ASSERT_EQ(hako_shim_respond(&shim_, HAKO_RESPONSE_STREAM_END, 0), 0);
    const auto answer = channel_.take_answer();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->kind, HAKO_RESPONSE_STREAM_END);
    EXPECT_EQ(answer->payload, "");
}

TEST_F(ChannelStream, RingGoesRoundAndRound) {
    post();
    ASSERT_EQ(hako_stream_open(&stream_, &shim_, nullptr), 0);
    EXPECT_EQ(*channel_.stream_type(), "application/octet-stream");
    std::string part(100'003, '\0');
    for (int round = 0; round < 50; ++round) {
        part.assign(part.size(), static_cast<char>('a' + round % 26));
        ASSERT_EQ(hako_stream_put(&stream_, part.data(), part.size()), 0);
        ASSERT_TRUE(take() == part) << round;
    }
}

TEST_F(ChannelStream, FullRingHasNoRoomUntilSomethingIsTaken) {
    post();
    ASSERT_EQ(hako_stream_open(&stream_, &shim_, nullptr), 0);
    const std::string part(kRing, 'x');
    ASSERT_EQ(hako_stream_put(&stream_, part.data(), part.size()), 0);
    std::size_t room_bytes = 1;
    (void)hako_stream_look(&stream_, &room_bytes);
    EXPECT_EQ(room_bytes, 0U);
    EXPECT_EQ(take(10).size(), 10U);
    (void)hako_stream_look(&stream_, &room_bytes);
    EXPECT_EQ(room_bytes, 10U);
    EXPECT_FALSE(channel_.stream_worker_may_sleep());
}

TEST_F(ChannelStream, BellRingsOnceForEachTimeTheEngineWaits) {
    post();
    ASSERT_EQ(hako_stream_open(&stream_, &shim_, nullptr), 0);
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(hako_stream_put(&stream_, "x", 1), 0);
    }
    EXPECT_EQ(rings_count(), 1U) << "the engine waits from the start";
    channel_.want_stream_ring(false);
    ASSERT_EQ(hako_stream_put(&stream_, "x", 1), 0);
    EXPECT_EQ(rings_count(), 1U) << "it is awake";
    channel_.want_stream_ring(true);
    ASSERT_EQ(hako_stream_put(&stream_, "x", 1), 0);
    ASSERT_EQ(hako_stream_put(&stream_, "x", 1), 0);
    EXPECT_EQ(rings_count(), 2U);
}

TEST_F(ChannelStream, WorkerIsToldTheLimit) {
    post(10);
    ASSERT_EQ(hako_stream_open(&stream_, &shim_, nullptr), 0);
    ASSERT_EQ(hako_stream_put(&stream_, "0123456789", 10), 0);
    EXPECT_EQ(hako_stream_put(&stream_, "x", 1), EFBIG);
    EXPECT_EQ(take(), "0123456789");
}

TEST_F(ChannelStream, ErrorLiesBehindWhatIsNotTaken) {
    post();
    ASSERT_EQ(hako_stream_open(&stream_, &shim_, nullptr), 0);
    const std::string part(kRing, 'x');
    ASSERT_EQ(hako_stream_put(&stream_, part.data(), part.size()), 0);
    std::memcpy(hako_stream_error_buffer(&stream_), "oops", 4);
    ASSERT_EQ(hako_shim_respond(&shim_, HAKO_RESPONSE_STREAM_ERROR, 4), 0);
    EXPECT_EQ(channel_.take_answer()->payload, "oops");
    EXPECT_TRUE(take() == part);
}

TEST_F(ChannelStream, IsOnlyForRequestsThatTakeIt) {
    ASSERT_TRUE(
        channel_.post_invoke({.event = "{}", .request_id = "id", .function_arn = "arn"}).has_value()
    );
    EXPECT_EQ(hako_stream_open(&stream_, &shim_, nullptr), ENOTSUP);
    begin_raw("text/plain");
    EXPECT_EQ(channel_.stream_type().error().code, Errc::kNotFound);
    EXPECT_FALSE(channel_.has_stream_begun());
    hako_shim_respond(&shim_, HAKO_RESPONSE_STREAM_END, 0);
    EXPECT_EQ(channel_.take_answer().error().code, Errc::kProtocol);
}

TEST_F(ChannelStream, StreamOfAnEarlierRequestIsNone) {
    post();
    begin_raw("text/plain");
    hako_shim_respond(&shim_, HAKO_RESPONSE_STREAM_END, 0);
    ASSERT_TRUE(channel_.take_answer().has_value());
    post();
    EXPECT_FALSE(channel_.has_stream_begun());
}

TEST_F(ChannelStream, TypeMustBeAHeaderLine) {
    post();
    for (const std::string& type :
         {std::string("a\r\nb"),
          std::string("a\nb"),
          std::string("\x7f"),
          std::string("\xc3\xa9"),
          std::string(HAKO_STREAM_TYPE_BYTES, 'x')}) {
        begin_raw(type);
        EXPECT_EQ(channel_.stream_type().error().code, Errc::kProtocol) << type;
        EXPECT_EQ(hako_stream_open(&stream_, &shim_, type.c_str()), EINVAL) << type;
    }
    begin_raw(std::string(HAKO_STREAM_TYPE_BYTES - 1, 'x'));
    EXPECT_EQ(channel_.stream_type()->size(), HAKO_STREAM_TYPE_BYTES - 1);
}

TEST_F(ChannelStream, CounterThatCannotBeIsGarbage) {
    post();
    begin_raw("a/b");
    std::array<char, 16> into;
    for (const std::uint32_t put : {kRing + 1, UINT32_MAX, 0x80000000U}) {
        words().stream_put = put;
        EXPECT_EQ(channel_.take_stream(into).error().code, Errc::kProtocol) << put;
    }
    words().stream_put = kRing;
    EXPECT_EQ(*channel_.take_stream(into), into.size());
    words().stream_put = static_cast<std::uint32_t>(into.size()) - 1;  // backwards
    EXPECT_EQ(channel_.take_stream(into).error().code, Errc::kProtocol);
}

TEST_F(ChannelStream, EngineCountsForItselfWhateverTheWorkerWrites) {
    post();
    begin_raw("a/b");
    words().stream_put = 100;
    EXPECT_EQ(take(60).size(), 60U);
    words().stream_taken = 0;  // the engine's own word
    EXPECT_EQ(take().size(), 40U);
    EXPECT_EQ(words().stream_taken, 100U);
}

// Whatever it writes meanwhile, the engine copies inside the ring and stays within its buffer.
TEST_F(ChannelStream, WorkerThatRewritesAllTheTimeOnlyHarmsItself) {
    post();
    begin_raw("a/b");
    std::atomic<bool> over = false;
    std::thread worker([this, &over] {
        std::uint32_t value = 1;
        while (!over.load(std::memory_order_relaxed)) {
            value = value * 1664525U + 1013904223U;
            std::atomic_ref<std::uint32_t>(words().stream_put).store(value);
            std::atomic_ref<std::uint32_t>(words().stream_taken).store(~value);
            words().stream_type[value % sizeof(words().stream_type)] = static_cast<char>(value);
        }
    });
    std::array<char, 1000> into;
    for (int i = 0; i < 20'000; ++i) {
        const auto taken = channel_.take_stream(std::span(into).first(500));
        EXPECT_TRUE(taken ? *taken <= 500 : taken.error().code == Errc::kProtocol);
        const auto type = channel_.stream_type();
        EXPECT_TRUE(
            type ? type->size() < HAKO_STREAM_TYPE_BYTES : type.error().code == Errc::kProtocol
        );
    }
    over = true;
    worker.join();
}

// A megabyte through the ring, both sides at once and each waiting for the other.
TEST_F(ChannelStream, FastWriterWaitsForTheReader) {
    constexpr std::size_t kBytes = 8 << 20;
    post();
    std::thread worker([this] {
        ASSERT_EQ(hako_stream_open(&stream_, &shim_, nullptr), 0);
        std::string part(70'001, '\0');
        for (std::size_t done = 0; done < kBytes;) {
            const std::size_t bytes = std::min(part.size(), kBytes - done);
            for (std::size_t i = 0; i < bytes; ++i) {
                part[i] = static_cast<char>((done + i) % 251);
            }
            ASSERT_EQ(hako_stream_put(&stream_, part.data(), bytes), 0);
            done += bytes;
        }
    });
    std::string into(65'536, '\0');
    std::size_t got_bytes = 0;
    bool as_sent = true;
    while (got_bytes < kBytes) {
        const auto taken =
            channel_.has_stream_begun() ? channel_.take_stream(into) : Result<std::uint32_t>(0U);
        ASSERT_TRUE(taken.has_value());
        for (std::uint32_t i = 0; i < *taken; ++i) {
            as_sent = as_sent && into[i] == static_cast<char>((got_bytes + i) % 251);
        }
        got_bytes += *taken;
        if (*taken == 0) {
            std::this_thread::yield();
        } else if (channel_.stream_worker_may_sleep()) {
            ::syscall(SYS_futex, channel_.stream_word(), FUTEX_WAKE, 1, nullptr, nullptr, 0);
        }
    }
    worker.join();
    EXPECT_TRUE(as_sent);
    EXPECT_EQ(got_bytes, kBytes);
}

TEST_F(ChannelStream, PagesOfALongStreamAreGivenBack) {
    const auto resident_bytes = [this] {
        struct stat info{};
        EXPECT_EQ(::fstat(memfd_.get(), &info), 0);
        return static_cast<std::size_t>(info.st_blocks) * 512;
    };
    post();
    ASSERT_EQ(hako_stream_open(&stream_, &shim_, nullptr), 0);
    const std::string part(kRing, 'x');
    ASSERT_EQ(hako_stream_put(&stream_, part.data(), part.size()), 0);
    EXPECT_EQ(take().size(), part.size());
    ASSERT_EQ(hako_shim_respond(&shim_, HAKO_RESPONSE_STREAM_END, 0), 0);
    ASSERT_TRUE(channel_.take_answer().has_value());
    EXPECT_GE(resident_bytes(), kRing);
    channel_.release_large();
    EXPECT_LE(resident_bytes(), 80U * 1024U);
}

}  // namespace
}  // namespace hako::instance
