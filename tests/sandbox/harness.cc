#include "tests/sandbox/harness.h"

#include <algorithm>
#include <atomic>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/ensure.h"
#include "sandbox/cgroup.h"
#include "sandbox/packet.h"
#include "sandbox/syscalls.h"

namespace hako::sandbox::testing {

using namespace hako::spawner;

namespace {

constexpr int kPatienceMs = 20'000;

/// Emulated machines (tests/vm) are many times slower and say so; what is tested stays the same.
int time_scale() {
    static const char* const text = std::getenv("HAKO_TEST_TIME_SCALE");
    static const int scale = text == nullptr ? 1 : std::max(std::atoi(text), 1);
    return scale;
}

bool await_readable(int fd, int timeout_ms = kPatienceMs) {
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, timeout_ms * time_scale()) == 1;
}

}  // namespace

Sandbox::Sandbox(const Acquired& answer, std::array<UniqueFd, kAcquiredFdCount> fds)
    : id_(answer.sandbox_id), fds_(std::move(fds)) {
    auto mapping = Mapping::make_shared(fds_[kFdChannel].get(), HAKO_CHANNEL_BYTES);
    ENSURE(mapping.has_value(), "the channel cannot be mapped");
    mapping_ = std::move(*mapping);
}

hako_channel* Sandbox::channel() const {
    return reinterpret_cast<hako_channel*>(mapping_.data());
}

void Sandbox::post(std::string_view command) {
    hako_channel* header = channel();
    std::memcpy(mapping_.data() + HAKO_REQUEST_OFFSET, command.data(), command.size());
    header->event_bytes = static_cast<std::uint32_t>(command.size());
    header->request_kind = HAKO_REQUEST_INVOKE;
    std::atomic_ref(header->request_seq).store(++seq_, std::memory_order_release);
    ::syscall(SYS_futex, &header->request_seq, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

std::optional<std::string> Sandbox::ask(std::string_view command) {
    post(command);
    if (!await_readable(fds_[kFdDoorbell].get(), 10'000)) {
        return std::nullopt;
    }
    std::uint64_t rings = 0;
    ENSURE(::read(fds_[kFdDoorbell].get(), &rings, sizeof(rings)) == sizeof(rings), "doorbell");
    const char* response = reinterpret_cast<const char*>(mapping_.data()) + HAKO_RESPONSE_OFFSET;
    return std::string(response, channel()->response_bytes);
}

std::string Sandbox::read_log() {
    std::string text(65536, '\0');
    const ssize_t got = ::read(fds_[kFdLogPipe].get(), text.data(), text.size());
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return text;
}

std::string Sandbox::read_fd(AcquiredFd which) {
    std::string text(4096, '\0');
    const ssize_t got = ::pread(fds_[which].get(), text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return text;
}

Harness::Harness(std::vector<std::string> extra_options, std::string cgroup) {
    const char* spawner = std::getenv("HAKO_SPAWNER");
    const char* zygote = std::getenv("HAKO_PROBE_ZYGOTE");
    ENSURE(spawner != nullptr && zygote != nullptr, "run me from meson test");
    std::string dir_template = "/tmp/hako-sandbox-test-XXXXXX";
    ENSURE(::mkdtemp(dir_template.data()) != nullptr, "mkdtemp");
    dir_ = dir_template;
    static int serial = 0;
    cgroup_ = cgroup.empty()
                  ? "hako-test-" + std::to_string(::getpid()) + "-" + std::to_string(serial++)
                  : std::move(cgroup);
    code_dir_ = dir_ + "/code";
    code_id_ = std::string(kCodeIdBytes, 'a');
    std::filesystem::create_directories(code_dir_ + "/" + code_id_);
    std::ofstream(code_dir_ + "/" + code_id_ + "/hello.txt") << "hello from the code";
    std::array<int, 2> pair{};
    ENSURE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) == 0, "pair");
    std::vector<std::string> arguments = {
        spawner,
        "--engine-fd",
        "3",
        "--code-dir",
        code_dir_,
        "--cgroup",
        cgroup_,
        "--zygote",
        std::string("native=") + zygote
    };
    arguments.insert(arguments.end(), extra_options.begin(), extra_options.end());
    std::vector<char*> pointers;
    for (std::string& argument : arguments) {
        pointers.push_back(argument.data());
    }
    pointers.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGTERM);
        ::dup2(pair[1], 3);
        ::fcntl(3, F_SETFD, 0);
        sys::close_from(4);
        ::execv(spawner, pointers.data());
        ::_exit(127);
    }
    socket_.reset(pair[0]);
    ::close(pair[1]);
    pidfd_.reset(sys::pidfd_open(pid_));
}

Harness::~Harness() {
    (void)stop();
    std::error_code error;
    std::filesystem::remove_all(dir_, error);
}

std::optional<Harness::Packet> Harness::receive_any() {
    Packet packet;
    if (!await_readable(socket_.get())) {
        return std::nullopt;
    }
    auto got = receive_packet(socket_.get(), packet.bytes);
    if (!got || got->bytes == 0) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < got->fds_count; ++i) {
        packet.fds.push_back(std::move(got->fds[i]));
    }
    std::memcpy(&packet.op, packet.bytes.data(), sizeof(packet.op));
    if (packet.op == Op::kGone) {
        Gone gone;
        std::memcpy(&gone, packet.bytes.data(), sizeof(gone));
        ENSURE(!gone_.contains(gone.sandbox_id), "a second Gone for one sandbox");
        gone_[gone.sandbox_id] = gone;
    }
    return packet;
}

std::optional<Harness::Packet> Harness::receive(Op wanted) {
    for (;;) {
        auto packet = receive_any();
        if (!packet || packet->op == wanted) {
            return packet;
        }
    }
}

std::optional<Harness::Event> Harness::next_event() {
    for (;;) {
        const auto packet = receive_any();
        if (!packet) {
            return std::nullopt;
        }
        if (packet->op == Op::kGone) {
            Gone gone;
            std::memcpy(&gone, packet->bytes.data(), sizeof(gone));
            return Event{.sandbox_id = gone.sandbox_id, .gone = true};
        }
        if (packet->op == Op::kAcquired) {
            Acquired acquired;
            std::memcpy(&acquired, packet->bytes.data(), sizeof(acquired));
            return Event{.sandbox_id = acquired.sandbox_id, .gone = false};
        }
    }
}

Started Harness::await_started() {
    Started started{};
    started.protocol_version = 0;
    if (auto packet = receive(Op::kStarted)) {
        std::memcpy(&started, packet->bytes.data(), sizeof(started));
    }
    return started;
}

void Harness::send(const void* packet, std::size_t bytes) {
    (void)!::send(socket_.get(), packet, bytes, MSG_NOSIGNAL);
}

Acquire Harness::make_acquire(std::uint64_t ticket) const {
    Acquire request;
    request.ticket = ticket;
    request.memory_mib = 128;
    request.tmp_mib = 512;
    std::memcpy(request.code_id, code_id_.data(), kCodeIdBytes);
    return request;
}

std::optional<Sandbox> Harness::acquire(const Acquire& request) {
    send(request);
    auto packet = receive(Op::kAcquired);
    if (!packet) {
        return std::nullopt;
    }
    std::memcpy(&last_acquired, packet->bytes.data(), sizeof(last_acquired));
    if (last_acquired.sys_errno != 0) {
        return std::nullopt;
    }
    std::array<UniqueFd, kAcquiredFdCount> fds;
    std::size_t next = 0;
    for (std::uint32_t i = 0; i < kAcquiredFdCount; ++i) {
        if ((last_acquired.fds_mask & (1U << i)) != 0) {
            fds[i] = std::move(packet->fds.at(next++));
        }
    }
    return Sandbox(last_acquired, std::move(fds));
}

std::optional<Gone> Harness::await_gone(std::uint64_t sandbox_id) {
    while (!gone_.contains(sandbox_id)) {
        if (!receive(Op::kGone)) {
            return std::nullopt;
        }
    }
    return gone_[sandbox_id];
}

StatsAnswer Harness::stats() {
    send(StatsRequest{});
    StatsAnswer answer;
    if (auto packet = receive(Op::kStatsAnswer)) {
        std::memcpy(&answer, packet->bytes.data(), sizeof(answer));
    }
    return answer;
}

void Harness::fill_pool(std::uint32_t blanks, RuntimeKind kind) {
    PoolTarget target;
    target.runtime = kind;
    target.blanks_count = blanks;
    send(target);
    for (int round = 0; round < 2000 * time_scale(); ++round) {
        if (stats().blanks_count[static_cast<std::size_t>(kind)] >= blanks) {
            return;
        }
        (void)::poll(nullptr, 0, 2);  // asking again at once would keep the spawner from refilling
    }
    ENSURE(false, "the pool does not fill");
}

void Harness::destroy(std::uint64_t sandbox_id) {
    Destroy request;
    request.sandbox_id = sandbox_id;
    send(request);
}

int Harness::stop() {
    socket_.reset();
    return await_exit();
}

int Harness::await_exit() {
    if (pid_ < 0) {
        return -1;
    }
    if (!await_readable(pidfd_.get())) {
        kill_spawner();
        return -2;
    }
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

void Harness::kill_spawner() {
    (void)sys::pidfd_kill(pidfd_.get());
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
    socket_.reset();
}

std::vector<std::string> Harness::list_cgroups() const {
    std::vector<std::string> found;
    const auto mounts = find_cgroup_mounts();
    for (const auto& mount : mounts->mounts) {
        std::error_code error;
        for (const auto& entry :
             std::filesystem::directory_iterator(mount.path + "/" + cgroup_, error)) {
            if (entry.is_directory()) {
                found.push_back(entry.path());
            }
        }
        if (!error) {
            found.push_back(mount.path + "/" + cgroup_);
        }
    }
    return found;
}

std::string read_file(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

std::size_t count_sandbox_processes() {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        struct stat info{};
        const std::string name = entry.path().filename();
        if (name[0] < '0' || name[0] > '9' || ::stat((entry.path() / "task").c_str(), &info) != 0) {
            continue;
        }
        // Uid from status: the directory of a non-dumpable process belongs to root.
        const std::string status = read_file(entry.path() / "status");
        const std::size_t at = status.find("\nUid:\t");
        const unsigned long uid =
            at == std::string::npos ? 0 : std::strtoul(status.c_str() + at + 6, nullptr, 10);
        count += uid >= 0x70000000UL && uid < 0x70020000UL ? 1 : 0;
    }
    return count;
}

}  // namespace hako::sandbox::testing
