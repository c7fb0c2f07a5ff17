#include <memory>
#include <unordered_map>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "engine/gateway/frame/server.h"
#include "engine/registry/code_store.h"
#include "engine/registry/state_dir.h"
#include "engine/registry/store.h"
#include "tests/fuzz/fuzz.h"

// The frame socket itself: the engine's server on a real ring with a real registry behind it, and a
// client that sends any bytes in any pieces. The input is pieces: a byte says how to go on, then
// how many bytes. A second, slow reading of what was sent says which answers must come.

namespace {

using namespace hako;
using namespace hako::wire;

struct InlineRunner : registry::BlockingRunner {
    void run(std::move_only_function<void()>&& work) override { work(); }
};

template <typename T, typename E>
T must(std::expected<T, E> made) {
    ENSURE(made.has_value(), "the parts of an engine can be made");
    return std::move(*made);
}

/// An engine without a spawner: a function, if the input makes one, cannot start.
struct World {
    World()
        : state(must(registry::StateDir::open(fuzz::scratch_dir() + "/state"))),
          store(must(registry::Store::open(state.registry_path()))),
          code(state.code_fd(), state.path() + "/code"),
          functions(registry::Identity{}),
          ledger(must(meter::Ledger::open({.directory = state.path() + "/ledger"}))),
          logs(must(observe::FunctionLogs::make({.directory = state.path() + "/log"}))),
          loop(must(ring::Loop::make({.offload_threads = 1}))),
          link(*loop, UniqueFd(), {.on_gone = [](const spawner::Gone&) {}, .on_lost = [] {}}),
          manager(*loop, link, *logs, {}),
          invoker({*loop, functions, manager, *ledger, metrics}, {}),
          control(functions, *store, code, runner, {}),
          server(
              {.loop = *loop,
               .invoker = invoker,
               .control = control,
               .engine_status_json = [] { return std::string("{}"); }},
              {.frames_in_flight_max = 4}
          ) {
        invoker.on_recorded = [] {};
        address.sun_family = AF_UNIX;
        const std::string path = fuzz::scratch_dir() + "/socket";
        std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
        UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ENSURE(
            ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
                ::listen(listener.get(), 8) == 0,
            "a socket can be listened on"
        );
        ENSURE(server.serve(std::move(listener), false).has_value(), "the server starts");
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;
    ~World() {
        server.stop_accepting();
        while (loop->scheduler().live_count() > 0) {
            loop->turn(now_us() + 1'000);
        }
    }
    void turn() const { loop->turn(now_us()); }

    registry::StateDir state;
    std::unique_ptr<registry::Store> store;
    registry::CodeStore code;
    registry::Registry functions;
    std::unique_ptr<meter::Ledger> ledger;
    std::unique_ptr<observe::FunctionLogs> logs;
    observe::Metrics metrics;
    std::unique_ptr<ring::Loop> loop;
    InlineRunner runner;
    instance::SpawnerLink link;
    instance::Manager manager;
    instance::Invoker invoker;
    registry::ControlService control;
    gateway::FrameServer server;
    sockaddr_un address{};
};

FrameHeader header_at(std::string_view stream) {
    return read_header(std::span<const std::byte, kFrameHeaderBytes>(
        fuzz::bytes_of(stream.substr(0, kFrameHeaderBytes))
    ));
}

/// Answers by type and correlation number.
using Answers = std::unordered_map<std::string, int>;

std::string key_of(FrameType type, std::uint64_t correlation) {
    return std::to_string(static_cast<int>(type)) + ":" + std::to_string(correlation);
}

/// What has to come back for `stream`; stops where the server must.
Answers expected_answers(std::string_view stream) {
    Answers answers;
    while (stream.size() >= kFrameHeaderBytes) {
        const FrameHeader header = header_at(stream);
        if (check_header(header, true)) {
            const bool is_ours = header.magic == kFrameMagic;
            ++answers[key_of(FrameType::kError, is_ours ? header.correlation : 0)];
            break;
        }
        const std::size_t bytes =
            std::size_t{kFrameHeaderBytes} + header.meta_bytes + header.payload_bytes;
        if (stream.size() < bytes) {
            break;
        }
        const auto answer_type =
            static_cast<FrameType>(static_cast<std::uint16_t>(header.type) + 1);
        ++answers[key_of(answer_type, header.correlation)];
        stream.remove_prefix(bytes);
    }
    return answers;
}

void check_answer(const FrameHeader& header, std::string_view meta) {
    ENSURE(!check_header(header, false), "the engine sends good headers");
    if (header.type == FrameType::kInvokeResult) {
        ENSURE(decode_invoke_result(meta).has_value(), "the engine sends good meta data");
    }
    const bool is_answer = header.status >= 200 && header.status < 600;
    ENSURE(is_answer, "an answer has a status");
}

Answers parse_answers(std::string_view stream) {
    Answers answers;
    while (!stream.empty()) {
        ENSURE(stream.size() >= kFrameHeaderBytes, "the engine sends whole frames");
        const FrameHeader header = header_at(stream);
        const std::size_t bytes =
            std::size_t{kFrameHeaderBytes} + header.meta_bytes + header.payload_bytes;
        ENSURE(stream.size() >= bytes, "the engine sends whole frames");
        check_answer(header, stream.substr(kFrameHeaderBytes, header.meta_bytes));
        ++answers[key_of(header.type, header.correlation)];
        stream.remove_prefix(bytes);
    }
    return answers;
}

/// The client's end of one connection.
struct Client {
    explicit Client(const World& world) {
        fd.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const auto* address = reinterpret_cast<const sockaddr*>(&world.address);
        ENSURE(::connect(fd.get(), address, sizeof(world.address)) == 0, "the server listens");
    }
    void receive() {
        char buffer[16384];
        for (ssize_t got = 0; (got = ::recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;) {
            received.append(buffer, static_cast<std::size_t>(got));
        }
    }
    UniqueFd fd;
    std::string sent;
    std::string received;
};

/// Sends the pieces. False: the client has closed and wants no answers.
bool play(const World& world, Client& client, fuzz::Input& input) {
    while (!input.empty()) {
        const auto how = input.take<std::uint8_t>();
        if (how == 0xff) {
            client.fd.reset();
            return false;
        }
        const std::string_view piece = input.take_bytes(input.take<std::uint16_t>() % 2048);
        const ssize_t put = ::send(client.fd.get(), piece.data(), piece.size(), MSG_NOSIGNAL);
        if (put != static_cast<ssize_t>(piece.size())) {
            break;  // the server has hung up: the rest would not arrive
        }
        client.sent += piece;
        for (int turns = how % 4; turns > 0; --turns) {
            world.turn();
        }
        client.receive();
    }
    ENSURE(::shutdown(client.fd.get(), SHUT_WR) == 0 || errno == ENOTCONN, "no more is sent");
    return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    static World world;
    fuzz::Input input(data, bytes);
    Client client(world);
    const bool wants_answers = play(world, client, input);
    const std::int64_t give_up_us = now_us() + 20'000'000;
    // The first turns also accept the connection.
    for (int turns = 0; turns < 3 || world.server.connection_count() > 0; ++turns) {
        ENSURE(now_us() < give_up_us, "a connection whose client is done ends");
        world.loop->turn(turns < 3 ? now_us() : now_us() + 1'000);
        if (wants_answers) {
            client.receive();
        }
    }
    ENSURE(world.server.in_flight_count() == 0, "no request outlives its connection");
    if (wants_answers) {
        client.receive();
        ENSURE(
            parse_answers(client.received) == expected_answers(client.sent),
            "every frame has its answer, and nothing else has one"
        );
    }
    return 0;
}
