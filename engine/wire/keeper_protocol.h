#pragma once

#include <cstdint>

// What the spawner's keeper tells the engine over their SOCK_SEQPACKET pair: one fixed-size struct
// per packet, host byte order. The engine never sends anything: that its end is closed is all the
// keeper wants to know of it.
namespace hako::spawner {

enum class KeeperOp : std::uint32_t {
    kSpawnerBegun = 201,  // a spawner was started; the engine's end of its socket comes along
    kGaveUp = 202,        // no spawner stays up: the keeper ends
};

/// Exit status of a spawner that was started without root where an ordinary user can build no
/// sandboxes: user namespaces are forbidden, or of no use.
inline constexpr int kSpawnerExitNoNamespace = 3;

struct KeeperMessage {
    KeeperOp op = KeeperOp::kSpawnerBegun;
    std::uint32_t spawner_number = 0;       // the first one is 1
    std::int32_t spawner_pid = 0;           // for messages only; kGaveUp: of the last one
    std::int32_t previous_wait_status = 0;  // how the one before ended, as of waitpid(2)
};
static_assert(sizeof(KeeperMessage) == 16);

}  // namespace hako::spawner
