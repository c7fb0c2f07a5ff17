#include <array>
#include <memory>

#include <fcntl.h>
#include <sys/socket.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "engine/instance/spawner_link.h"
#include "engine/ring/loop.h"
#include "tests/fuzz/fuzz.h"

// The engine's end of its line to the spawner, on a real ring: a spawner that sends any packet at
// any time. The engine must come through without leaving a descriptor open or a fiber waiting.

namespace {

using namespace hako;
using instance::SpawnerLink;

struct World {
    World() {
        auto made = ring::Loop::make({.offload_threads = 1});
        ENSURE(made.has_value(), "the kernel has io_uring");
        loop = std::move(*made);
        null.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    void turn_until_quiet() const {
        // Without anything to wait for a turn does what is ready; a packet takes three.
        for (int i = 0; i < 4; ++i) {
            loop->turn(now_us());
        }
    }
    std::unique_ptr<ring::Loop> loop;
    UniqueFd null;
};

int lowest_free_fd(const World& world) {
    const UniqueFd probe(::fcntl(world.null.get(), F_DUPFD_CLOEXEC, 0));
    return probe.get();
}

void send_packet(const World& world, int socket, std::string_view text, std::size_t fds_count) {
    std::array<int, 16> fds;
    fds.fill(world.null.get());
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(fds))> control{};
    iovec part{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fds_count > 0) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(fds_count * sizeof(int));
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds_count * sizeof(int));
        std::memcpy(CMSG_DATA(header), fds.data(), fds_count * sizeof(int));
    }
    // Fails when the engine has hung up already.
    (void)::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/// A well-formed packet of a kind, its fields from the input.
std::string make_packet(fuzz::Input& input) {
    const auto as_text = [](const auto& packet) {
        return std::string(reinterpret_cast<const char*>(&packet), sizeof(packet));
    };
    switch (input.take<std::uint8_t>() % 4) {
        case 0:
            return as_text(spawner::Started{.features = input.take<std::uint8_t>()});
        case 1:
            return as_text(spawner::Acquired{
                .sys_errno = input.take<std::uint8_t>() % 3,
                .ticket = input.take<std::uint8_t>(),
                .sandbox_id = input.take<std::uint16_t>(),
                .fds_mask = input.take<std::uint32_t>(),
            });
        case 2:
            return as_text(spawner::Gone{.sandbox_id = input.take<std::uint16_t>()});
        default:
            return std::string(input.take_text());
    }
}

struct Session {
    explicit Session(World& world_) : world(world_) {
        int fds[2] = {-1, -1};
        const int made = ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds);
        ENSURE(made == 0, "a socket pair can be made");
        far.reset(fds[1]);
        link = std::make_unique<SpawnerLink>(
            *world.loop,
            UniqueFd(fds[0]),
            SpawnerLink::Callbacks{
                .on_gone = [](const spawner::Gone&) {}, .on_lost = [this] { ++lost_count; }
            }
        );
        ENSURE(link->start().has_value(), "the link starts");
    }
    void begin_acquire() {
        ++waiting_count;
        const auto spawned = world.loop->scheduler().spawn("acquire", [this] {
            instance::AcquireFailure failure;
            const auto sandbox = link->acquire({}, now_us() + 60'000'000, failure);
            ENSURE(
                sandbox || failure.step.back() == '\0', "the failed step is a terminated string"
            );
            --waiting_count;
        });
        ENSURE(spawned.has_value(), "a fiber can be had");
    }
    World& world;
    UniqueFd far;
    std::unique_ptr<SpawnerLink> link;
    int waiting_count = 0;
    int lost_count = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    static World world;
    const int free_before = lowest_free_fd(world);
    {
        Session session(world);
        fuzz::Input input(data, bytes);
        for (int steps = 0; !input.empty() && steps < 16; ++steps) {
            const auto step = input.take<std::uint8_t>();
            if (step % 4 == 0) {
                session.begin_acquire();
            } else {
                const std::size_t fds_count = input.take<std::uint8_t>() % 17;
                send_packet(world, session.far.get(), make_packet(input), fds_count);
            }
            if (step >= 128) {
                world.turn_until_quiet();
            }
        }
        world.turn_until_quiet();
        session.far.reset();
        const std::int64_t give_up_us = now_us() + 20'000'000;
        while (world.loop->scheduler().live_count() > 0) {
            ENSURE(now_us() < give_up_us, "nobody waits for a spawner that has gone");
            world.loop->turn(give_up_us);
        }
        ENSURE(session.lost_count == 1, "the loss of the spawner is told once");
        ENSURE(session.waiting_count == 0, "whoever waited has been told");
    }
    ENSURE(lowest_free_fd(world) == free_before, "no descriptor stays open");
    return 0;
}
