#include "engine/fiber/overflow.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/ensure.h"
#include "engine/fiber/stack_pool.h"

namespace hako::fiber {
namespace {

constexpr std::size_t kAlternateStackBytes = 64 * 1024;  // AVX-512 frames alone take 3 KiB

thread_local const GuardedFiber* t_guarded = nullptr;

// Plain data: the handler may read nothing that has a constructor.
struct sigaction g_former_action;
std::atomic<bool> g_installed{false};

void write_text(const char* text) noexcept {
    // Nothing to do about a failure: the process is about to die.
    (void)!::write(STDERR_FILENO, text, std::strlen(text));
}

void on_fault(int signo, siginfo_t* info, void*) noexcept {
    const int saved_errno = errno;
    const GuardedFiber* guarded = t_guarded;
    if (guarded != nullptr && guarded->name != nullptr) {
        const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
        const auto guard_end = reinterpret_cast<std::uintptr_t>(guarded->guard_end);
        if (address < guard_end && address >= guard_end - guard_bytes()) {
            write_text("hako: stack overflow in fiber '");
            write_text(guarded->name);
            write_text("'\n");
        }
    }
    // Back to the former action; the instruction faults again and meets it (default: core dump;
    // under sanitizers: their report).
    (void)::sigaction(signo, &g_former_action, nullptr);  // was accepted once, is again
    errno = saved_errno;
}

}  // namespace

void install_overflow_handler() noexcept {
    if (g_installed.exchange(true)) {
        return;
    }
    (void)guard_bytes();  // its first call is not safe in a handler
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    (void)::sigemptyset(&action.sa_mask);  // cannot fail on a valid pointer
    const int rc = ::sigaction(SIGSEGV, &action, &g_former_action);
    ENSURE(rc == 0, "sigaction(SIGSEGV) failed");
}

const GuardedFiber* set_guarded_fiber(const GuardedFiber* guarded) noexcept {
    const GuardedFiber* former = t_guarded;
    t_guarded = guarded;
    return former;
}

AlternateStack::AlternateStack() noexcept {
    stack_t present{};
    const int rc = ::sigaltstack(nullptr, &present);
    ENSURE(rc == 0, "sigaltstack could not be read");
    if ((present.ss_flags & SS_DISABLE) == 0) {
        return;  // a sanitizer's, or an outer scheduler's
    }
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* mapped = ::mmap(nullptr, kAlternateStackBytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
    ENSURE(mapped != MAP_FAILED, "no memory for the alternate signal stack");
    stack_t ours{};
    ours.ss_sp = mapped;
    ours.ss_size = kAlternateStackBytes;
    ENSURE(::sigaltstack(&ours, nullptr) == 0, "sigaltstack refused our stack");
    mapped_ = mapped;
}

AlternateStack::~AlternateStack() {
    if (mapped_ == nullptr) {
        return;
    }
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    ENSURE(::sigaltstack(&none, nullptr) == 0, "sigaltstack is in use while it is taken down");
    (void)::munmap(mapped_, kAlternateStackBytes);  // ours by construction
}

}  // namespace hako::fiber
