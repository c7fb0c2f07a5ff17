#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include <poll.h>
#include <sys/socket.h>

#include "bench/floors/child.h"
#include "bench/floors/floors.h"
#include "bench/floors/stream.h"
#include "bench/load/payload.h"
#include "bench/load/placement.h"
#include "engine/base/clock.h"

namespace hako::bench {
namespace {

using Bytes = std::vector<char>;
constexpr std::size_t kChunkBytes = std::size_t{64} * 1024;

int worker_loop(int fd, Bytes buffer) {
    while (read_all(fd, buffer)) {
        if (!write_all(fd, buffer)) {
            return 1;
        }
    }
    return 0;
}

/// Sends back whatever it reads: the batched worker.
int echo_loop(int fd) {
    Bytes chunk(kChunkBytes);
    for (;;) {
        const ssize_t got = recv(fd, chunk.data(), chunk.size(), 0);
        if (got <= 0) {
            return got == 0 ? 0 : 1;
        }
        if (!write_all(fd, std::span(chunk).first(static_cast<std::size_t>(got)))) {
            return 1;
        }
    }
}

/// Passes on whatever comes, both ways: the batched relay.
int forward_loop(int client_fd, int worker_fd) {
    Bytes chunk(kChunkBytes);
    std::array<pollfd, 2> polls{
        {{.fd = client_fd, .events = POLLIN, .revents = 0},
         {.fd = worker_fd, .events = POLLIN, .revents = 0}}
    };
    for (;;) {
        if (poll(polls.data(), polls.size(), -1) < 0) {
            return 1;
        }
        for (std::size_t index = 0; index < polls.size(); ++index) {
            if (polls.at(index).revents == 0) {
                continue;
            }
            const ssize_t got = recv(polls.at(index).fd, chunk.data(), chunk.size(), 0);
            if (got <= 0) {
                return got == 0 ? 0 : 1;
            }
            const int out_fd = polls.at(1 - index).fd;
            if (!write_all(out_fd, std::span(chunk).first(static_cast<std::size_t>(got)))) {
                return 1;
            }
        }
    }
}

/// Hands each message of the client to a free worker and answers in the order of completion.
class Relay {
public:
    Relay(int client_fd, std::vector<int> worker_fds, std::size_t message_bytes)
        : client_fd_(client_fd),
          message_bytes_(message_bytes),
          worker_fds_(std::move(worker_fds)),
          free_(worker_fds_),
          message_(message_bytes) {}

    int run() {
        for (;;) {
            std::vector<pollfd> polls{{.fd = client_fd_, .events = POLLIN, .revents = 0}};
            for (const int fd : worker_fds_) {
                polls.push_back({.fd = fd, .events = POLLIN, .revents = 0});
            }
            if (poll(polls.data(), polls.size(), -1) < 0) {
                return 1;
            }
            for (std::size_t index = 1; index < polls.size(); ++index) {
                if (polls[index].revents != 0 && !take_answer(polls[index].fd)) {
                    return 1;
                }
            }
            if (polls[0].revents != 0 && !take_requests()) {
                return 0;  // the client closed: the run is over
            }
            if (!hand_out() || !answer_client()) {
                return 1;
            }
        }
    }

private:
    bool take_answer(int fd) {
        if (!read_all(fd, message_)) {
            return false;
        }
        answers_.insert(answers_.end(), message_.begin(), message_.end());
        free_.push_back(fd);
        return true;
    }

    bool take_requests() {
        char chunk[kChunkBytes];
        const ssize_t got = recv(client_fd_, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (got > 0) {
            requests_.insert(requests_.end(), chunk, chunk + got);
        }
        return got > 0 || (got < 0 && errno == EAGAIN);
    }

    bool hand_out() {
        std::size_t begin = 0;
        while (!free_.empty() && requests_.size() - begin >= message_bytes_) {
            const int fd = free_.back();
            free_.pop_back();
            if (!write_all(fd, std::span(requests_).subspan(begin, message_bytes_))) {
                return false;
            }
            begin += message_bytes_;
        }
        requests_.erase(requests_.begin(), requests_.begin() + static_cast<std::ptrdiff_t>(begin));
        return true;
    }

    bool answer_client() {
        if (answers_.empty()) {
            return true;
        }
        const bool is_sent = write_all(client_fd_, answers_).has_value();
        answers_.clear();
        return is_sent;
    }

    int client_fd_;
    std::size_t message_bytes_;
    std::vector<int> worker_fds_;
    std::vector<int> free_;
    Bytes message_;
    Bytes requests_;
    Bytes answers_;
};

/// A message starts with its number so that answers may come in any order.
class Client {
public:
    Client(int fd, const PipelinePlan& plan)
        : fd_(fd), plan_(plan), start_ns_(plan.in_flight), in_(2 * window_bytes()) {
        for (std::uint32_t slot = 0; slot < plan.in_flight; ++slot) {
            free_.push_back(slot);
        }
    }

    Result<FloorOutcome> run() {
        const std::uint64_t total_count = plan_.warmup_count + plan_.count;
        while (answered_count_ < total_count) {
            const std::int64_t now = now_ns();
            Bytes out;
            while (!free_.empty() && issued_count_ < total_count) {
                append(out, now);
            }
            TRY(write_all(fd_, out));
            TRY(collect());
        }
        outcome_.seconds = static_cast<double>(now_ns() - measure_start_ns_) / 1e9;
        return outcome_;
    }

private:
    [[nodiscard]] std::size_t window_bytes() const {
        return std::size_t{plan_.in_flight} * plan_.payload_bytes;
    }

    void append(Bytes& out, std::int64_t now) {
        const std::uint64_t slot = free_.back();
        free_.pop_back();
        issued_count_ += 1;
        start_ns_[slot] = now;
        Bytes message(plan_.payload_bytes, static_cast<char>('a' + slot % 26));
        std::memcpy(message.data(), &slot, sizeof(slot));
        out.insert(out.end(), message.begin(), message.end());
    }

    Result<void> collect() {
        const ssize_t got = recv(fd_, in_.data() + in_bytes_, in_.size() - in_bytes_, 0);
        if (got <= 0) {
            return got == 0 ? fail(Errc::kClosed, "the relay closed") : fail_errno("recv");
        }
        const std::int64_t now = now_ns();
        in_bytes_ += static_cast<std::size_t>(got);
        std::size_t begin = 0;
        for (; in_bytes_ - begin >= plan_.payload_bytes; begin += plan_.payload_bytes) {
            TRY(take(in_.data() + begin, now));
        }
        std::memmove(in_.data(), in_.data() + begin, in_bytes_ - begin);
        in_bytes_ -= begin;
        return {};
    }

    Result<void> take(const char* message, std::int64_t now) {
        std::uint64_t slot = 0;
        std::memcpy(&slot, message, sizeof(slot));
        if (slot >= plan_.in_flight ||
            message[plan_.payload_bytes - 1] != static_cast<char>('a' + slot % 26)) {
            return fail(Errc::kProtocol, "the echo differs");
        }
        answered_count_ += 1;
        free_.push_back(static_cast<std::uint32_t>(slot));
        if (answered_count_ == plan_.warmup_count) {
            measure_start_ns_ = now;
        }
        if (answered_count_ > plan_.warmup_count) {
            outcome_.latency.record(now - start_ns_[slot]);
        }
        return {};
    }

    int fd_;
    const PipelinePlan& plan_;
    std::vector<std::int64_t> start_ns_;
    std::vector<std::uint32_t> free_;
    Bytes in_;
    std::size_t in_bytes_ = 0;
    FloorOutcome outcome_;
    std::uint64_t issued_count_ = 0;
    std::uint64_t answered_count_ = 0;
    std::int64_t measure_start_ns_ = now_ns();
};

}  // namespace

Result<FloorOutcome> run_pipeline(const PipelinePlan& plan) {
    if (plan.payload_bytes <= sizeof(std::uint64_t) || plan.in_flight < 1 ||
        plan.worker_count < 1 || (plan.is_batched && plan.worker_count != 1)) {
        return fail(
            Errc::kInvalid, "--payload-bytes: over 8; --workers: at least 1, 1 with --batched"
        );
    }
    TRY(pin_to_cpu(plan.cpu));
    TRY_ASSIGN(StreamPair client, StreamPair::make());
    std::vector<UniqueFd> relay_ends;
    std::vector<int> relay_fds;
    std::vector<Child> workers;
    for (std::uint32_t index = 0; index < plan.worker_count; ++index) {
        TRY_ASSIGN(StreamPair link, StreamPair::make());
        TRY_ASSIGN(Child worker, Child::make([&client, &link, &relay_ends, &plan] {
                       client = {};
                       link.near.reset();
                       relay_ends.clear();
                       return plan.is_batched
                                  ? echo_loop(link.far.get())
                                  : worker_loop(link.far.get(), Bytes(plan.payload_bytes));
                   }));
        workers.push_back(std::move(worker));
        relay_fds.push_back(link.near.get());
        relay_ends.push_back(std::move(link.near));
    }
    TRY_ASSIGN(Child relay, Child::make([&client, &relay_fds, &plan] {
                   client.near.reset();
                   if (plan.is_batched) {
                       return forward_loop(client.far.get(), relay_fds.front());
                   }
                   return Relay(client.far.get(), relay_fds, plan.payload_bytes).run();
               }));
    client.far.reset();
    relay_ends.clear();
    TRY_ASSIGN(FloorOutcome outcome, Client(client.near.get(), plan).run());
    client.near.reset();
    TRY(relay.join());
    for (Child& worker : workers) {
        TRY(worker.join());
    }
    return outcome;
}

}  // namespace hako::bench
