#pragma once

#include <cstddef>

#include "engine/fiber/stack_pool.h"

namespace hako::fiber {

/// What libstdc++ keeps per thread while exceptions fly (`__cxa_eh_globals` of the Itanium ABI). It
/// has to travel with the fiber, else one fiber's `catch` ends another's exception.
struct ExceptionState {
    void* caught = nullptr;
    unsigned int uncaught_count = 0;
};

/// The calling thread's own words; stable for the thread's life, so also its identity.
[[nodiscard]] ExceptionState* thread_exception_state() noexcept;

/// One side of a switch: the loop's, or a fiber's. The fcontext layer of Boost.Context rather than
/// `boost::context::fiber`: that one makes two switches of its own when it is built and unwinds by
/// exception when it is destroyed, neither of which can be announced to the sanitizers.
struct Context {
    void* resume_at = nullptr;  // fcontext_t while not running
    void (*entry)(void* argument) = nullptr;
    void* argument = nullptr;
    ExceptionState exceptions;
    const void* stack_bottom = nullptr;  // the loop's is learned on the first switch (ASan only)
    std::size_t stack_bytes = 0;
    void* asan_fake_stack = nullptr;
    void* tsan_fiber = nullptr;
};

/// Prepares `context` to start `entry(argument)` on `stack` when first switched to. `entry` must
/// leave through `switch_last`.
void prepare_context(
    Context& context, const Stack& stack, void (*entry)(void* argument), void* argument
) noexcept;
/// Drops what `prepare_context` took; the fiber has made its last switch.
void release_context(Context& context) noexcept;

/// Goes on in `to`; returns when something switches back to `from`. `thread_state` is
/// `thread_exception_state()`.
void switch_context(ExceptionState& thread_state, Context& from, Context& to) noexcept;
/// The same for a fiber that has ended.
[[noreturn]] void switch_last(ExceptionState& thread_state, Context& from, Context& to) noexcept;

}  // namespace hako::fiber
