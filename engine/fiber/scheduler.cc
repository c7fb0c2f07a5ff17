#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

#include "engine/base/ensure.h"
#include "engine/fiber/fiber.h"
#include "engine/fiber/scheduler_impl.h"

namespace hako::fiber {
namespace {

[[noreturn]] void abort_on_exception(const char* name, const char* what) noexcept {
    std::fprintf(stderr, "hako: exception left fiber '%s': %s\n", name, what);
    std::abort();
}

}  // namespace

Scheduler::Impl::Impl(const SchedulerOptions& options)
    : stacks(std::size_t{options.stack_bytes} * kStackFactor, options.stacks_kept_max),
      fibers_max(options.fibers_max),
      thread_state(thread_exception_state()) {
    install_overflow_handler();
}

Fiber* Scheduler::Impl::find(FiberId id) noexcept {
    if (id.generation == 0 || id.slot_index >= slots_made) {
        return nullptr;
    }
    Fiber& fiber = slot(id.slot_index);
    const bool is_alive = fiber.generation == id.generation && fiber.state != State::kFree;
    return is_alive ? &fiber : nullptr;
}

Fiber& Scheduler::Impl::running() noexcept {
    ENSURE(current != nullptr, "called outside a fiber");
    return *current;
}

Fiber& Scheduler::Impl::take_slot() {
    if (free_slots != nullptr) {
        Fiber& fiber = *free_slots;
        free_slots = fiber.next;
        fiber.next = nullptr;
        return fiber;
    }
    if (slots_made % kSlotsPerChunk == 0) {
        chunks.push_back(std::make_unique<Fiber[]>(kSlotsPerChunk));
    }
    Fiber& fiber = slot(slots_made);
    fiber.slot_index = slots_made++;
    return fiber;
}

void Scheduler::Impl::make_ready(Fiber& fiber, ReadyBy reason) noexcept {
    DCHECK(fiber.state == State::kParked || fiber.state == State::kRunning, "made ready twice");
    fiber.state = State::kReady;
    fiber.ready_by = reason;
    fiber.next = nullptr;
    if (ready_tail == nullptr) {
        ready_head = &fiber;
    } else {
        ready_tail->next = &fiber;
    }
    ready_tail = &fiber;
}

// The body and what it captured die here, on the fiber's own stack, before its last switch.
void Scheduler::Impl::run_body(void* argument) {
    Fiber& fiber = *static_cast<Fiber*>(argument);
    try {
        fiber.body();
        fiber.body = nullptr;
    } catch (const std::exception& error) {
        abort_on_exception(fiber.name, error.what());
    } catch (...) {
        abort_on_exception(fiber.name, "not a std::exception");
    }
    Impl& impl = *fiber.owner;
    ENSURE(impl.no_park_depth == 0, "a fiber ended inside a NoPark scope");
    fiber.state = State::kEnded;
    switch_last(*impl.thread_state, fiber.context, impl.loop_context);
}

[[gnu::always_inline]] inline void Scheduler::Impl::resume(Fiber& fiber) noexcept {
    fiber.state = State::kRunning;
    fiber.ready_by = ReadyBy::kNone;
    current = &fiber;
    guarded = {.name = fiber.name, .guard_end = fiber.stack.base};
    switch_context(*thread_state, loop_context, fiber.context);
    guarded.name = nullptr;
    current = nullptr;
    if (fiber.state == State::kEnded) {
        release(fiber);
    }
}

void Scheduler::Impl::release(Fiber& fiber) noexcept {
    release_context(fiber.context);
    stacks.give_back(fiber.stack);
    fiber.stack = {};
    for (Fiber* joiner = std::exchange(fiber.joiners, nullptr); joiner != nullptr;) {
        Fiber* following = std::exchange(joiner->next_joiner, nullptr);
        ENSURE(joiner->state == State::kParked, "a joining fiber was not parked");
        make_ready(*joiner, ReadyBy::kOp);
        joiner = following;
    }
    fiber.state = State::kFree;
    fiber.generation = fiber.generation == UINT32_MAX ? 1 : fiber.generation + 1;
    fiber.next = free_slots;
    free_slots = &fiber;
    --live_count;
}

[[gnu::always_inline]] inline Wake Scheduler::Impl::park(bool for_op, bool shielded) {
    Fiber& self = running();
    ENSURE(no_park_depth == 0, "parked inside a NoPark scope");
    if (self.cancelled && !shielded) {
        return Wake::kCancelled;
    }
    if (!for_op && self.wake_kept) {
        self.wake_kept = false;
        return Wake::kNotified;
    }
    self.state = State::kParked;
    self.parked_for_op = for_op;
    self.shielded = shielded;
    switch_context(*thread_state, self.context, loop_context);
    return self.cancelled && !shielded ? Wake::kCancelled : Wake::kNotified;
}

Scheduler::Scheduler(const SchedulerOptions& options) : impl_(std::make_unique<Impl>(options)) {}

Scheduler::~Scheduler() {
    ENSURE(impl_->live_count == 0, "the scheduler died before its fibers ended");
}

std::unique_ptr<Scheduler> Scheduler::make(const SchedulerOptions& options) {
    return std::unique_ptr<Scheduler>(new Scheduler(options));
}

Result<FiberId> Scheduler::spawn(const char* name, std::move_only_function<void()>&& body) {
    Impl& impl = *impl_;
    ENSURE(body != nullptr, "spawned an empty body");
    if (impl.live_count >= impl.fibers_max) {
        return fail(Errc::kLimit, "too many fibers");
    }
    TRY_ASSIGN(const Stack stack, impl.stacks.take());
    Fiber& fiber = impl.take_slot();
    fiber.owner = &impl;
    fiber.name = name;
    fiber.stack = stack;
    fiber.body = std::move(body);
    fiber.cancelled = false;
    fiber.wake_kept = false;
    fiber.state = State::kParked;
    prepare_context(fiber.context, stack, &Impl::run_body, &fiber);
    ++impl.live_count;
    impl.make_ready(fiber, ReadyBy::kStart);
    return FiberId{.slot_index = fiber.slot_index, .generation = fiber.generation};
}

std::uint32_t Scheduler::run_ready(std::uint32_t count_max) {
    Impl& impl = *impl_;
    ENSURE(impl.current == nullptr, "run_ready was called from a fiber");
    ENSURE(impl.no_park_depth == 0, "fibers run inside a NoPark scope");
    ENSURE(impl.thread_state == thread_exception_state(), "a scheduler left its thread");
    const GuardedFiber* former = set_guarded_fiber(&impl.guarded);
    std::uint32_t ran_count = 0;
    while (ran_count < count_max && impl.ready_head != nullptr) {
        Fiber& fiber = *impl.ready_head;
        impl.ready_head = fiber.next;
        if (impl.ready_head == nullptr) {
            impl.ready_tail = nullptr;
        }
        fiber.next = nullptr;
        ENSURE(fiber.state == State::kReady, "the ready list holds a fiber that is not ready");
        impl.resume(fiber);
        ++ran_count;
    }
    (void)set_guarded_fiber(former);  // an outer scheduler's, in tests that nest them
    return ran_count;
}

bool Scheduler::has_ready() const noexcept {
    return impl_->ready_head != nullptr;
}

std::uint32_t Scheduler::live_count() const noexcept {
    return impl_->live_count;
}

FiberId Scheduler::self() const noexcept {
    const Fiber& fiber = impl_->running();
    return FiberId{.slot_index = fiber.slot_index, .generation = fiber.generation};
}

bool Scheduler::in_fiber() const noexcept {
    return impl_->current != nullptr;
}

Wake Scheduler::park(bool shielded) {
    return impl_->park(false, shielded);
}

Wake Scheduler::park_op(bool shielded) {
    return impl_->park(true, shielded);
}

void Scheduler::unpark(FiberId id) noexcept {
    Fiber* fiber = impl_->find(id);
    if (fiber == nullptr) {
        return;
    }
    if (fiber->state == State::kParked && !fiber->parked_for_op) {
        impl_->make_ready(*fiber, ReadyBy::kNotify);
        return;
    }
    // A second notification before the fiber has seen the first is the same one.
    if (fiber->state != State::kReady || fiber->ready_by != ReadyBy::kNotify) {
        fiber->wake_kept = true;
    }
}

bool Scheduler::unpark_op(FiberId id) noexcept {
    Fiber* fiber = impl_->find(id);
    if (fiber == nullptr || fiber->state != State::kParked) {
        return false;
    }
    impl_->make_ready(*fiber, ReadyBy::kOp);
    return true;
}

void Scheduler::cancel(FiberId id) noexcept {
    Fiber* fiber = impl_->find(id);
    if (fiber != nullptr) {
        impl_->cancel(*fiber);
    }
}

void Scheduler::Impl::cancel(Fiber& fiber) noexcept {
    fiber.cancelled = true;
    if (fiber.state == State::kParked && !fiber.shielded) {
        make_ready(fiber, ReadyBy::kCancel);
    }
}

void Scheduler::cancel_all() noexcept {
    for (std::uint32_t index = 0; index < impl_->slots_made; ++index) {
        Fiber& fiber = impl_->slot(index);
        if (fiber.state != State::kFree) {
            impl_->cancel(fiber);
        }
    }
}

bool Scheduler::is_cancelled() const noexcept {
    return impl_->running().cancelled;
}

void Scheduler::yield() {
    Impl& impl = *impl_;
    Fiber& self = impl.running();
    ENSURE(impl.no_park_depth == 0, "yielded inside a NoPark scope");
    impl.make_ready(self, ReadyBy::kStart);
    switch_context(*impl.thread_state, self.context, impl.loop_context);
}

void Scheduler::join(FiberId id) {
    Impl& impl = *impl_;
    Fiber& self = impl.running();
    Fiber* target = impl.find(id);
    ENSURE(target != &self, "a fiber joined itself");
    if (target == nullptr) {
        return;
    }
    self.next_joiner = target->joiners;
    target->joiners = &self;
    (void)impl.park(true, true);  // shielded, and only the target's end names this wait
    DCHECK(impl.find(id) == nullptr, "a join ended early");
}

NoPark::NoPark(Scheduler& scheduler) noexcept : scheduler_(scheduler) {
    ++scheduler_.impl_->no_park_depth;
}

NoPark::~NoPark() {
    ENSURE(scheduler_.impl_->no_park_depth > 0, "NoPark scopes do not balance");
    --scheduler_.impl_->no_park_depth;
}

}  // namespace hako::fiber
