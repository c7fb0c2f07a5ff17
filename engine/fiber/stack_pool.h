#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/result.h"

namespace hako::fiber {

/// One fiber stack. `base` is the lowest usable byte; the page right below it is the guard.
struct Stack {
    std::byte* base = nullptr;
    std::size_t bytes = 0;         // usable
    unsigned int valgrind_id = 0;  // 0 without valgrind's header

    [[nodiscard]] std::byte* top() const noexcept { return base + bytes; }
};

/// Hands out guarded stacks, last in first out so that the warmest pages are used again. The cap
/// on live stacks is the scheduler's.
class StackPool {
public:
    StackPool(std::size_t stack_bytes, std::uint32_t kept_max);
    ~StackPool();
    StackPool(const StackPool&) = delete;
    StackPool& operator=(const StackPool&) = delete;

    /// An idle stack, or a new mapping. Errors: kSystem.
    [[nodiscard]] Result<Stack> take();
    /// Keeps the stack for the next `take`, or unmaps it when enough are idle.
    void give_back(const Stack& stack) noexcept;

    [[nodiscard]] std::size_t idle_count() const noexcept { return idle_.size(); }

private:
    [[nodiscard]] Result<Stack> map_stack() const;
    static void unmap_stack(const Stack& stack) noexcept;

    std::size_t stack_bytes_;
    std::uint32_t kept_max_;
    std::vector<Stack> idle_;
};

/// The guard below each stack: one page, enough because -fstack-clash-protection touches every
/// page of a big frame.
[[nodiscard]] std::size_t guard_bytes() noexcept;

}  // namespace hako::fiber
