#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/gateway/auth/access.h"
#include "engine/gateway/auth/key_operations.h"
#include "engine/instance/invoker.h"
#include "engine/registry/control_service.h"
#include "engine/ring/loop.h"

namespace hako::gateway {

class FrameConnection;
struct FrameCall;

/// Bounds of the frame socket.
struct FrameLimits {
    std::uint32_t connections_max = 1024;
    std::uint32_t frames_in_flight_max =
        256;                            ///< per connection; beyond it the engine stops reading
    std::uint32_t requests_max = 4096;  ///< of all connections; beyond it they are refused
    std::uint64_t unread_answer_bytes_max =
        256ULL << 20U;  ///< per connection; beyond it the client is cut off
    std::int64_t partial_frame_us =
        30'000'000;  ///< a frame that was begun must be complete by then
    std::int64_t send_stall_us =
        30'000'000;  ///< a client that does not read for so long is cut off
};

/// What the frame socket hands requests to.
struct FrameServices {
    ring::Loop& loop;
    instance::Invoker& invoker;
    registry::ControlService& control;
    std::function<std::string()> engine_status_json;  ///< answer of GetEngineStatus
    auth::Access* access = nullptr;                   ///< null: everybody may do everything
    auth::KeyOperations* keys = nullptr;
};

/// The engine's own front door: the frame protocol of docs/frame-protocol.md on a Unix stream
/// socket.
class FrameServer {
public:
    FrameServer(FrameServices services, const FrameLimits& limits);
    ~FrameServer();
    FrameServer(const FrameServer&) = delete;
    FrameServer& operator=(const FrameServer&) = delete;

    /// Serves `listener` from a fiber of its own until `stop_accepting`, which shuts it down unless
    /// it is `shared` with whoever passed it to us (socket activation).
    [[nodiscard]] Result<void> serve(UniqueFd listener, bool shared);
    /// No new connections and no new requests on the present ones; what runs goes on and is
    /// answered.
    void stop_accepting();
    [[nodiscard]] std::uint32_t connection_count() const noexcept;
    [[nodiscard]] std::uint32_t in_flight_count() const noexcept { return in_flight_count_; }
    /// Called when the last request has ended while draining.
    std::function<void()> on_drained;

private:
    friend class FrameConnection;
    friend struct FrameCall;

    void on_connection(UniqueFd socket);
    FrameCall* take_call();
    void give_back(FrameCall* call) noexcept;
    void forget(FrameConnection& connection);

    FrameServices services_;
    FrameLimits limits_;
    struct Listener {
        UniqueFd fd;
        bool shared = false;
    };
    std::vector<Listener> listeners_;
    std::vector<fiber::FiberId> acceptors_;
    std::unordered_map<FrameConnection*, std::unique_ptr<FrameConnection>> connections_;
    std::vector<std::unique_ptr<FrameCall>> calls_;  // owns all
    std::vector<FrameCall*> free_calls_;
    std::uint32_t in_flight_count_ = 0;
    bool draining_ = false;
};

}  // namespace hako::gateway
