#include "tests/escape/misdeeds.h"

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

// What an attempt runner cannot undo: it ends or poisons the instance, so each is a call of its
// own.
namespace hako::escape {
namespace {

bool told_to(const hako_invocation* inv, std::string_view what) {
    const std::string quoted = "\"" + std::string(what) + "\"";
    return ::memmem(inv->event.data, inv->event.bytes, quoted.data(), quoted.size()) != nullptr;
}

int respond(hako_invocation* inv, const std::string& text) {
    return hako_respond(inv, text.data(), text.size());
}

[[noreturn]] void wait_for_ever() {
    for (;;) {
        ::pause();
    }
}

/// A process that has nothing to do with us any more, as daemons do it: true there, false here once
/// it is up.
bool become_daemon() {
    std::array<int, 2> up{};
    (void)!::pipe2(up.data(), O_CLOEXEC);
    if (::fork() != 0) {
        char byte = 0;
        ::close(up[1]);
        (void)!::read(up[0], &byte, 1);
        ::close(up[0]);
        return false;
    }
    ::setsid();
    if (::fork() != 0) {
        ::_exit(0);
    }
    (void)::signal(SIGHUP, SIG_IGN);
    (void)::signal(SIGTERM, SIG_IGN);
    ::close(up[1]);
    return true;
}

void ring() {
    const std::uint64_t one = 1;
    (void)!::write(HAKO_DOORBELL_FD, &one, sizeof(one));
}

hako_channel* map_channel() {
    constexpr int kBoth = PROT_READ | PROT_WRITE;
    void* at = ::mmap(nullptr, HAKO_CHANNEL_BYTES, kBoth, MAP_SHARED, HAKO_CHANNEL_FD, 0);
    return at == MAP_FAILED ? nullptr : static_cast<hako_channel*>(at);
}

void answer_raw(hako_channel* channel, std::uint32_t kind, std::uint32_t bytes) {
    channel->response_kind = kind;
    channel->response_bytes = bytes;
    std::atomic_ref(channel->response_seq).store(channel->request_seq);
    ring();
}

/// Every word of the header and the first page of the answer, over and over, with all that could
/// mean something: sizes around the limits, kinds, the right number and wrong ones.
[[noreturn]] void rewrite_channel(hako_channel* channel) {
    auto* words = reinterpret_cast<std::uint32_t*>(channel);
    auto* answer =
        reinterpret_cast<std::uint32_t*>(reinterpret_cast<char*>(channel) + HAKO_RESPONSE_OFFSET);
    std::uint32_t state = 2463534242U;
    for (;;) {
        state ^= state << 13U;
        state ^= state >> 17U;
        state ^= state << 5U;
        const std::uint32_t values[] = {
            state, HAKO_RESPONSE_BYTES_MAX, HAKO_RESPONSE_BYTES_MAX + 1, 0xffffffffU, state & 7U
        };
        volatile std::uint32_t* const header = words;
        header[state % 1024] = values[(state >> 10U) % 5];
        channel->response_kind = state & 7U;
        channel->response_bytes = values[(state >> 14U) % 5];
        std::atomic_ref(channel->response_seq)
            .store(std::atomic_ref(channel->request_seq).load() + (state & 1U));
        answer[(state >> 4U) % 1024] = state;
        // For a caller that takes a stream: counters around the ring's size.
        channel->stream_put = channel->stream_taken + (state >> 6U) % (2 * HAKO_STREAM_RING_BYTES);
        channel->stream_seq = channel->request_seq - (state >> 3U & 1U);
        channel->worker_waiting = state;
        if ((state & 0xffU) == 0) {
            ring();
        }
    }
}

[[noreturn]] void storm() {
    for (;;) {
        ring();
    }
}

int corrupt_channel(hako_invocation* inv) {
    hako_channel* const channel = map_channel();
    if (channel == nullptr) {
        return hako_fail(inv, "Escape.Channel", "cannot be mapped");
    }
    if (told_to(inv, "kind")) {
        answer_raw(channel, 77, 4);
    } else if (told_to(inv, "bytes")) {
        answer_raw(channel, HAKO_RESPONSE_RESULT, 0xfffffff0U);
    } else if (told_to(inv, "just-over")) {
        answer_raw(channel, HAKO_RESPONSE_RESULT, HAKO_RESPONSE_BYTES_MAX + 1);
    } else if (told_to(inv, "ready")) {
        answer_raw(channel, HAKO_RESPONSE_READY, 0);
    } else if (told_to(inv, "header")) {
        std::memset(channel, 0xff, HAKO_CHANNEL_HEADER_BYTES);
        ring();
    } else if (told_to(inv, "rewrite")) {
        if (::fork() == 0) {
            rewrite_channel(channel);
        }
        return respond(inv, "\"rewriting\"");
    } else if (told_to(inv, "number")) {
        channel->response_kind = HAKO_RESPONSE_RESULT;
        channel->response_bytes = 4;
        std::atomic_ref(channel->response_seq).store(channel->request_seq + 1000);
        ring();
    } else if (told_to(inv, "unwritten")) {
        answer_raw(channel, HAKO_RESPONSE_RESULT, HAKO_RESPONSE_BYTES_MAX);
    } else if (told_to(inv, "holes")) {
        (void)::madvise(channel, HAKO_CHANNEL_BYTES, MADV_REMOVE);
        ring();
    }
    wait_for_ever();
}

/// Terabytes, half lines, NULs, and lines that look like the engine's.
void abuse_log() {
    constexpr int kSetPipeSize = 1031;
    (void)::fcntl(1, kSetPipeSize, 1 << 20);
    (void)::fcntl(1, F_SETFL, O_NONBLOCK | O_DIRECT);
    const std::string id(36, '0');
    const std::string forged = "END RequestId: " + id + "\nREPORT RequestId: " + id +
                               "\tDuration: 0.01 ms\tBilled Duration: 0 ms\n";
    const std::string junk = forged + std::string(5, '\0') + "\x1b[2J" + std::string(65536, 'x');
    for (int i = 0; i < 256; ++i) {
        (void)!::write(1, junk.data(), junk.size());
    }
}

/// Addresses and secrets that ASLR and the loader should have made unlike any other sandbox's.
std::string tell_layout() {
    std::uint64_t canary = 0;
    asm("mov %%fs:0x28, %0" : "=r"(canary));
    char text[256];
    (void)std::snprintf(
        text,
        sizeof(text),
        R"({"libc":"%p","vdso":"%lx","canary":"%lx"})",
        reinterpret_cast<void*>(&::getpid),
        ::getauxval(AT_SYSINFO_EHDR),
        static_cast<unsigned long>(canary)
    );
    return text;
}

}  // namespace

int misbehave(hako_invocation* inv) {
    if (told_to(inv, "kill-all")) {
        (void)::kill(-1, SIGKILL);
        ::raise(SIGKILL);
    } else if (told_to(inv, "stop-self")) {
        (void)::kill(-1, SIGSTOP);
        (void)::raise(SIGSTOP);
    } else if (told_to(inv, "daemon") || told_to(inv, "daemon-hang")) {
        if (become_daemon()) {
            wait_for_ever();
        }
        if (told_to(inv, "daemon-hang")) {
            wait_for_ever();
        }
    } else if (told_to(inv, "channel")) {
        return corrupt_channel(inv);
    } else if (told_to(inv, "storm")) {
        if (::fork() == 0) {
            storm();
        }
    } else if (told_to(inv, "storm-hang")) {
        storm();
    } else if (told_to(inv, "log")) {
        abuse_log();
    } else if (told_to(inv, "layout")) {
        return respond(inv, tell_layout());
    } else if (told_to(inv, "keep")) {
        return hako_respond(inv, inv->event.data, inv->event.bytes);
    }
    return respond(inv, "\"done\"");
}

}  // namespace hako::escape
