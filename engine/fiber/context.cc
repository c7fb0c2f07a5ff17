#include "engine/fiber/context.h"

#include <cxxabi.h>
#include <utility>

#include <boost/context/detail/fcontext.hpp>

#include "engine/base/ensure.h"
#include "engine/fiber/sanitizers.h"

#if HAKO_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if HAKO_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace hako::fiber {
namespace {

namespace fcontext = boost::context::detail;

// Lives on the stack of the side that leaves; the side that arrives reads it before anything else.
struct Switch {
    Context* from = nullptr;
    Context* to = nullptr;
};

void swap_exceptions(ExceptionState& thread_state, Context& from, const Context& to) noexcept {
    from.exceptions = thread_state;
    thread_state = to.exceptions;
}

void announce(
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

void arrive(Context& self, const fcontext::transfer_t& transfer) noexcept {
    auto* arrived = static_cast<Switch*>(transfer.data);
    Context& from = *arrived->from;
    from.resume_at = transfer.fctx;
#if HAKO_ASAN
    __sanitizer_finish_switch_fiber(self.asan_fake_stack, &from.stack_bottom, &from.stack_bytes);
    self.asan_fake_stack = nullptr;
#else
    (void)self;  // only ASan keeps something per side
#endif
}

void start(fcontext::transfer_t transfer) {
    Context& self = *static_cast<Switch*>(transfer.data)->to;
    arrive(self, transfer);
    self.entry(self.argument);
    ENSURE(false, "a fiber returned past its last switch");
}

}  // namespace

ExceptionState* thread_exception_state() noexcept {
    return reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
}

void prepare_context(
    Context& context, const Stack& stack, void (*entry)(void* argument), void* argument
) noexcept {
    context = Context{
        .resume_at = fcontext::make_fcontext(stack.top(), stack.bytes, start),
        .entry = entry,
        .argument = argument,
        .stack_bottom = stack.base,
        .stack_bytes = stack.bytes,
    };
#if HAKO_TSAN
    context.tsan_fiber = __tsan_create_fiber(0);
#endif
}

void release_context(Context& context) noexcept {
#if HAKO_TSAN
    __tsan_destroy_fiber(context.tsan_fiber);
    context.tsan_fiber = nullptr;
#endif
    context.resume_at = nullptr;
}

void switch_context(ExceptionState& thread_state, Context& from, Context& to) noexcept {
    swap_exceptions(thread_state, from, to);
    announce(from, to, false);
    Switch going{.from = &from, .to = &to};
    const fcontext::transfer_t back = fcontext::jump_fcontext(to.resume_at, &going);
    // Whoever came back has loaded our exception words already.
    arrive(from, back);
}

void switch_last(ExceptionState& thread_state, Context& from, Context& to) noexcept {
    swap_exceptions(thread_state, from, to);
    announce(from, to, true);
    Switch going{.from = &from, .to = &to};
    (void)fcontext::jump_fcontext(to.resume_at, &going);  // never comes back
    ENSURE(false, "an ended fiber was switched to");
    std::unreachable();
}

}  // namespace hako::fiber
