#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <hako/channel.h>

#include "engine/base/mapping.h"
#include "engine/base/unique_fd.h"
#include "engine/wire/spawner_protocol.h"

namespace hako::sandbox::testing {

/// The engine's view of one sandbox: talks to the probe inside over the channel.
class Sandbox {
public:
    Sandbox(const spawner::Acquired& answer, std::array<UniqueFd, spawner::kAcquiredFdCount> fds);

    [[nodiscard]] std::uint64_t id() const { return id_; }
    [[nodiscard]] int fd(spawner::AcquiredFd which) const { return fds_[which].get(); }
    [[nodiscard]] hako_channel* channel() const;
    /// Posts `command` to the probe without waiting for its answer.
    void post(std::string_view command);
    /// The probe's answer to `command`; nothing if none comes within ten seconds
    /// (HAKO_TEST_TIME_SCALE times that).
    std::optional<std::string> ask(std::string_view command);
    /// What was written to the log pipe so far.
    std::string read_log();
    std::string read_fd(spawner::AcquiredFd which);

private:
    std::uint64_t id_;
    std::array<UniqueFd, spawner::kAcquiredFdCount> fds_;
    Mapping mapping_;
    std::uint32_t seq_ = 0;
};

/// Runs a real spawner with the probe zygote; this process plays the engine.
class Harness {
public:
    explicit Harness(std::vector<std::string> extra_options = {}, std::string cgroup = "");
    ~Harness();
    Harness(const Harness&) = delete;
    Harness& operator=(const Harness&) = delete;

    /// Waits for Started.
    spawner::Started await_started();
    void send(const void* packet, std::size_t bytes);
    template <typename T>
    void send(const T& packet) {
        send(&packet, sizeof(T));
    }
    [[nodiscard]] spawner::Acquire make_acquire(std::uint64_t ticket = 1) const;
    /// Acquires, and waits for the answer; a Gone that comes meanwhile is kept.
    std::optional<Sandbox> acquire(const spawner::Acquire& request);
    std::optional<Sandbox> acquire() { return acquire(make_acquire()); }
    /// Answers that are not a success are kept here.
    spawner::Acquired last_acquired;
    /// The next Acquired or Gone, whichever; descriptors are dropped.
    struct Event {
        std::uint64_t sandbox_id = 0;  // 0: an Acquire that failed
        bool gone = false;
    };
    std::optional<Event> next_event();
    std::optional<spawner::Gone> await_gone(std::uint64_t sandbox_id);
    spawner::StatsAnswer stats();
    /// Asks for a pool and waits until it is full.
    void fill_pool(std::uint32_t blanks, spawner::RuntimeKind kind = spawner::RuntimeKind::kNative);
    void destroy(std::uint64_t sandbox_id);
    /// Closes the engine's end and waits for the spawner: its exit status.
    int stop();
    /// SIGKILL to the spawner.
    void kill_spawner();
    /// Waits for the spawner to end by itself.
    int await_exit();

    [[nodiscard]] int pid() const { return pid_; }
    [[nodiscard]] const std::string& cgroup() const { return cgroup_; }
    [[nodiscard]] const std::string& code_dir() const { return code_dir_; }
    [[nodiscard]] const std::string& code_id() const { return code_id_; }
    /// Cgroup directories of this tree, over all hierarchies.
    [[nodiscard]] std::vector<std::string> list_cgroups() const;

private:
    struct Packet {
        std::array<std::byte, spawner::kPacketBytesMax> bytes;
        spawner::Op op{};
        std::vector<UniqueFd> fds;
    };
    std::optional<Packet> receive_any();
    std::optional<Packet> receive(spawner::Op wanted);
    std::string dir_;
    std::string code_dir_;
    std::string code_id_;
    std::string cgroup_;
    UniqueFd socket_;
    UniqueFd pidfd_;
    int pid_ = -1;
    std::map<std::uint64_t, spawner::Gone> gone_;
};

/// Lines of a command's output, for looking at the host in tests.
[[nodiscard]] std::string read_file(const std::string& path);
/// Processes on this host whose uid lies in the sandboxes' range.
[[nodiscard]] std::size_t count_sandbox_processes();

}  // namespace hako::sandbox::testing
