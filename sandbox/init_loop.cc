#include "sandbox/init_loop.h"

#include <cerrno>
#include <cstdint>

#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/zygote_protocol.h"

// The section's bounds; the linker defines them because its name is a C identifier.
extern "C" const char __start_hako_init[];
extern "C" const char __stop_hako_init[];

namespace hako::sandbox {
namespace {

constexpr std::uintptr_t kPage = 4096;
constexpr std::uintptr_t kStackKept =
    4 * kPage;  // below the frame; the loop needs a few hundred bytes

/// A system call without libc, which is about to be unmapped (and errno with it).
[[gnu::always_inline]] inline long raw_call(long number, long a, long b, long c, long d) noexcept {
#if defined(__x86_64__)
    register long r10 asm("r10") = d;
    long result = number;
    asm volatile("syscall"
                 : "+a"(result)
                 : "D"(a), "S"(b), "d"(c), "r"(r10)
                 : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 asm("x8") = number;
    register long x0 asm("x0") = a;
    register long x1 asm("x1") = b;
    register long x2 asm("x2") = c;
    register long x3 asm("x3") = d;
    asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
#else
#error "init_loop needs this machine's system call instruction"
#endif
}

[[gnu::always_inline]] inline void tell(std::uint64_t value) noexcept {
    (void
    )raw_call(SYS_write, 0, reinterpret_cast<long>(&value), sizeof(value), 0);  // nobody to tell
}

/// May touch nothing outside its own page and its stack: no calls, no constants in memory, no stack
/// protector (its canary lies in thread-local storage), no sanitizer.
__attribute__((
    noreturn,
    noinline,
    section("hako_init"),
    aligned(kPage),
    no_stack_protector,
    no_sanitize("address", "undefined", "thread")
)) void
loop(long worker, std::uintptr_t code_begin, std::uintptr_t code_end) noexcept {
    const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const std::uintptr_t stack_begin = (frame & ~(kPage - 1)) - kStackKept;
    // A failure only leaves memory mapped. The program lies below the libraries, the stack above.
    (void)raw_call(SYS_munmap, 0, static_cast<long>(code_begin), 0, 0);
    (void)raw_call(
        SYS_munmap, static_cast<long>(code_end), static_cast<long>(stack_begin - code_end), 0, 0
    );
    tell(Report::kInitReady);
    constexpr long kInterrupted = -4;  // EINTR
    for (;;) {
        int status = 0;
        const long ended = raw_call(SYS_wait4, -1, reinterpret_cast<long>(&status), 0, 0);
        if (ended == worker || (ended < 0 && ended != kInterrupted)) {
            tell(Report::exited(status));
            for (;;) {
                (void)raw_call(SYS_exit_group, 0, 0, 0, 0);
            }
        }
    }
}

}  // namespace

int leave_rseq() noexcept {
    if (__rseq_size == 0) {
        return 0;  // glibc did not register it
    }
    constexpr unsigned kAreaBytes = 32;
    char* area = static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
    return ::syscall(SYS_rseq, area, kAreaBytes, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) == 0 ? 0 : errno;
}

void run_init_loop(pid_t worker) noexcept {
    const auto begin = reinterpret_cast<std::uintptr_t>(__start_hako_init);
    const auto end = reinterpret_cast<std::uintptr_t>(__stop_hako_init);
    loop(worker, begin, (end + kPage - 1) & ~(kPage - 1));
}

}  // namespace hako::sandbox
