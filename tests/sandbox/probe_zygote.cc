#include <atomic>
#include <climits>
#include <cstring>
#include <string>

#include <hako/channel.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "sandbox/zygote.h"
#include "tests/sandbox/probe.h"

// A zygote whose runtime is the probe: it runs commands that arrive as requests on the channel and
// answers with text.
namespace {

void wait_while(std::uint32_t& word, std::uint32_t value) {
    while (std::atomic_ref(word).load(std::memory_order_acquire) == value) {
        ::syscall(SYS_futex, &word, FUTEX_WAIT, value, nullptr, nullptr, 0);
    }
}

void runtime_main(hako::spawner::RuntimeKind) {
    void* map =
        ::mmap(nullptr, HAKO_CHANNEL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, HAKO_CHANNEL_FD, 0);
    if (map == MAP_FAILED) {
        ::_exit(90);
    }
    auto* header = static_cast<hako_channel*>(map);
    auto* bytes = static_cast<char*>(map);
    wait_while(header->code_mounted, 0);
    const std::string mounted_ns = std::to_string(hako::now_ns());
    if (::chdir("/var/task") != 0) {
        ::_exit(91);
    }
    for (std::uint32_t seq = 0;; ++seq) {
        wait_while(header->request_seq, seq);
        const std::string command(bytes + HAKO_REQUEST_OFFSET, header->event_bytes);
        const std::string answer =
            command == "mounted-ns" ? mounted_ns : hako::sandbox::testing::run_command(command);
        std::memcpy(bytes + HAKO_RESPONSE_OFFSET, answer.data(), answer.size());
        header->response_bytes = static_cast<std::uint32_t>(answer.size());
        std::atomic_ref(header->response_seq).store(seq + 1, std::memory_order_release);
        const std::uint64_t one = 1;
        if (::write(HAKO_DOORBELL_FD, &one, sizeof(one)) != sizeof(one)) {
            ::_exit(92);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    return hako::sandbox::run_zygote(argc, argv, {.runtime_main = runtime_main});
}
