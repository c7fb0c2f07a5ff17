#include "engine/fiber/context.h"

#include <cxxabi.h>

#include "engine/base/ensure.h"

namespace hako::fiber {
namespace {

namespace fcontext = boost::context::detail;

void start(fcontext::transfer_t transfer) {
    Context& self = *static_cast<detail::Switch*>(transfer.data)->to;
    detail::arrive(self, transfer);
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

}  // namespace hako::fiber
