#include "engine/fiber/stack_pool.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "engine/base/ensure.h"
#include "engine/fiber/sanitizers.h"

#if HAKO_ASAN
#include <sanitizer/asan_interface.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define HAKO_VALGRIND 1
#endif

namespace hako::fiber {
namespace {

// A stray pointer into an idle stack is a bug: under ASan it stops there.
void poison(const Stack& stack) noexcept {
#if HAKO_ASAN
    __asan_poison_memory_region(stack.base, stack.bytes);
#else
    (void)stack;  // nothing to mark without ASan
#endif
}

void unpoison(const Stack& stack) noexcept {
#if HAKO_ASAN
    __asan_unpoison_memory_region(stack.base, stack.bytes);
#else
    (void)stack;  // nothing was marked
#endif
}

void name_mapping(const Stack& stack) noexcept {
#if defined(PR_SET_VMA) && defined(PR_SET_VMA_ANON_NAME)
    // Only for readers of /proc/PID/maps; kernels without CONFIG_ANON_VMA_NAME refuse it.
    (void)::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, stack.base, stack.bytes, "hako fiber stack");
#else
    (void)stack;  // headers older than the call
#endif
}

}  // namespace

std::size_t guard_bytes() noexcept {
    static const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return page_bytes;
}

StackPool::StackPool(std::size_t stack_bytes, std::uint32_t kept_max)
    : stack_bytes_((stack_bytes + guard_bytes() - 1) / guard_bytes() * guard_bytes()),
      kept_max_(kept_max) {
    ENSURE(stack_bytes_ >= 2 * guard_bytes(), "a fiber stack needs at least two pages");
    idle_.reserve(kept_max_);  // give_back must not allocate
}

StackPool::~StackPool() {
    for (const Stack& stack : idle_) {
        unmap_stack(stack);
    }
}

Result<Stack> StackPool::take() {
    if (idle_.empty()) {
        return map_stack();
    }
    const Stack stack = idle_.back();
    idle_.pop_back();
    unpoison(stack);
    return stack;
}

void StackPool::give_back(const Stack& stack) noexcept {
    ENSURE(stack.base != nullptr, "gave back no stack");
    if (idle_.size() >= kept_max_) {
        unmap_stack(stack);
        return;
    }
    poison(stack);
    idle_.push_back(stack);
}

// Reserve first, open all but the lowest page after: a failure leaves no stack without a guard.
Result<Stack> StackPool::map_stack() const {
    const std::size_t mapped_bytes = stack_bytes_ + guard_bytes();
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    void* mapped = ::mmap(nullptr, mapped_bytes, PROT_NONE, kFlags, -1, 0);
    if (mapped == MAP_FAILED) {
        return fail_errno("mmap fiber stack");
    }
    Stack stack{.base = static_cast<std::byte*>(mapped) + guard_bytes(), .bytes = stack_bytes_};
    if (::mprotect(stack.base, stack.bytes, PROT_READ | PROT_WRITE) != 0) {
        const Error error = errno_error("mprotect fiber stack");
        (void)::munmap(mapped, mapped_bytes);  // just mapped, cannot be a bad range
        return fail(error);
    }
    name_mapping(stack);
#ifdef HAKO_VALGRIND
    stack.valgrind_id = VALGRIND_STACK_REGISTER(stack.base, stack.top());
#endif
    return stack;
}

void StackPool::unmap_stack(const Stack& stack) noexcept {
#ifdef HAKO_VALGRIND
    VALGRIND_STACK_DEREGISTER(stack.valgrind_id);
#endif
    unpoison(stack);  // the next mapping here belongs to somebody else
    const int rc = ::munmap(stack.base - guard_bytes(), stack.bytes + guard_bytes());
    ENSURE(rc == 0, "munmap of a fiber stack failed");
}

}  // namespace hako::fiber
