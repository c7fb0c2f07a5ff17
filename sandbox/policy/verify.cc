#include <cstring>
#include <set>

#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/seccomp.h>

#include "sandbox/policy/policy.h"

namespace hako::policy {
namespace {

constexpr std::uint32_t kX32Bit = 0x40000000;
constexpr std::uint32_t kForeignArch = AUDIT_ARCH_I386;

bool holds(const Condition& condition, const Call& call) {
    const std::uint64_t bits = condition.wide ? UINT64_MAX : UINT32_MAX;
    return (call.args[condition.arg_index] & condition.mask & bits) == (condition.value & bits);
}

bool matches(const Rule& rule, const Call& call) {
    for (const Condition& condition : rule.conditions) {
        if (!holds(condition, call)) {
            return false;
        }
    }
    return true;
}

/// Values of one argument at which some rule may change its mind.
std::vector<std::uint64_t> interesting_values(const std::vector<Rule>& rules, std::uint32_t index) {
    std::set<std::uint64_t> values = {0, 1, UINT32_MAX, UINT64_MAX, 0x100000000};
    for (const Rule& rule : rules) {
        for (const Condition& condition : rule.conditions) {
            if (condition.arg_index == index) {
                for (const std::uint64_t value : {condition.value, condition.mask}) {
                    values.insert({value, value + 1, value - 1, value | 0x500000000, ~value});
                }
            }
        }
    }
    return {values.begin(), values.end()};
}

std::string compare(const Policy& policy, std::span<const sock_filter> program, const Call& call) {
    const std::uint32_t want = decide(policy, call);
    const std::uint32_t got = interpret(program, call);
    if (want == got) {
        return {};
    }
    return "call " + std::to_string(call.number) + ": the policy says " + std::to_string(want) +
           ", the program " + std::to_string(got);
}

/// All pairs of values of two arguments: no rule here looks at more than two.
std::string verify_number(
    const Policy& policy, std::span<const sock_filter> program, std::uint32_t number
) {
    static const std::vector<Rule> kNone;
    const auto found = policy.rules.find(number);
    const std::vector<Rule>& rules = found == policy.rules.end() ? kNone : found->second;
    for (std::uint32_t a = 0; a < 6; ++a) {
        for (std::uint32_t b = a; b < 6; ++b) {
            for (const std::uint64_t value_a : interesting_values(rules, a)) {
                for (const std::uint64_t value_b : interesting_values(rules, b)) {
                    Call call{.arch = native_audit_arch(), .number = number, .args = {}};
                    call.args[a] = value_a;
                    call.args[b] = value_b;
                    if (std::string fault = compare(policy, program, call); !fault.empty()) {
                        return fault;
                    }
                }
            }
        }
    }
    return {};
}

}  // namespace

std::uint32_t decide(const Policy& policy, const Call& call) {
    const bool x32 = call.arch == AUDIT_ARCH_X86_64 && call.number >= kX32Bit;
    if (call.arch != native_audit_arch() || x32) {
        return SECCOMP_RET_KILL_PROCESS;
    }
    if (call.number > policy.above_number) {
        return policy.above_action;
    }
    if (const auto found = policy.rules.find(call.number); found != policy.rules.end()) {
        for (const Rule& rule : found->second) {
            if (matches(rule, call)) {
                return rule.action;
            }
        }
    }
    return policy.default_action;
}

std::uint32_t interpret(std::span<const sock_filter> program, const Call& call) {
    seccomp_data data{};
    data.nr = static_cast<int>(call.number);
    data.arch = call.arch;
    std::memcpy(data.args, call.args, sizeof(call.args));
    std::uint32_t a = 0;
    for (std::size_t pc = 0; pc < program.size(); ++pc) {
        const sock_filter& insn = program[pc];
        switch (insn.code) {
            case BPF_LD | BPF_W | BPF_ABS:
                std::memcpy(&a, reinterpret_cast<const char*>(&data) + insn.k, sizeof(a));
                break;
            case BPF_ALU | BPF_AND | BPF_K:
                a &= insn.k;
                break;
            case BPF_JMP | BPF_JEQ | BPF_K:
                pc += a == insn.k ? insn.jt : insn.jf;
                break;
            case BPF_JMP | BPF_JGE | BPF_K:
                pc += a >= insn.k ? insn.jt : insn.jf;
                break;
            case BPF_JMP | BPF_JA:
                pc += insn.k;
                break;
            case BPF_RET | BPF_K:
                return insn.k;
            default:
                return UINT32_MAX;  // never equal to a policy's action
        }
    }
    return UINT32_MAX;
}

std::string verify(const Policy& policy, std::span<const sock_filter> program) {
    for (std::uint32_t number = 0; number <= policy.above_number + 64; ++number) {
        if (std::string fault = verify_number(policy, program, number); !fault.empty()) {
            return fault;
        }
    }
    for (const std::uint32_t number : {0U, 59U, kX32Bit, kX32Bit + 59, UINT32_MAX}) {
        for (const std::uint32_t arch : {native_audit_arch(), kForeignArch}) {
            const Call call{.arch = arch, .number = number, .args = {}};
            if (std::string fault = compare(policy, program, call); !fault.empty()) {
                return fault;
            }
        }
    }
    return {};
}

}  // namespace hako::policy
