#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>

#include <gtest/gtest.h>
#include <hako/client.hpp>

#include "tests/unit/client/scripted_engine.h"

namespace hako::client_test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

std::size_t open_fd_count() {
    std::size_t count = 0;
    DIR* folder = ::opendir("/proc/self/fd");
    while (::readdir(folder) != nullptr) {
        ++count;
    }
    ::closedir(folder);
    return count;
}

/// Every test ends with as many descriptors as it began with.
class ClientTest : public testing::Test {
protected:
    void SetUp() override { fd_count_ = open_fd_count(); }
    void TearDown() override { EXPECT_EQ(open_fd_count(), fd_count_); }

private:
    std::size_t fd_count_ = 0;
};

/// The code with which `work` fails, or OK.
template <typename Work>
int code_of(Work&& work) {
    try {
        work();
    } catch (const ClientError& error) {
        return error.code();
    }
    return HAKO_CLIENT_OK;
}

template <typename Work>
std::string text_of(Work&& work) {
    try {
        work();
    } catch (const ClientError& error) {
        return error.what();
    }
    return "";
}

/// Waits until the client has gone, without reading what it sends.
void await_hangup(int fd) {
    pollfd waited{.fd = fd, .events = POLLRDHUP, .revents = 0};
    (void)::poll(&waited, 1, -1);
}

void echo_until_closed(int fd) {
    for (;;) {
        const Frame frame = read_frame(fd);
        if (frame.header.magic == 0 ||
            !write_all(
                fd,
                result_bytes({.correlation = frame.header.correlation, .payload = frame.payload})
            )) {
            return;
        }
    }
}

TEST_F(ClientTest, InvokeSendsTheFrameOfTheProtocol) {
    Frame seen;
    ScriptedEngine engine([&seen](int fd) {
        seen = read_frame(fd);
        (void)write_all(fd, result_bytes({.correlation = seen.header.correlation}));
    });
    Client client = Client::adopt(engine.take_client_fd());
    const InvokeOptions options{
        .qualifier = "live",
        .client_context = R"({"custom":{}})",
        .type = HAKO_CLIENT_REQUEST_RESPONSE,
        .tail = true,
    };
    EXPECT_TRUE(client.invoke("resize", R"({"a":1})", options).ok());
    engine.join();
    EXPECT_EQ(seen.header.magic, wire::kFrameMagic);
    EXPECT_EQ(seen.header.type, wire::FrameType::kInvoke);
    EXPECT_FALSE(wire::check_header(seen.header, true).has_value());
    EXPECT_EQ(seen.payload, R"({"a":1})");
    const auto decoded = wire::decode_invoke(seen.meta);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->name, "resize");
    EXPECT_EQ(decoded->qualifier, "live");
    EXPECT_EQ(decoded->client_context, R"({"custom":{}})");
    EXPECT_EQ(decoded->log_type, wire::LogType::kTail);
    EXPECT_EQ(decoded->invocation_type, wire::InvocationType::kRequestResponse);
}

TEST_F(ClientTest, AnswerCarriesEveryField) {
    ScriptedEngine engine([](int fd) {
        const Frame frame = read_frame(fd);
        (void)write_all(
            fd,
            result_bytes(
                {.correlation = frame.header.correlation,
                 .payload = R"({"errorMessage":"no"})",
                 .flags = wire::kFlagFunctionError,
                 .version = "7",
                 .error_code = "Unhandled",
                 .log_tail = "START\nEND\n"}
            )
        );
    });
    Client client = Client::adopt(engine.take_client_fd());
    const Answer answer = client.invoke("resize", "{}");
    EXPECT_EQ(answer.status(), 200U);
    EXPECT_TRUE(answer.function_error());
    EXPECT_FALSE(answer.ok());
    EXPECT_EQ(answer.payload(), R"({"errorMessage":"no"})");
    EXPECT_EQ(answer.version(), "7");
    EXPECT_EQ(answer.error_code(), "Unhandled");
    EXPECT_EQ(answer.log_tail(), "START\nEND\n");
    EXPECT_EQ(answer.request_id(), kRequestId);
    EXPECT_EQ(answer.memory_mib(), 128U);
    EXPECT_EQ(answer.duration(), microseconds(1234));
    EXPECT_EQ(answer.billed(), microseconds(100000));
    EXPECT_EQ(answer.init(), microseconds(2500));
    EXPECT_EQ(answer.cpu(), microseconds(900));
    EXPECT_EQ(answer.memory_peak_bytes(), 7U << 20U);
}

TEST_F(ClientTest, ReadsAnAnswerThatComesByteByByte) {
    ScriptedEngine engine([](int fd) {
        const Frame frame = read_frame(fd);
        const std::string bytes =
            result_bytes({.correlation = frame.header.correlation, .payload = "[1,2,3]"});
        for (const char& byte : bytes) {
            (void)write_all(fd, {&byte, 1});
        }
    });
    Client client = Client::adopt(engine.take_client_fd());
    client.set_timeout(milliseconds(20000));
    EXPECT_EQ(client.invoke("f", "{}").payload(), "[1,2,3]");
}

TEST_F(ClientTest, BatchLeavesInOneSendAndAnswersMayComeInAnyOrder) {
    constexpr std::size_t kCount = 32;
    std::size_t first_read_bytes = 0;
    ScriptedEngine engine([&first_read_bytes](int fd) {
        std::vector<char> bytes(1 << 20);
        const ssize_t peeked = ::recv(fd, bytes.data(), bytes.size(), MSG_PEEK);
        first_read_bytes = static_cast<std::size_t>(peeked);
        std::vector<Frame> frames(kCount);
        for (Frame& frame : frames) {
            frame = read_frame(fd);
        }
        std::string answers;
        for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) {
            answers +=
                result_bytes({.correlation = frame->header.correlation, .payload = frame->payload});
        }
        (void)write_all(fd, answers);
    });
    Client client = Client::adopt(engine.take_client_fd());
    std::vector<std::uint64_t> sent;
    for (std::size_t i = 0; i < kCount; ++i) {
        sent.push_back(client.submit("f", std::to_string(i)));
    }
    EXPECT_EQ(client.in_flight(), kCount);
    for (std::size_t i = kCount; i-- > 0;) {
        const Answer answer = client.receive();
        EXPECT_EQ(answer.correlation(), sent[i]);
        EXPECT_EQ(answer.payload(), std::to_string(i));
    }
    EXPECT_EQ(client.in_flight(), 0U);
    engine.join();
    // 41 bytes of header, meta data and name each, then the number: 10 of one digit, 22 of two.
    EXPECT_EQ(first_read_bytes, kCount * 41 + 10 + 44);
}

TEST_F(ClientTest, CarriesSixMebibytesBothWays) {
    ScriptedEngine engine(echo_until_closed);
    std::string payload(wire::kInvokePayloadBytesMax, 'x');
    for (std::size_t i = 0; i < payload.size(); i += 4096) {
        payload[i] = static_cast<char>('a' + (i / 4096) % 26);
    }
    {
        Client client = Client::adopt(engine.take_client_fd());
        EXPECT_EQ(client.invoke("f", payload).payload(), payload);
        EXPECT_EQ(client.invoke("f", "1").payload(), "1");
        EXPECT_EQ(client.invoke("f", payload).payload(), payload);
    }
}

TEST_F(ClientTest, MixesSizesInAPipeline) {
    ScriptedEngine engine(echo_until_closed);
    const std::array<std::size_t, 7> sizes{1, 40000, 2, 300000, 32768, 32769, 3};
    Client client = Client::adopt(engine.take_client_fd());
    for (int round = 0; round < 5; ++round) {
        for (const std::size_t bytes : sizes) {
            (void)client.submit("f", std::string(bytes, static_cast<char>('a' + round)));
        }
        for (const std::size_t bytes : sizes) {
            EXPECT_EQ(
                client.receive().payload(), std::string(bytes, static_cast<char>('a' + round))
            );
        }
    }
    client.shutdown();
}

// A client that only submits fills both directions: the engine stops reading when it cannot write.
TEST_F(ClientTest, SubmittingWithoutReceivingDoesNotDeadlock) {
    constexpr std::uint64_t kCount = 20000;
    ScriptedEngine engine(echo_until_closed);
    Client client = Client::adopt(engine.take_client_fd());
    const std::string payload(200, 'p');
    // Large, so that there would be room in the buffer if it were moved away.
    const std::string large(150000, 'v');
    (void)client.submit("f", large);
    const std::string_view first = client.receive().payload();
    for (std::uint64_t i = 0; i < kCount; ++i) {
        (void)client.submit("f", payload);
    }
    EXPECT_TRUE(first == large);  // a view outlives whatever a sender had to read
    for (std::uint64_t i = 0; i < kCount; ++i) {
        ASSERT_EQ(client.receive().correlation(), i + 2);
    }
    client.shutdown();
}

TEST_F(ClientTest, OneThreadSubmitsWhileAnotherReceives) {
    constexpr std::uint64_t kCount = 20000;
    ScriptedEngine engine(echo_until_closed);
    Client client = Client::adopt(engine.take_client_fd());
    std::thread sender([&client]() {
        for (std::uint64_t i = 0; i < kCount; ++i) {
            (void)client.submit("f", "{\"padding\":\"0123456789012345678901234567890123456789\"}");
            if (i % 16 == 15) {
                client.flush();
            }
        }
        client.flush();
    });
    for (std::uint64_t i = 0; i < kCount; ++i) {
        ASSERT_EQ(client.receive().correlation(), i + 1);
    }
    sender.join();
    client.shutdown();
}

TEST_F(ClientTest, InvokeKeepsTheAnswersOfEarlierSubmits) {
    ScriptedEngine engine(echo_until_closed);
    Client client = Client::adopt(engine.take_client_fd());
    const std::uint64_t first = client.submit("f", "1");
    const std::uint64_t second = client.submit("f", "2");
    EXPECT_EQ(client.invoke("f", "3").payload(), "3");
    const Answer kept = client.receive();
    EXPECT_EQ(kept.correlation(), first);
    EXPECT_EQ(kept.payload(), "1");
    EXPECT_EQ(client.receive().correlation(), second);
    EXPECT_EQ(client.in_flight(), 0U);
    client.shutdown();
}

TEST_F(ClientTest, LateAnswerOfATimedOutInvokeIsDropped) {
    ScriptedEngine engine([](int fd) {
        const Frame late = read_frame(fd);
        const Frame second = read_frame(fd);  // only sent once the first call gave up
        (void)write_all(
            fd, result_bytes({.correlation = late.header.correlation, .payload = "\"late\""})
        );
        (void)write_all(
            fd, result_bytes({.correlation = second.header.correlation, .payload = "\"good\""})
        );
    });
    Client client = Client::adopt(engine.take_client_fd());
    client.set_timeout(milliseconds(30));
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(code_of([&client]() { (void)client.invoke("f", "{}"); }), HAKO_CLIENT_ETIMEOUT);
    EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(29));
    EXPECT_EQ(client.in_flight(), 0U);
    client.set_timeout(microseconds(-1));
    (void)client.submit("f", "{}");
    EXPECT_EQ(client.receive().payload(), "\"good\"");
}

TEST_F(ClientTest, TimeoutCountsTheWholeCallNotEachRead) {
    ScriptedEngine engine([](int fd) {
        const Frame frame = read_frame(fd);
        const std::string bytes = result_bytes({.correlation = frame.header.correlation});
        // A byte at a time for ever: each read succeeds, the frame never completes.
        std::size_t at = 0;
        while (at + 1 < bytes.size() && write_all(fd, {&bytes[at], 1})) {
            ++at;
        }
        (void)read_frame(fd);
    });
    Client client = Client::adopt(engine.take_client_fd());
    client.set_timeout(milliseconds(50));
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(code_of([&client]() { (void)client.invoke("f", "{}"); }), HAKO_CLIENT_ETIMEOUT);
    EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(5000));
    client.shutdown();
}

TEST_F(ClientTest, ZeroTimeoutNeverWaits) {
    ScriptedEngine engine([](int fd) { (void)read_frame(fd); });
    Client client = Client::adopt(engine.take_client_fd());
    client.set_timeout(microseconds(0));
    EXPECT_EQ(code_of([&client]() { (void)client.receive(); }), HAKO_CLIENT_ETIMEOUT);
    client.shutdown();
}

TEST_F(ClientTest, SendTimesOutWhenTheEngineDoesNotRead) {
    ScriptedEngine engine([](int fd) {
        char byte = 0;
        (void)::recv(fd, &byte, 1, MSG_PEEK);
        await_hangup(fd);
    });
    Client client = Client::adopt(engine.take_client_fd());
    client.set_timeout(milliseconds(30));
    const std::string payload(4 << 20, 'x');
    EXPECT_EQ(code_of([&]() { (void)client.submit("f", payload); }), HAKO_CLIENT_ETIMEOUT);
    // The frame was cut short, so nothing more can be said on this connection.
    EXPECT_EQ(code_of([&]() { (void)client.submit("f", "{}"); }), HAKO_CLIENT_ECLOSED);
    client.shutdown();
}

TEST_F(ClientTest, EngineClosingInTheMiddleOfAFrameIsClosed) {
    ScriptedEngine engine([](int fd) {
        const Frame frame = read_frame(fd);
        const std::string bytes =
            result_bytes({.correlation = frame.header.correlation, .payload = "[1,2,3]"});
        (void)write_all(fd, std::string_view(bytes).substr(0, bytes.size() - 3));
    });
    Client client = Client::adopt(engine.take_client_fd());
    EXPECT_EQ(
        text_of([&client]() { (void)client.invoke("f", "{}"); }),
        "the engine closed the connection in the middle of a frame"
    );
    EXPECT_EQ(code_of([&client]() { (void)client.invoke("f", "{}"); }), HAKO_CLIENT_ECLOSED);
    EXPECT_EQ(code_of([&client]() { (void)client.ping(); }), HAKO_CLIENT_ECLOSED);
}

TEST_F(ClientTest, AnswersSentBeforeTheEndAreStillDelivered) {
    ScriptedEngine engine([](int fd) {
        const Frame frame = read_frame(fd);
        (void
        )write_all(fd, result_bytes({.correlation = frame.header.correlation, .payload = "1"}));
    });
    Client client = Client::adopt(engine.take_client_fd());
    (void)client.submit("f", "{}");
    client.flush();
    engine.join();
    (void)client.submit("f", "{}");
    EXPECT_EQ(client.receive().payload(), "1");
    EXPECT_EQ(code_of([&client]() { (void)client.receive(); }), HAKO_CLIENT_ECLOSED);
}

TEST_F(ClientTest, ErrorFrameGivesTheEnginesReason) {
    ScriptedEngine engine([](int fd) {
        const Frame frame = read_frame(fd);
        constexpr std::string_view kReason =
            R"({"Type":"User","message":"meta_bytes: at most 65536"})";
        (void)write_all(
            fd,
            frame_bytes(
                {.type = wire::FrameType::kError,
                 .correlation = frame.header.correlation,
                 .payload_bytes = static_cast<std::uint32_t>(kReason.size()),
                 .status = 400},
                "",
                kReason
            )
        );
    });
    Client client = Client::adopt(engine.take_client_fd());
    const std::string text = text_of([&client]() { (void)client.invoke("f", "{}"); });
    EXPECT_NE(text.find("meta_bytes: at most 65536"), std::string::npos) << text;
    EXPECT_EQ(code_of([&client]() { (void)client.receive(); }), HAKO_CLIENT_ECLOSED);
}

// The engine refuses at the header and closes while the client is still sending 6 MiB.
TEST_F(ClientTest, ErrorFrameIsReportedAlsoWhenSendingBreaks) {
    ScriptedEngine engine([](int fd) {
        std::array<char, 32> header{};
        (void)::recv(fd, header.data(), header.size(), MSG_WAITALL);
        (void)write_all(
            fd, frame_bytes({.type = wire::FrameType::kError, .payload_bytes = 6}, "", "\"nope\"")
        );
    });
    Client client = Client::adopt(engine.take_client_fd());
    const std::string payload(wire::kInvokePayloadBytesMax, 'x');
    const std::string text = text_of([&]() { (void)client.invoke("f", payload); });
    EXPECT_EQ(text, "the engine refused: \"nope\"");
}

TEST_F(ClientTest, RefusesGarbage) {
    wire::FrameHeader good{.type = wire::FrameType::kPong, .correlation = 1};
    struct Case {
        std::string bytes;
        std::string_view text;
    };
    auto changed = [&good](auto&& change) {
        wire::FrameHeader header = good;
        change(header);
        return frame_bytes(header, "", "");
    };
    const std::vector<Case> cases = {
        {"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "magic"},
        {changed([](auto& header) { header.reserved = 1; }), "reserved"},
        {changed([](auto& header) { header.meta_bytes = 65537; }), "meta_bytes"},
        {changed([](auto& header) { header.payload_bytes = 52428801; }), "payload_bytes"},
        {changed([](auto& header) { header.type = wire::FrameType::kInvoke; }), "type"},
        {changed([](auto& header) { header.type = static_cast<wire::FrameType>(99); }), "type"},
        {changed([](auto& header) { header.type = wire::FrameType::kInvokeResult; }),
         "meta data of InvokeResult"},
    };
    for (const Case& garbage : cases) {
        ScriptedEngine engine([&garbage](int fd) {
            (void)read_frame(fd);
            (void)write_all(fd, garbage.bytes);
        });
        Client client = Client::adopt(engine.take_client_fd());
        hako_client_answer answer;
        hako_client_error error{};
        (void)client.submit("f", "{}");
        EXPECT_EQ(hako_client_receive(client.handle(), &answer, &error), HAKO_CLIENT_EPROTOCOL);
        EXPECT_NE(std::string_view(error.text).find(garbage.text), std::string_view::npos)
            << error.text;
    }
}

TEST_F(ClientTest, AnswerOfAnotherTypeIsAProtocolError) {
    ScriptedEngine engine([](int fd) {
        const Frame frame = read_frame(fd);
        (void)write_all(fd, control_result_bytes(frame.header.correlation, 200, "", "{}"));
    });
    Client client = Client::adopt(engine.take_client_fd());
    EXPECT_EQ(code_of([&client]() { (void)client.ping(); }), HAKO_CLIENT_EPROTOCOL);
}

TEST_F(ClientTest, ControlCarriesOperationJsonAndPackage) {
    Frame seen;
    ScriptedEngine engine([&seen](int fd) {
        seen = read_frame(fd);
        (void)write_all(
            fd,
            control_result_bytes(
                seen.header.correlation, 409, "ResourceConflictException", R"({"Type":"User"})"
            )
        );
    });
    Client client = Client::adopt(engine.take_client_fd());
    const std::string package(1 << 20, 'z');
    const Answer answer = client.control("CreateFunction", R"({"FunctionName":"f"})", package);
    EXPECT_EQ(answer.status(), 409U);
    EXPECT_EQ(answer.error_code(), "ResourceConflictException");
    EXPECT_EQ(answer.payload(), R"({"Type":"User"})");
    engine.join();
    const auto decoded = wire::decode_control(seen.meta);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->operation, "CreateFunction");
    EXPECT_EQ(decoded->json, R"({"FunctionName":"f"})");
    EXPECT_EQ(seen.payload, package);
}

TEST_F(ClientTest, PingMeasuresARoundTrip) {
    ScriptedEngine engine([](int fd) {
        const Frame frame = read_frame(fd);
        EXPECT_EQ(frame.header.type, wire::FrameType::kPing);
        (void)write_all(
            fd,
            frame_bytes(
                {.type = wire::FrameType::kPong, .correlation = frame.header.correlation}, "", ""
            )
        );
    });
    Client client = Client::adopt(engine.take_client_fd());
    EXPECT_GE(client.ping(), microseconds(0));
}

TEST_F(ClientTest, ArgumentsOutOfRangeNameTheFieldAndSendNothing) {
    ScriptedEngine engine([](int fd) {
        const Frame frame = read_frame(fd);
        EXPECT_EQ(frame.header.type, wire::FrameType::kPing) << "the first thing that is sent";
        (void)write_all(
            fd,
            frame_bytes(
                {.type = wire::FrameType::kPong, .correlation = frame.header.correlation}, "", ""
            )
        );
    });
    Client client = Client::adopt(engine.take_client_fd());
    const std::string long_name(257, 'n');
    const std::string long_context(3584, 'c');
    const std::string big(52428801, 'b');
    const std::string long_json(65536, 'j');
    auto refused = [](auto&& work, std::string_view field) {
        const std::string text = text_of(work);
        EXPECT_EQ(text.substr(0, field.size()), field);
        EXPECT_EQ(code_of(work), HAKO_CLIENT_EINVALID);
    };
    refused([&]() { (void)client.invoke("", "{}"); }, "function: ");
    refused([&]() { (void)client.invoke(long_name, "{}"); }, "function: ");
    refused([&]() { (void)client.submit("f", "{}", {.qualifier = long_name}); }, "qualifier: ");
    refused(
        [&]() { (void)client.submit("f", "{}", {.client_context = long_context}); },
        "client_context: "
    );
    refused([&]() { (void)client.submit("f", "{}", {.type = 3}); }, "type: ");
    refused([&]() { (void)client.submit("f", big); }, "payload: ");
    refused([&]() { (void)client.control("", "{}"); }, "operation: ");
    refused([&]() { (void)client.control("ListFunctions", long_json); }, "request: ");
    (void)client.ping();
}

TEST_F(ClientTest, ShutdownWakesAWaitingReceiver) {
    ScriptedEngine engine([](int fd) { (void)read_frame(fd); });
    Client client = Client::adopt(engine.take_client_fd());
    int code = HAKO_CLIENT_OK;
    std::thread receiver([&]() { code = code_of([&client]() { (void)client.receive(); }); });
    client.shutdown();
    receiver.join();
    EXPECT_EQ(code, HAKO_CLIENT_ECLOSED);
}

TEST_F(ClientTest, ConnectSaysWhatIsWrongWithThePath) {
    EXPECT_EQ(
        text_of([]() { Client client("/nonexistent/hako.sock"); }),
        "/nonexistent/hako.sock: No such file or directory"
    );
    EXPECT_EQ(
        text_of([]() { Client client(std::string(108, 'x')); }),
        "socket path: must have 1 to 107 bytes"
    );
    EXPECT_EQ(hako_client_connect(nullptr, nullptr), nullptr);
}

TEST(ClientText, EveryCodeHasAText) {
    for (int code = HAKO_CLIENT_OK; code <= HAKO_CLIENT_ENOMEM; ++code) {
        EXPECT_STRNE(hako_client_strerror(code), "unknown code");
    }
    EXPECT_STREQ(hako_client_strerror(99), "unknown code");
    EXPECT_EQ(hako_client_text(nullptr).bytes, 0U);
    EXPECT_EQ(hako_client_text("abc").bytes, 3U);
}

}  // namespace
}  // namespace hako::client_test
