#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/ring/loop_fixture.h"

namespace hako::ring {
namespace {

/// A listening socket and what to connect to.
struct Listener {
    UniqueFd fd;
    sockaddr_storage address{};
    socklen_t address_bytes = 0;

    [[nodiscard]] const sockaddr& generic() const {
        return reinterpret_cast<const sockaddr&>(address);
    }
    [[nodiscard]] int family() const { return address.ss_family; }
};

class AcceptTest : public LoopTest {
protected:
    void SetUp() override {
        std::string name = ::testing::TempDir() + "hako-accept-XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        directory_ = name;
        LoopTest::SetUp();
    }
    void TearDown() override {
        LoopTest::TearDown();
        std::filesystem::remove_all(directory_);
    }
    static void start(Listener& listener, int extra_type) {
        const int type = SOCK_STREAM | SOCK_CLOEXEC | extra_type;
        listener.fd.reset(::socket(listener.family(), type, 0));
        auto* address = reinterpret_cast<sockaddr*>(&listener.address);
        ASSERT_EQ(::bind(listener.fd.get(), address, listener.address_bytes), 0);
        ASSERT_EQ(::listen(listener.fd.get(), 512), 0);
        listener.address_bytes = sizeof listener.address;
        ASSERT_EQ(::getsockname(listener.fd.get(), address, &listener.address_bytes), 0);
    }
    [[nodiscard]] Listener listen_unix(int extra_type = 0) const {
        Listener listener;
        auto& address = reinterpret_cast<sockaddr_un&>(listener.address);
        address.sun_family = AF_UNIX;
        const std::string path = directory_ + "/socket";
        EXPECT_LT(path.size(), sizeof address.sun_path);
        path.copy(address.sun_path, path.size());
        listener.address_bytes = sizeof address;
        start(listener, extra_type);
        return listener;
    }
    [[nodiscard]] static Listener listen_tcp(int extra_type = 0) {
        Listener listener;
        auto& address = reinterpret_cast<sockaddr_in&>(listener.address);
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        listener.address_bytes = sizeof address;
        start(listener, extra_type);
        return listener;
    }
    /// Serves one-byte echoes to 100 clients, then cancels the acceptor.
    void serve_hundred(const Listener& listener);

    std::string directory_;
};
HAKO_ON_BOTH_KERNELS(AcceptTest);

void AcceptTest::serve_hundred(const Listener& listener) {
    constexpr int kClients = 100;
    int answered = 0;
    const fiber::FiberId acceptor = spawn([&] {
        const Result<void> end = loop_->accept_loop(listener.fd.get(), [&](UniqueFd connection) {
            EXPECT_NE(::fcntl(connection.get(), F_GETFD) & FD_CLOEXEC, 0);
            spawn([this, connection = std::move(connection)] {
                std::array<std::byte, 1> letter{};
                EXPECT_EQ(loop_->recv(connection.get(), letter, kNever).value_or(0), 1U);
                EXPECT_TRUE(loop_->send_all(connection.get(), letter, kNever));
            });
        });
        EXPECT_EQ(end.error().code, Errc::kCancelled);
    });
    for (int index = 0; index < kClients; ++index) {
        spawn([&, index] {
            const UniqueFd client(::socket(listener.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
            ASSERT_TRUE(
                loop_->connect(client.get(), listener.generic(), listener.address_bytes, kNever)
            );
            std::array<std::byte, 1> letter{static_cast<std::byte>(index)};
            ASSERT_TRUE(loop_->send_all(client.get(), letter, kNever));
            ASSERT_EQ(loop_->recv(client.get(), letter, kNever).value_or(0), 1U);
            EXPECT_EQ(letter[0], static_cast<std::byte>(index));
            if (++answered == kClients) {
                loop_->scheduler().cancel(acceptor);
            }
        });
    }
    run();
    EXPECT_EQ(answered, kClients);
}

TEST_P(AcceptTest, ServesUnixClients) {
    serve_hundred(listen_unix());
}
TEST_P(AcceptTest, ServesTcpClients) {
    serve_hundred(listen_tcp());
}
TEST_P(AcceptTest, ServesFromANonBlockingListener) {
    serve_hundred(listen_tcp(SOCK_NONBLOCK));
}

TEST_P(AcceptTest, ReturnsRealErrors) {
    const UniqueFd not_listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    spawn([&] {
        const Result<void> end = loop_->accept_loop(not_listening.get(), [](UniqueFd) { FAIL(); });
        EXPECT_EQ(end.error().code, Errc::kSystem);
        EXPECT_EQ(end.error().sys_errno, EINVAL);
    });
    run();
}

TEST_P(AcceptTest, CancelledBeforeTheFirstConnection) {
    const Listener listener = listen_unix();
    const fiber::FiberId acceptor = spawn([&] {
        const Result<void> end = loop_->accept_loop(listener.fd.get(), [](UniqueFd) { FAIL(); });
        EXPECT_EQ(end.error().code, Errc::kCancelled);
    });
    EXPECT_TRUE(turn_until([&] { return loop_->counters().ops_in_flight == 1; }));
    loop_->scheduler().cancel(acceptor);
    run();
}

/// Lowers the descriptor limit to what is open now, for its life.
class NoMoreDescriptors {
public:
    NoMoreDescriptors() {
        EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &former_), 0);
        const int lowest_free = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        EXPECT_GE(lowest_free, 0);
        ::close(lowest_free);
        rlimit none{.rlim_cur = static_cast<rlim_t>(lowest_free), .rlim_max = former_.rlim_max};
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    }
    ~NoMoreDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &former_), 0); }
    NoMoreDescriptors(const NoMoreDescriptors&) = delete;
    NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;

private:
    rlimit former_{};
};

TEST_P(AcceptTest, SurvivesRunningOutOfDescriptors) {
    const Listener listener = listen_unix();
    std::vector<UniqueFd> clients(20);
    for (UniqueFd& client : clients) {
        client.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ASSERT_EQ(::connect(client.get(), &listener.generic(), listener.address_bytes), 0);
    }
    std::vector<UniqueFd> accepted;
    const fiber::FiberId acceptor = spawn([&] {
        const Result<void> end = loop_->accept_loop(listener.fd.get(), [&](UniqueFd connection) {
            accepted.push_back(std::move(connection));
        });
        EXPECT_EQ(end.error().code, Errc::kCancelled);
    });
    {
        const NoMoreDescriptors shortage;
        const std::uint64_t enters_before = loop_->counters().enters;
        const std::int64_t until_us = now_us() + 60'000;
        while (now_us() < until_us) {
            loop_->turn(until_us);
        }
        EXPECT_TRUE(accepted.empty());
        EXPECT_LT(loop_->counters().enters - enters_before, 60U) << "the shortage is spun on";
    }
    EXPECT_TRUE(turn_until([&] { return accepted.size() == clients.size(); }));
    loop_->scheduler().cancel(acceptor);
    run();
}

}  // namespace
}  // namespace hako::ring
