#pragma once

#include <cstddef>
#include <utility>

#include <boost/context/detail/fcontext.hpp>

#include "engine/base/ensure.h"
#include "engine/fiber/sanitizers.h"
#include "engine/fiber/stack_pool.h"

#if HAKO_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if HAKO_TSAN
#include <sanitizer/tsan_interface.h>
#endif

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

namespace detail {

// Lives on the stack of the side that leaves; the side that arrives reads it before anything else.
struct Switch {
    Context* from = nullptr;
    Context* to = nullptr;
};

// Word by word: copied as one vector, they stall behind the narrow stores of the last switch.
inline void swap_exceptions(
    ExceptionState& thread_state, ExceptionState& from, const ExceptionState& to
) noexcept {
    from.caught = thread_state.caught;
    from.uncaught_count = thread_state.uncaught_count;
    thread_state.caught = to.caught;
    thread_state.uncaught_count = to.uncaught_count;
}

inline void announce(
    [[maybe_unused]] Context& from, [[maybe_unused]] Context& to, [[maybe_unused]] bool is_last
) noexcept {
#if HAKO_TSAN
    if (from.tsan_fiber == nullptr) {
        from.tsan_fiber = __tsan_get_current_fiber();  // the loop's side, on its first switch
    }
    __tsan_switch_to_fiber(to.tsan_fiber, 0);
#endif
#if HAKO_ASAN
    // nullptr on the last switch: ASan then frees the fake stack.
    __sanitizer_start_switch_fiber(
        is_last ? nullptr : &from.asan_fake_stack, to.stack_bottom, to.stack_bytes
    );
#endif
}

inline void arrive(
    [[maybe_unused]] Context& self, const boost::context::detail::transfer_t& transfer
) noexcept {
    Context& from = *static_cast<Switch*>(transfer.data)->from;
    from.resume_at = transfer.fctx;
#if HAKO_ASAN
    __sanitizer_finish_switch_fiber(self.asan_fake_stack, &from.stack_bottom, &from.stack_bytes);
    self.asan_fake_stack = nullptr;
#endif
}

}  // namespace detail

/// Goes on in `to`; returns when something switches back to `from`. `thread_state` is
/// `thread_exception_state()`. Always inline: after a switch the processor has predicted every
/// return to the wrong stack, so each call less between switch and caller saves a misprediction.
[[gnu::always_inline]] inline void switch_context(
    ExceptionState& thread_state, Context& from, Context& to
) noexcept {
    detail::swap_exceptions(thread_state, from.exceptions, to.exceptions);
    detail::announce(from, to, false);
    detail::Switch going{.from = &from, .to = &to};
    // Whoever comes back has loaded our exception words already.
    detail::arrive(from, boost::context::detail::jump_fcontext(to.resume_at, &going));
}

/// The same for a fiber that has ended. Not instrumented: the last announcement frees the fake
/// stack on which ASan would keep `going`, and the other side still reads that.
[[noreturn, gnu::no_sanitize_address]] inline void switch_last(
    ExceptionState& thread_state, Context& from, Context& to
) noexcept {
    detail::swap_exceptions(thread_state, from.exceptions, to.exceptions);
    detail::announce(from, to, true);
    detail::Switch going{.from = &from, .to = &to};
    (void)boost::context::detail::jump_fcontext(to.resume_at, &going);  // never comes back
    ENSURE(false, "an ended fiber was switched to");
    std::unreachable();
}

}  // namespace hako::fiber
