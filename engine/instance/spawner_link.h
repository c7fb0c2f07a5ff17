#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <unordered_map>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/fiber/fiber.h"
#include "engine/ring/loop.h"
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

/// The engine's end of its connection to the spawner. All calls are for fibers of the loop.
class SpawnerLink {
public:
    struct Callbacks {
        std::function<void(const spawner::Gone&)> on_gone;  ///< on the reader fiber; must not park
        std::function<void()> on_lost;  ///< the spawner closed or broke the protocol; once
    };

    SpawnerLink(ring::Loop& loop, UniqueFd socket, Callbacks callbacks);

    /// Starts the reader fiber. Call once.
    [[nodiscard]] Result<void> start();
    /// Parks until the spawner has reported its start. Errors: kTimeout, kClosed, kCancelled,
    /// kProtocol.
    [[nodiscard]] Result<spawner::Started> await_started(std::int64_t deadline_us);
    /// Takes a sandbox. Parks. On kSystem `failure` says which step of the spawner failed. Errors:
    /// kSystem, kTimeout, kClosed.
    [[nodiscard]] Result<Sandbox> acquire(
        spawner::Acquire request, std::int64_t deadline_us, AcquireFailure& failure
    );
    /// Asks for the end of a sandbox; its Gone follows. Parks only while the socket is full.
    /// Errors: kClosed, kSystem.
    [[nodiscard]] Result<void> destroy(std::uint64_t sandbox_id);

    /// Tells the spawner that we are done: it ends every sandbox and itself.
    void close() noexcept;

    [[nodiscard]] bool is_lost() const noexcept { return lost_; }
    [[nodiscard]] std::uint64_t features() const noexcept { return started_.features; }

private:
    struct Pending {
        fiber::FiberId fiber;
        spawner::Acquired answer;
        std::array<UniqueFd, spawner::kAcquiredFdCount> fds;
        bool answered = false;
    };
    struct Packet;

    void read_loop();
    [[nodiscard]] Result<void> handle(Packet& packet);
    [[nodiscard]] Result<void> handle_acquired(Packet& packet);
    void lose();
    template <typename T>
    [[nodiscard]] Result<void> send(const T& message);

    ring::Loop& loop_;
    UniqueFd socket_;
    Callbacks callbacks_;
    std::unordered_map<std::uint64_t, Pending*> pending_;
    std::uint64_t next_ticket_ = 1;
    spawner::Started started_;
    bool has_started_ = false;
    bool lost_ = false;
    fiber::FiberId started_waiter_;
};

}  // namespace hako::instance
