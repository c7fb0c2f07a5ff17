#include <array>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/ring/loop_fixture.h"

namespace hako::ring {
namespace {

class OpsTest : public LoopTest {};
HAKO_ON_BOTH_KERNELS(OpsTest);

constexpr std::uint64_t kNoOffset = 0;

TEST_P(OpsTest, SendsAndReceives) {
    const SocketPair pair;
    std::string got;
    spawn([&] {
        std::array<std::byte, 64> buffer{};
        const auto bytes = loop_->recv(pair.far.get(), buffer, kNever);
        ASSERT_TRUE(bytes.has_value());
        got.assign(reinterpret_cast<const char*>(buffer.data()), *bytes);
    });
    spawn([&] { EXPECT_TRUE(loop_->send_all(pair.near.get(), bytes_of("hello"), kNever)); });
    run();
    EXPECT_EQ(got, "hello");
}

TEST_P(OpsTest, EndOfStreamIsZeroBytes) {
    SocketPair pair;
    spawn([&] {
        std::array<std::byte, 8> buffer{};
        EXPECT_EQ(loop_->recv(pair.far.get(), buffer, kNever).value_or(99), 0U);
    });
    spawn([&] { pair.near.reset(); });
    run();
}

TEST_P(OpsTest, SendToAClosedPeerIsClosed) {
    SocketPair pair;
    pair.far.reset();
    spawn([&] {
        const Result<void> sent = loop_->send_all(pair.near.get(), bytes_of("x"), kNever);
        ASSERT_FALSE(sent.has_value());
        EXPECT_EQ(sent.error().code, Errc::kClosed);
        EXPECT_EQ(sent.error().sys_errno, EPIPE);
    });
    run();
}

TEST_P(OpsTest, SystemErrorsCarryErrno) {
    spawn([&] {
        std::array<std::byte, 8> buffer{};
        const auto bytes = loop_->recv(-1, buffer, kNever);
        ASSERT_FALSE(bytes.has_value());
        EXPECT_EQ(bytes.error().code, Errc::kSystem);
        EXPECT_EQ(bytes.error().sys_errno, EBADF);
        EXPECT_STREQ(bytes.error().what, "recv");
    });
    run();
}

TEST_P(OpsTest, TimesOutNotBeforeTheDeadlineAndLosesNoBytes) {
    const SocketPair pair;
    spawn([&] {
        std::array<std::byte, 8> buffer{};
        const std::int64_t deadline_us = now_us() + 3'000;
        const auto timed_out = loop_->recv(pair.far.get(), buffer, deadline_us);
        EXPECT_GE(now_us(), deadline_us);
        ASSERT_FALSE(timed_out.has_value());
        EXPECT_EQ(timed_out.error().code, Errc::kTimeout);
        EXPECT_TRUE(loop_->send_all(pair.near.get(), bytes_of("late"), kNever));
        EXPECT_EQ(loop_->recv(pair.far.get(), buffer, kNever).value_or(0), 4U);
    });
    run();
}

TEST_P(OpsTest, PassedDeadlineStillTakesWhatIsThere) {
    const SocketPair pair;
    ASSERT_EQ(::write(pair.near.get(), "abc", 3), 3);
    spawn([&] {
        std::array<std::byte, 8> buffer{};
        EXPECT_EQ(loop_->recv(pair.far.get(), buffer, now_us() - 1).value_or(0), 3U);
        const auto nothing = loop_->recv(pair.far.get(), buffer, now_us() - 1);
        ASSERT_FALSE(nothing.has_value());
        EXPECT_EQ(nothing.error().code, Errc::kTimeout);
    });
    run();
}

TEST_P(OpsTest, LargeTransferArrivesWhole) {
    const SocketPair pair;
    constexpr std::size_t kBytes = 24 * 1024 * 1024;
    std::vector<std::byte> sent(kBytes);
    for (std::size_t index = 0; index < kBytes; ++index) {
        sent[index] = static_cast<std::byte>(index * 2654435761U >> 13);
    }
    std::vector<std::byte> received(kBytes);
    spawn([&] { EXPECT_TRUE(loop_->send_all(pair.near.get(), sent, now_us() + 20'000'000)); });
    spawn([&] {
        std::size_t offset = 0;
        while (offset < kBytes) {
            const auto bytes =
                loop_->recv(pair.far.get(), std::span(received).subspan(offset), kNever);
            ASSERT_TRUE(bytes.has_value());
            ASSERT_GT(*bytes, 0U);
            offset += *bytes;
        }
    });
    run();
    EXPECT_TRUE(sent == received);
}

TEST_P(OpsTest, SendThatNobodyReadsTimesOut) {
    const SocketPair pair;
    const std::vector<std::byte> much(16 * 1024 * 1024);
    spawn([&] {
        const Result<void> sent = loop_->send_all(pair.near.get(), much, now_us() + 5'000);
        ASSERT_FALSE(sent.has_value());
        EXPECT_EQ(sent.error().code, Errc::kTimeout);
    });
    run();
}

TEST_P(OpsTest, MessagesCarryDescriptors) {
    const SocketPair pair;
    const UniqueFd event(::eventfd(7, EFD_CLOEXEC));
    spawn([&] {
        char letter = 'm';
        iovec part{.iov_base = &letter, .iov_len = 1};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        const int fd = event.get();
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
        EXPECT_EQ(loop_->sendmsg(pair.near.get(), message, kNever).value_or(0), 1U);
    });
    spawn([&] {
        char letter = 0;
        iovec part{.iov_base = &letter, .iov_len = 1};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        ASSERT_EQ(loop_->recvmsg(pair.far.get(), message, kNever).value_or(0), 1U);
        EXPECT_EQ(letter, 'm');
        const cmsghdr* header = CMSG_FIRSTHDR(&message);
        ASSERT_NE(header, nullptr);
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
        const UniqueFd received(fd);
        EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
        std::uint64_t value = 0;
        ASSERT_EQ(::read(fd, &value, sizeof value), 8);
        EXPECT_EQ(value, 7U);
    });
    run();
}

TEST_P(OpsTest, ReadsAndWritesFilesAtOffsets) {
    const UniqueFd file(::memfd_create("ops", MFD_CLOEXEC));
    spawn([&] {
        EXPECT_EQ(loop_->write(file.get(), bytes_of("0123456789"), 0, kNever).value_or(0), 10U);
        EXPECT_EQ(loop_->write(file.get(), bytes_of("XY"), 4, kNever).value_or(0), 2U);
        std::array<std::byte, 4> buffer{};
        EXPECT_EQ(loop_->read(file.get(), buffer, 3, kNever).value_or(0), 4U);
        EXPECT_EQ(std::memcmp(buffer.data(), "3XY6", 4), 0);
        EXPECT_EQ(loop_->read(file.get(), buffer, 10, kNever).value_or(9), 0U);
    });
    run();
}

// O_NONBLOCK makes io_uring answer EAGAIN instead of waiting.
TEST_P(OpsTest, WaitsOnNonBlockingDescriptorsToo) {
    const PipePair pipe(O_CLOEXEC | O_NONBLOCK);
    std::string order;
    spawn([&] {
        std::array<std::byte, 8> buffer{};
        EXPECT_EQ(loop_->read(pipe.read_end.get(), buffer, kNoOffset, kNever).value_or(0), 2U);
        order += 'r';
        const auto nothing = loop_->read(pipe.read_end.get(), buffer, kNoOffset, now_us() + 2'000);
        ASSERT_FALSE(nothing.has_value());
        EXPECT_EQ(nothing.error().code, Errc::kTimeout);
    });
    spawn([&] {
        EXPECT_TRUE(loop_->sleep_until(now_us() + 1'000));
        order += 'w';
        const auto written = loop_->write(pipe.write_end.get(), bytes_of("ok"), kNoOffset, kNever);
        EXPECT_EQ(written.value_or(0), 2U);
    });
    run();
    EXPECT_EQ(order, "wr");
}

TEST_P(OpsTest, PollSaysWhatIsSet) {
    const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
    spawn([&] {
        EXPECT_EQ(loop_->poll(event.get(), POLLOUT, kNever).value_or(0), unsigned{POLLOUT});
        const auto nothing = loop_->poll(event.get(), POLLIN, now_us() + 1'000);
        ASSERT_FALSE(nothing.has_value());
        EXPECT_EQ(nothing.error().code, Errc::kTimeout);
        spawn([&] {
            const std::uint64_t one = 1;
            EXPECT_EQ(::write(event.get(), &one, sizeof one), 8);
        });
        EXPECT_EQ(loop_->poll(event.get(), POLLIN, kNever).value_or(0), unsigned{POLLIN});
    });
    run();
}

TEST_P(OpsTest, ConnectsOrSaysWhyNot) {
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t address_bytes = sizeof address;
    auto& generic = reinterpret_cast<sockaddr&>(address);
    ASSERT_EQ(::bind(listener.get(), &generic, sizeof address), 0);
    ASSERT_EQ(::getsockname(listener.get(), &generic, &address_bytes), 0);
    spawn([&] {
        UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const Result<void> refused =
            loop_->connect(client.get(), generic, address_bytes, now_us() + 1'000'000);
        ASSERT_FALSE(refused.has_value());
        EXPECT_EQ(refused.error().sys_errno, ECONNREFUSED);
        ASSERT_EQ(::listen(listener.get(), 4), 0);
        client.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        EXPECT_TRUE(loop_->connect(client.get(), generic, address_bytes, now_us() + 1'000'000));
    });
    run();
}

TEST_P(OpsTest, NotificationsDuringAnOpAreKeptForTheNextPark) {
    const SocketPair pair;
    const fiber::FiberId receiver = spawn([&] {
        std::array<std::byte, 8> buffer{};
        EXPECT_EQ(loop_->recv(pair.far.get(), buffer, kNever).value_or(0), 1U);
        EXPECT_TRUE(loop_->park_until(now_us() + 5'000'000)) << "the notification was lost";
    });
    spawn([&] {
        loop_->scheduler().unpark(receiver);
        loop_->scheduler().yield();
        EXPECT_TRUE(loop_->send_all(pair.near.get(), bytes_of("x"), kNever));
    });
    run();
}

}  // namespace
}  // namespace hako::ring
