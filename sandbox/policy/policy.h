#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <linux/filter.h>

// The build-time compiler of seccomp policies: text in, classic BPF out. Used by compile_policy and
// its tests only; nothing of it runs in production.
namespace hako::policy {

/// `(argument & mask) == value`; `wide` compares all 64 bits (pointers), else the low 32, which is
/// all the kernel looks at in int arguments.
struct Condition {
    std::uint32_t arg_index = 0;
    bool wide = false;
    std::uint64_t mask = UINT64_MAX;
    std::uint64_t value = 0;
    bool operator==(const Condition&) const = default;
};

/// The first rule whose conditions all hold decides; `action` is a SECCOMP_RET_* value.
struct Rule {
    std::vector<Condition> conditions;
    std::uint32_t action = 0;
    bool operator==(const Rule&) const = default;
};

struct Policy {
    std::uint32_t default_action = 0;
    std::uint32_t above_number = 0;  // numbers above this one (newer than the policy) get ...
    std::uint32_t above_action = 0;
    std::map<std::uint32_t, std::vector<Rule>> rules;  // by syscall number
};

/// Parses a policy file's text. The error names the line.
[[nodiscard]] std::expected<Policy, std::string> parse(std::string_view text);

/// A filter for the native architecture: any other one, and x32, kills the process.
[[nodiscard]] std::vector<sock_filter> generate(const Policy& policy);

struct Call {
    std::uint32_t arch = 0;
    std::uint32_t number = 0;
    std::uint64_t args[6] = {};
};

/// What the policy's text asks for.
[[nodiscard]] std::uint32_t decide(const Policy& policy, const Call& call);
/// What the program does.
[[nodiscard]] std::uint32_t interpret(std::span<const sock_filter> program, const Call& call);
/// Compares both over every number and every interesting argument; empty if they agree.
[[nodiscard]] std::string verify(const Policy& policy, std::span<const sock_filter> program);

[[nodiscard]] std::uint32_t native_audit_arch();

}  // namespace hako::policy
