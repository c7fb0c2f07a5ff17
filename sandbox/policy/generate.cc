#include <cstddef>

#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/seccomp.h>

#include "sandbox/policy/policy.h"

namespace hako::policy {
namespace {

using Code = std::vector<sock_filter>;

constexpr std::uint32_t kX32Bit = 0x40000000;
constexpr std::size_t kJumpMax = 255;  // a conditional jump of classic BPF

sock_filter statement(std::uint32_t code, std::uint32_t k) {
    return {static_cast<std::uint16_t>(code), 0, 0, k};
}
sock_filter jump(std::uint32_t op, std::uint32_t k, std::size_t jt, std::size_t jf) {
    return {
        static_cast<std::uint16_t>(BPF_JMP | op | BPF_K),
        static_cast<std::uint8_t>(jt),
        static_cast<std::uint8_t>(jf),
        k
    };
}
sock_filter load(std::size_t offset) {
    return statement(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
sock_filter ret(std::uint32_t action) {
    return statement(BPF_RET | BPF_K, action);
}

std::size_t arg_offset(std::uint32_t index, bool high) {
    return offsetof(seccomp_data, args) + 8 * index + (high ? 4 : 0);  // little-endian
}

/// One 32-bit comparison; on a mismatch jumps over `rest` further instructions.
void emit_word(Code& code, std::size_t offset, std::uint32_t mask, std::uint32_t value) {
    code.push_back(load(offset));
    if (mask != UINT32_MAX) {
        code.push_back(statement(BPF_ALU | BPF_AND | BPF_K, mask));
    }
    code.push_back(jump(BPF_JEQ, value, 0, 0));
}

/// A rule: its comparisons, then its action; mismatches jump behind it.
void emit_rule(Code& code, const Rule& rule) {
    Code block;
    for (const Condition& condition : rule.conditions) {
        const auto low = [](std::uint64_t v) { return static_cast<std::uint32_t>(v); };
        const auto high = [](std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32U); };
        emit_word(
            block, arg_offset(condition.arg_index, false), low(condition.mask), low(condition.value)
        );
        if (condition.wide) {
            emit_word(
                block,
                arg_offset(condition.arg_index, true),
                high(condition.mask),
                high(condition.value)
            );
        }
    }
    block.push_back(ret(rule.action));
    for (std::size_t i = 0; i < block.size(); ++i) {
        if (block[i].code == (BPF_JMP | BPF_JEQ | BPF_K)) {
            block[i].jf = static_cast<std::uint8_t>(block.size() - 1 - i);
        }
    }
    code.insert(code.end(), block.begin(), block.end());
}

struct Range {
    std::uint32_t first;
    std::vector<Rule> rules;  // the last one has no condition
};

std::vector<Range> make_ranges(const Policy& policy) {
    std::vector<Range> ranges;
    for (std::uint32_t number = 0; number <= policy.above_number + 1; ++number) {
        std::vector<Rule> rules;
        std::uint32_t rest = policy.default_action;
        if (auto found = policy.rules.find(number); found != policy.rules.end()) {
            rules = found->second;
        }
        if (number > policy.above_number) {
            rest = policy.above_action;
        }
        if (rules.empty() || !rules.back().conditions.empty()) {
            rules.push_back({.conditions = {}, .action = rest});
        }
        if (ranges.empty() || ranges.back().rules != rules) {
            ranges.push_back({.first = number, .rules = std::move(rules)});
        }
    }
    return ranges;
}

/// A balanced search over the ranges: the kernel also walks the program once per system call number
/// when it is loaded, so the depth counts twice (a linear list of 300 costs 100 us per load).
Code emit_tree(std::span<const Range> ranges) {
    Code code;
    if (ranges.size() == 1) {
        for (const Rule& rule : ranges.front().rules) {
            emit_rule(code, rule);
        }
        return code;
    }
    const std::size_t middle = ranges.size() / 2;
    const Code left = emit_tree(ranges.first(middle));
    const Code right = emit_tree(ranges.subspan(middle));
    if (left.size() <= kJumpMax) {
        code.push_back(jump(BPF_JGE, ranges[middle].first, left.size(), 0));
    } else {
        code.push_back(jump(BPF_JGE, ranges[middle].first, 0, 1));
        code.push_back(statement(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(left.size())));
    }
    code.insert(code.end(), left.begin(), left.end());
    code.insert(code.end(), right.begin(), right.end());
    return code;
}

}  // namespace

std::uint32_t native_audit_arch() {
#if defined(__x86_64__)
    return AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
    return AUDIT_ARCH_AARCH64;
#else
#error "the policies are written for x86-64 and arm64"
#endif
}

std::vector<sock_filter> generate(const Policy& policy) {
    Code code;
    code.push_back(load(offsetof(seccomp_data, arch)));
    code.push_back(jump(BPF_JEQ, native_audit_arch(), 1, 0));
    code.push_back(ret(SECCOMP_RET_KILL_PROCESS));
    code.push_back(load(offsetof(seccomp_data, nr)));
    if (native_audit_arch() == AUDIT_ARCH_X86_64) {
        code.push_back(jump(BPF_JGE, kX32Bit, 0, 1));
        code.push_back(ret(SECCOMP_RET_KILL_PROCESS));
    }
    const std::vector<Range> ranges = make_ranges(policy);
    const Code tree = emit_tree(ranges);
    code.insert(code.end(), tree.begin(), tree.end());
    return code;
}

}  // namespace hako::policy
