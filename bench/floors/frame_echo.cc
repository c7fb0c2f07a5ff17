// frame_echo: answers the frame protocol from one process, without any sandbox: what the protocol
// alone costs. It also proves that hako_load works: it can answer in reverse order and can spoil
// answers, which hako_load must notice. SIGTERM ends it.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/load/placement.h"
#include "bench/load/report.h"
#include "engine/base/unique_fd.h"
#include "engine/wire/frame.h"

namespace hako::bench {
namespace {

struct Settings {
    std::string socket_path;
    int cpu = -1;
    std::uint64_t corrupt_every = 0;  ///< spoil each n-th echo; 0: none
    std::uint32_t delay_ms = 0;       ///< sleep before each batch of answers
    bool announce = false;            ///< print "ready" once clients can connect
    bool reverse = false;             ///< answer what came in one read last to first
};

struct Client {
    UniqueFd fd;
    std::string in;
};

class FrameEcho {
public:
    explicit FrameEcho(const Settings& settings) : settings_(settings) {}

    Result<void> run() {
        TRY(open());
        for (;;) {
            epoll_event events[64];
            const int count = epoll_wait(epoll_.get(), events, 64, -1);
            if (count < 0) {
                return fail_errno("epoll_wait");
            }
            for (const epoll_event& event : std::span(events, static_cast<std::size_t>(count))) {
                if (event.data.fd == signals_.get()) {
                    return {};
                }
                TRY(handle(event.data.fd));
            }
        }
    }

private:
    Result<void> handle(int fd) {
        if (fd == listener_.get()) {
            return accept_client();
        }
        if (!serve(clients_.at(fd))) {
            clients_.erase(fd);
        }
        return {};
    }

    Result<void> open() {
        sigset_t stop;
        (void)sigemptyset(&stop);         // cannot fail
        (void)sigaddset(&stop, SIGTERM);  // cannot fail: a valid number
        (void)sigprocmask(SIG_BLOCK, &stop, nullptr);
        signals_ = UniqueFd(signalfd(-1, &stop, SFD_CLOEXEC));
        epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
        listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (settings_.socket_path.size() >= sizeof(address.sun_path)) {
            return fail(Errc::kInvalid, "--socket: at most 107 bytes");
        }
        std::memcpy(
            address.sun_path, settings_.socket_path.c_str(), settings_.socket_path.size() + 1
        );
        const auto* generic = reinterpret_cast<const sockaddr*>(&address);
        if (bind(listener_.get(), generic, sizeof(address)) != 0 ||
            listen(listener_.get(), 64) != 0) {
            return fail_errno("bind");
        }
        TRY(watch(signals_.get()));
        TRY(watch(listener_.get()));
        if (settings_.announce) {
            fmt::print("ready\n");
            (void)std::fflush(stdout);  // whoever waits sees the end of the stream instead
        }
        return {};
    }

    Result<void> watch(int fd) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
            return fail_errno("epoll_ctl");
        }
        return {};
    }

    Result<void> accept_client() {
        UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!fd) {
            return fail_errno("accept4");
        }
        TRY(watch(fd.get()));
        const int number = fd.get();
        clients_.emplace(number, Client{.fd = std::move(fd), .in = {}});
        return {};
    }

    /// Reads once and answers every whole frame; false ends the connection.
    bool serve(Client& client) {
        const std::size_t before_bytes = client.in.size();
        client.in.resize(before_bytes + kReadBytes);
        const ssize_t got = recv(client.fd.get(), client.in.data() + before_bytes, kReadBytes, 0);
        if (got <= 0) {
            return false;
        }
        client.in.resize(before_bytes + static_cast<std::size_t>(got));
        std::string_view rest = client.in;
        std::vector<std::string> answers;
        wire::FrameHeader header;
        while (rest.size() >= sizeof(header)) {
            std::memcpy(&header, rest.data(), sizeof(header));
            if (wire::check_header(header, true)) {
                return false;
            }
            const std::string_view body = rest.substr(sizeof(header));
            if (body.size() < std::size_t{header.meta_bytes} + header.payload_bytes) {
                break;
            }
            const std::string_view meta = body.substr(0, header.meta_bytes);
            const std::string_view payload = body.substr(meta.size(), header.payload_bytes);
            answers.push_back(answer(header, meta, payload));
            rest = body.substr(meta.size() + payload.size());
        }
        client.in.erase(0, client.in.size() - rest.size());
        return send_answers(client, answers);
    }

    bool send_answers(const Client& client, std::vector<std::string>& answers) {
        if (settings_.reverse) {
            std::ranges::reverse(answers);
        }
        if (settings_.delay_ms > 0) {
            (void)usleep(settings_.delay_ms * 1000);  // cut short by a signal: the run is over
        }
        std::string out;
        for (const std::string& one : answers) {
            out += one;
        }
        // A blocking send: the load generator always reads.
        for (std::size_t sent = 0; sent < out.size();) {
            const ssize_t took =
                send(client.fd.get(), out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
            if (took < 0) {
                return false;
            }
            sent += static_cast<std::size_t>(took);
        }
        return true;
    }

    std::string answer(
        const wire::FrameHeader& header, std::string_view meta, std::string_view payload
    ) {
        wire::FrameHeader head{.type = wire::FrameType::kPong, .status = 200};
        head.correlation = header.correlation;
        std::string result_meta;
        if (header.type == wire::FrameType::kInvoke) {
            head.type = wire::FrameType::kInvokeResult;
            wire::InvokeResultMeta result;
            if (const auto request = wire::decode_invoke(meta)) {
                result.init_us = is_first_call(request->name) ? 1 : 0;
            } else {
                head.status = 400;
            }
            result_meta.assign(reinterpret_cast<const char*>(&result), sizeof(result));
        } else if (header.type == wire::FrameType::kControl) {
            head.type = wire::FrameType::kControlResult;
            payload = "{}";
        }
        head.meta_bytes = static_cast<std::uint32_t>(result_meta.size());
        head.payload_bytes = static_cast<std::uint32_t>(payload.size());
        std::string out(reinterpret_cast<const char*>(&head), sizeof(head));
        out.append(result_meta).append(payload);
        answer_count_ += 1;
        if (settings_.corrupt_every > 0 && answer_count_ % settings_.corrupt_every == 0) {
            out[out.size() - 3] ^= 1;  // the last character inside the pad or the number
        }
        return out;
    }

    bool is_first_call(std::string_view name) {
        if (seen_names_.find(name) != seen_names_.end()) {
            return false;
        }
        seen_names_.emplace(name);
        return true;
    }

    static constexpr std::size_t kReadBytes = std::size_t{64} * 1024;

    const Settings& settings_;
    UniqueFd epoll_;
    UniqueFd signals_;
    UniqueFd listener_;
    std::map<int, Client> clients_;
    std::set<std::string, std::less<>> seen_names_;
    std::uint64_t answer_count_ = 0;
};

int run(int argc, char** argv) {
    Settings settings;
    CLI::App app{"Frame protocol echo server without sandboxes"};
    app.add_option("--socket", settings.socket_path, "Unix socket to listen on")->required();
    app.add_option("--cpu", settings.cpu, "processor to run on; -1: any");
    app.add_option("--corrupt-every", settings.corrupt_every, "spoil each n-th echo");
    app.add_option("--delay-ms", settings.delay_ms, "sleep before each batch of answers");
    app.add_flag("--announce", settings.announce, "print \"ready\" once clients can connect");
    app.add_flag("--reverse", settings.reverse, "answer each batch last to first");
    CLI11_PARSE(app, argc, argv);
    Result<void> outcome = pin_to_cpu(settings.cpu);
    if (outcome) {
        outcome = FrameEcho(settings).run();
    }
    if (!outcome) {
        print_error("frame_echo", outcome.error());
        return 2;
    }
    return 0;
}

}  // namespace
}  // namespace hako::bench

int main(int argc, char** argv) {
    return hako::bench::run(argc, argv);
}
