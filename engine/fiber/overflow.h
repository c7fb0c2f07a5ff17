#pragma once

namespace hako::fiber {

/// What the SIGSEGV handler needs to know about the fiber that runs on this thread.
struct GuardedFiber {
    const char* name = nullptr;  // nullptr: no fiber runs
    const void* guard_end = nullptr;
};

/// Makes a fault in the guard page of the running fiber print its name before the process dies as
/// it would have anyway. The handler is installed once for the process and passes every fault on.
void install_overflow_handler() noexcept;
/// Names the record the handler reads on this thread; nullptr: none. Returns the former one.
const GuardedFiber* set_guarded_fiber(const GuardedFiber* guarded) noexcept;

/// Gives the calling thread an alternate signal stack for its life, unless it has one: a fiber that
/// has overflowed has no room left for a handler.
class AlternateStack {
public:
    AlternateStack() noexcept;
    ~AlternateStack();
    AlternateStack(const AlternateStack&) = delete;
    AlternateStack& operator=(const AlternateStack&) = delete;

private:
    void* mapped_ = nullptr;
};

}  // namespace hako::fiber
