#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/fiber/fiber.h"
#include "engine/ring/loop.h"
#include "engine/wire/keeper_protocol.h"
#include "engine/wire/spawner_protocol.h"

namespace hako::instance {

/// A sandbox the spawner gave us, with its descriptors by `spawner::AcquiredFd`; absent ones are
/// empty.
struct Sandbox {
    std::uint64_t sandbox_id = 0;
    std::array<UniqueFd, spawner::kAcquiredFdCount> fds;
};

/// Why the spawner could not give one: the step and its errno, as the spawner said it.
struct AcquireFailure {
    int sys_errno = 0;
    std::array<char, sizeof(spawner::Acquired::step)> step{};
};

/// The engine's connection to the spawner and, across the deaths of spawners, to their keeper: the
/// one place that knows which spawner is alive. All calls are for fibers of the loop.
class SpawnerLink {
public:
    /// All run on the reader fiber and must not park.
    struct Callbacks {
        std::function<void(const spawner::Gone&)> on_gone;
        /// The spawner has started: sandboxes can be had. The first one, or one after an `on_down`.
        std::function<void(const spawner::Started&)> on_up;
        /// The spawner died, and with it every sandbox it gave. Another one follows unless
        /// `on_lost` does.
        std::function<void()> on_down;
        std::function<void()> on_lost;  ///< the keeper is gone or has given up; once
    };

    /// `keeper` is the control socket of engine/wire/keeper_protocol.h.
    SpawnerLink(ring::Loop& loop, UniqueFd keeper, Callbacks callbacks);

    /// Starts the reader fibers. Call once.
    [[nodiscard]] Result<void> start();
    /// Parks until there is a spawner that has started. Errors: kTimeout, kClosed (lost for good),
    /// kCancelled.
    [[nodiscard]] Result<void> await_up(std::int64_t deadline_us);
    /// Takes a sandbox. Parks. On kSystem `failure` says which step of the spawner failed. Errors:
    /// kSystem, kTimeout, kClosed (there is no spawner, or it died meanwhile: `await_up`).
    [[nodiscard]] Result<Sandbox> acquire(
        spawner::Acquire request, std::int64_t deadline_us, AcquireFailure& failure
    );
    /// Asks for the end of a sandbox of the present spawner; its Gone follows. Parks only while the
    /// socket is full. Errors: kClosed, kSystem.
    [[nodiscard]] Result<void> destroy(std::uint64_t sandbox_id);

    /// Tells keeper and spawner that we are done: they end every sandbox and themselves.
    void close() noexcept;

    [[nodiscard]] bool is_up() const noexcept { return up_; }
    [[nodiscard]] const spawner::Started& started() const noexcept { return started_; }
    [[nodiscard]] std::uint64_t features() const noexcept { return started_.features; }
    [[nodiscard]] std::int32_t spawner_pid() const noexcept { return present_.pid; }
    /// Of the last spawner, as of waitpid(2), once the keeper has given up; else 0.
    [[nodiscard]] std::int32_t last_wait_status() const noexcept { return last_wait_status_; }
    /// From 1; how many spawners there were.
    [[nodiscard]] std::uint32_t spawner_number() const noexcept { return present_.number; }

private:
    struct Pending {
        fiber::FiberId fiber;
        spawner::Acquired answer;
        std::array<UniqueFd, spawner::kAcquiredFdCount> fds;
        bool answered = false;
    };
    struct Spawner {
        std::shared_ptr<UniqueFd> socket;  // a fiber that still sends keeps it open
        std::uint32_t number = 0;
        std::int32_t pid = 0;
    };
    struct Packet;

    void keeper_loop();
    [[nodiscard]] Result<void> handle_keeper(Packet& packet);
    void spawner_loop();
    void read_spawner();
    [[nodiscard]] Result<void> receive(int socket, Packet& packet);
    [[nodiscard]] Result<void> handle(Packet& packet);
    [[nodiscard]] Result<void> handle_acquired(Packet& packet);
    void drop();
    void wake_waiters();
    template <typename T>
    [[nodiscard]] Result<void> send(const T& message);

    ring::Loop& loop_;
    UniqueFd keeper_;
    Callbacks callbacks_;
    std::unordered_map<std::uint64_t, Pending*> pending_;
    std::uint64_t next_ticket_ = 1;
    Spawner present_;
    Spawner next_;  // told by the keeper, not taken yet
    spawner::Started started_;
    std::uint32_t drops_count_ = 0;
    std::int32_t last_wait_status_ = 0;
    bool up_ = false;    // the present spawner has reported its start
    bool lost_ = false;  // there will be no other
    fiber::FiberId reader_;
    std::vector<fiber::FiberId> waiters_;
};

}  // namespace hako::instance
