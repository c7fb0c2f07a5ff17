#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <optional>
#include <string>

#include <linux/seccomp.h>
#include <net/if.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "sandbox/policy/policy.h"

namespace hako::policy {
namespace {

struct NamedValue {
    std::string_view name;
    std::uint64_t value;
};

#define HAKO_NAMED(x)                     \
    NamedValue {                          \
        #x, static_cast<std::uint64_t>(x) \
    }
constexpr std::array kConstants = {
    HAKO_NAMED(AF_UNIX),
    HAKO_NAMED(AF_INET),
    HAKO_NAMED(AF_INET6),
    HAKO_NAMED(SOCK_STREAM),
    HAKO_NAMED(SOCK_DGRAM),
    HAKO_NAMED(SOCK_SEQPACKET),
    HAKO_NAMED(RLIMIT_CORE),
    HAKO_NAMED(S_IFMT),
    HAKO_NAMED(S_IFIFO),
    HAKO_NAMED(S_IFREG),
    HAKO_NAMED(S_IFSOCK),
    HAKO_NAMED(FIONREAD),
    HAKO_NAMED(FIONBIO),
    HAKO_NAMED(FIOCLEX),
    HAKO_NAMED(FIONCLEX),
    HAKO_NAMED(FIOASYNC),
    HAKO_NAMED(TCGETS),
    HAKO_NAMED(TIOCGWINSZ),
    HAKO_NAMED(TIOCGPGRP),
    HAKO_NAMED(SIOCGIFCONF),
    HAKO_NAMED(SIOCGIFNAME),
    HAKO_NAMED(SIOCGIFFLAGS),
    HAKO_NAMED(SIOCGIFADDR),
    HAKO_NAMED(SIOCGIFBRDADDR),
    HAKO_NAMED(SIOCGIFNETMASK),
    HAKO_NAMED(SIOCGIFMTU),
    HAKO_NAMED(SIOCGIFHWADDR),
    HAKO_NAMED(SIOCGIFINDEX),
    HAKO_NAMED(PR_SET_PDEATHSIG),
    HAKO_NAMED(PR_GET_PDEATHSIG),
    HAKO_NAMED(PR_GET_DUMPABLE),
    HAKO_NAMED(PR_SET_DUMPABLE),
    HAKO_NAMED(PR_GET_KEEPCAPS),
    HAKO_NAMED(PR_SET_NAME),
    HAKO_NAMED(PR_GET_NAME),
    HAKO_NAMED(PR_GET_SECCOMP),
    HAKO_NAMED(PR_CAPBSET_READ),
    HAKO_NAMED(PR_GET_SECUREBITS),
    HAKO_NAMED(PR_SET_TIMERSLACK),
    HAKO_NAMED(PR_GET_TIMERSLACK),
    HAKO_NAMED(PR_SET_CHILD_SUBREAPER),
    HAKO_NAMED(PR_GET_CHILD_SUBREAPER),
    HAKO_NAMED(PR_SET_NO_NEW_PRIVS),
    HAKO_NAMED(PR_GET_NO_NEW_PRIVS),
    HAKO_NAMED(PR_GET_TID_ADDRESS),
    HAKO_NAMED(PR_SET_THP_DISABLE),
    HAKO_NAMED(PR_GET_THP_DISABLE),
    HAKO_NAMED(PR_CAP_AMBIENT),
    HAKO_NAMED(PR_GET_SPECULATION_CTRL),
    HAKO_NAMED(PR_SET_VMA),
};
constexpr std::array kErrnos = {
    HAKO_NAMED(EPERM),
    HAKO_NAMED(EACCES),
    HAKO_NAMED(EINVAL),
    HAKO_NAMED(ENOSYS),
    HAKO_NAMED(ENOTTY),
    HAKO_NAMED(ENOMEM),
    HAKO_NAMED(EAFNOSUPPORT),
};
// Calls newer than Debian 12's libseccomp.
constexpr std::array kNewSyscalls = {
    NamedValue{"cachestat", 451},
    NamedValue{"fchmodat2", 452},
    NamedValue{"mseal", 462},
};
#undef HAKO_NAMED

// Far above every system call there is: the generator walks all numbers up to it.
constexpr std::uint64_t kNumberMax = 4096;
// As many as a conditional jump can step over: six instructions each at most.
constexpr std::size_t kConditionsMax = 42;

template <typename Table>
std::optional<std::uint64_t> look_up(const Table& table, std::string_view name) {
    for (const NamedValue& entry : table) {
        if (entry.name == name) {
            return entry.value;
        }
    }
    return std::nullopt;
}

std::optional<std::uint64_t> parse_value(std::string_view word) {
    if (auto named = look_up(kConstants, word)) {
        return named;
    }
    int base = 10;
    if (word.starts_with("0x")) {
        word.remove_prefix(2);
        base = 16;
    }
    std::uint64_t value = 0;
    auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
    if (error != std::errc{} || end != word.data() + word.size()) {
        return std::nullopt;
    }
    return value;
}

/// The words of one line, taken from the front.
class Words {
public:
    explicit Words(std::string_view line) : rest_(line) {}
    std::string_view next() {
        const std::size_t start = rest_.find_first_not_of(" \t");
        if (start == std::string_view::npos) {
            rest_ = {};
            return {};
        }
        rest_.remove_prefix(start);
        const std::size_t end = std::min(rest_.find_first_of(" \t"), rest_.size());
        const std::string_view word = rest_.substr(0, end);
        rest_.remove_prefix(end);
        return word;
    }

private:
    std::string_view rest_;
};

using Fault = std::unexpected<std::string>;

std::expected<std::uint32_t, std::string> parse_action(std::string_view verb, Words& words) {
    if (verb == "allow") {
        return SECCOMP_RET_ALLOW;
    }
    if (verb == "kill") {
        return SECCOMP_RET_KILL_PROCESS;
    }
    if (verb == "errno") {
        const std::string_view name = words.next();
        if (auto value = look_up(kErrnos, name)) {
            return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(*value);
        }
        return Fault("unknown errno " + std::string(name));
    }
    return Fault("unknown verb " + std::string(verb));
}

/// `argN[.64] == VALUE` or `argN & MASK == VALUE`.
std::expected<Condition, std::string> parse_condition(Words& words) {
    std::string_view subject = words.next();
    Condition condition;
    if (subject.ends_with(".64")) {
        condition.wide = true;
        subject.remove_suffix(3);
    }
    if (subject.size() != 4 || !subject.starts_with("arg") || subject[3] < '0' ||
        subject[3] > '5') {
        return Fault("expected arg0..arg5, got " + std::string(subject));
    }
    condition.arg_index = static_cast<std::uint32_t>(subject[3] - '0');
    std::string_view op = words.next();
    if (op == "&") {
        const auto mask = parse_value(words.next());
        if (!mask) {
            return Fault("bad mask");
        }
        condition.mask = *mask;
        op = words.next();
    }
    if (op != "==") {
        return Fault("expected ==, got " + std::string(op));
    }
    const auto value = parse_value(words.next());
    if (!value) {
        return Fault("bad value");
    }
    condition.value = *value;
    return condition;
}

/// The number; nothing for a call that this architecture does not have.
std::expected<std::optional<std::uint32_t>, std::string> parse_syscall(std::string_view name) {
    const std::string terminated(name);
    const int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_NATIVE, terminated.c_str());
    if (number >= 0) {
        return static_cast<std::uint32_t>(number);
    }
    if (auto known = look_up(kNewSyscalls, name)) {
        return static_cast<std::uint32_t>(*known);
    }
    if (number == __NR_SCMP_ERROR) {
        return Fault("unknown system call " + terminated);
    }
    return std::nullopt;
}

std::expected<void, std::string> parse_line(Policy& policy, std::string_view line) {
    Words words(line);
    const std::string_view verb = words.next();
    if (verb == "default" || verb == "above") {
        if (verb == "above") {
            const auto number = parse_value(words.next());
            if (!number || *number > kNumberMax) {
                return Fault("bad number");
            }
            policy.above_number = static_cast<std::uint32_t>(*number);
        }
        const auto action = parse_action(words.next(), words);
        if (!action) {
            return Fault(action.error());
        }
        (verb == "default" ? policy.default_action : policy.above_action) = *action;
        return {};
    }
    Rule rule;
    const auto action = parse_action(verb, words);
    if (!action) {
        return Fault(action.error());
    }
    rule.action = *action;
    const auto number = parse_syscall(words.next());
    if (!number) {
        return Fault(number.error());
    }
    for (std::string_view word = words.next(); !word.empty(); word = words.next()) {
        if (word != (rule.conditions.empty() ? "if" : "and")) {
            return Fault("expected if/and, got " + std::string(word));
        }
        auto condition = parse_condition(words);
        if (!condition) {
            return Fault(condition.error());
        }
        if (rule.conditions.size() == kConditionsMax) {
            return Fault("too many conditions");
        }
        rule.conditions.push_back(*condition);
    }
    if (*number) {
        auto& rules = policy.rules[**number];
        if (!rules.empty() && rules.back().conditions.empty()) {
            return Fault("rule can never be reached");
        }
        rules.push_back(std::move(rule));
    }
    return {};
}

}  // namespace

std::expected<Policy, std::string> parse(std::string_view text) {
    Policy policy;
    int line_number = 0;
    while (!text.empty()) {
        ++line_number;
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view whole = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const std::size_t hash = whole.find('#');
        const std::string_view code = whole.substr(0, std::min(hash, whole.size()));
        if (code.find_first_not_of(" \t") == std::string_view::npos) {
            continue;
        }
        // A rule nobody can justify does not belong in the policy.
        if (hash == std::string_view::npos ||
            whole.substr(hash + 1).find_first_not_of(" \t") == std::string_view::npos) {
            return Fault("line " + std::to_string(line_number) + ": no reason given");
        }
        if (auto done = parse_line(policy, code); !done) {
            return Fault("line " + std::to_string(line_number) + ": " + done.error());
        }
    }
    if (policy.default_action == 0 || policy.above_number == 0) {
        return Fault("needs a default and an above line");
    }
    for (const auto& [number, rules] : policy.rules) {
        if (number > policy.above_number) {
            return Fault("system call " + std::to_string(number) + " lies above the above line");
        }
    }
    return policy;
}

}  // namespace hako::policy
