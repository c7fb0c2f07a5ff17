#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/access_parts.h"
#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/config/settings.h"
#include "engine/registry/api_error.h"
#include "engine/registry/state_dir.h"
#include "engine/startup/listener.h"

namespace hako {

// Exit codes beside main's own; hakod(8) lists them all.
inline constexpr int kExitWallsMissing = 7;
inline constexpr int kExitNoNamespace = 8;

/// What `main` has prepared while the process still had its rights.
struct EngineInput {
    config::Settings settings;
    registry::StateDir state;
    AccessInput access;
    std::vector<startup::Listener> frame_listeners;
    std::vector<startup::Listener> http_listeners;
    UniqueFd keeper_socket;  // the spawner's keeper: engine/wire/keeper_protocol.h
    int keeper_pid = -1;
};

/// The engine, wired: runs without privileges until it is told to stop.
class Engine {
public:
    /// Opens the stores and builds the parts; blocks. Errors: a sentence for a person.
    [[nodiscard]] static std::expected<std::unique_ptr<Engine>, registry::Failure> make(
        EngineInput input
    );
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// Serves until SIGTERM or SIGINT (the first drains, the second stops at once) or until the
    /// spawner is lost for good. `on_ready` runs once requests are accepted, `on_stopping` when the
    /// drain begins. Returns the exit code.
    [[nodiscard]] int run(
        const std::function<void()>& on_ready, const std::function<void()>& on_stopping
    );

    struct Parts;

private:
    explicit Engine(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

}  // namespace hako
