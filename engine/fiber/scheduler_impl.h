#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/fiber/context.h"
#include "engine/fiber/fiber.h"
#include "engine/fiber/overflow.h"
#include "engine/fiber/sanitizers.h"
#include "engine/fiber/stack_pool.h"

namespace hako::fiber {

enum class State : std::uint8_t { kFree, kReady, kRunning, kParked, kEnded };
/// What put a fiber on the ready list. kStart: a spawn or a yield.
enum class ReadyBy : std::uint8_t { kNone, kStart, kNotify, kOp, kCancel };

/// A slot: used again by later fibers, each with its own generation.
class Fiber {
public:
    Context context;
    Stack stack;
    std::move_only_function<void()> body;
    const char* name = "";
    Scheduler::Impl* owner = nullptr;
    Fiber* next = nullptr;         // in the ready list, or in the free list
    Fiber* joiners = nullptr;      // fibers parked in join() on this one
    Fiber* next_joiner = nullptr;  // among the joiners of another
    std::uint32_t slot_index = 0;
    std::uint32_t generation = 1;
    State state = State::kFree;
    ReadyBy ready_by = ReadyBy::kNone;
    bool parked_for_op = false;
    bool shielded = false;
    bool wake_kept = false;
    bool cancelled = false;
};

struct Scheduler::Impl {
    static constexpr std::uint32_t kSlotsPerChunk = 64;

    explicit Impl(const SchedulerOptions& options);

    [[nodiscard]] Fiber& slot(std::uint32_t index) noexcept {
        return chunks[index / kSlotsPerChunk][index % kSlotsPerChunk];
    }
    [[nodiscard]] Fiber* find(FiberId id) noexcept;
    [[nodiscard]] Fiber& running() noexcept;
    [[nodiscard]] Fiber& take_slot();
    void make_ready(Fiber& fiber, ReadyBy reason) noexcept;
    void resume(Fiber& fiber) noexcept;
    void release(Fiber& fiber) noexcept;
    void cancel(Fiber& fiber) noexcept;
    Wake park(bool for_op, bool shielded);
    static void run_body(void* argument);

    AlternateStack alternate_stack;
    StackPool stacks;
    std::uint32_t fibers_max;
    std::uint32_t live_count = 0;
    std::uint32_t slots_made = 0;
    std::uint32_t no_park_depth = 0;
    Fiber* current = nullptr;
    Fiber* ready_head = nullptr;
    Fiber* ready_tail = nullptr;
    Fiber* free_slots = nullptr;
    ExceptionState* thread_state;
    Context loop_context;
    GuardedFiber guarded;
    std::vector<std::unique_ptr<Fiber[]>> chunks;
};

}  // namespace hako::fiber
