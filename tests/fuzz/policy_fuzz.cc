#include "engine/base/ensure.h"
#include "sandbox/policy/policy.h"
#include "tests/fuzz/fuzz.h"

// The seccomp policy compiler: any text is either refused or becomes a program that the kernel
// would load and that decides as the text says.

namespace {

using namespace hako;
using namespace hako::policy;

constexpr std::size_t kProgramMax = 4096;  // BPF_MAXINSNS

/// Calls at the edges of each rule: verify() tries every number, which takes a second.
void check_edges(const Policy& policy, std::span<const sock_filter> program) {
    const auto agree = [&policy, program](const Call& call) {
        ENSURE(
            decide(policy, call) == interpret(program, call), "the program does as the text says"
        );
    };
    Call call{.arch = native_audit_arch(), .number = 0, .args = {}};
    for (const std::uint32_t number :
         {0U, policy.above_number, policy.above_number + 1, UINT32_MAX}) {
        call.number = number;
        agree(call);
    }
    for (const auto& [number, rules] : policy.rules) {
        for (const Rule& rule : rules) {
            call = {.arch = native_audit_arch(), .number = number, .args = {}};
            agree(call);
            for (const Condition& condition : rule.conditions) {
                call.args[condition.arg_index] = condition.value;
                agree(call);
            }
            for (const Condition& condition : rule.conditions) {
                for (const std::uint64_t value :
                     {condition.value + 1,
                      condition.value ^ (std::uint64_t{1} << 40U),
                      ~condition.value}) {
                    const std::uint64_t before = call.args[condition.arg_index];
                    call.args[condition.arg_index] = value;
                    agree(call);
                    call.args[condition.arg_index] = before;
                }
            }
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    const std::string_view text(reinterpret_cast<const char*>(data), bytes);
    const auto policy = parse(text);
    if (!policy) {
        ENSURE(!policy.error().empty(), "a refusal says why");
        return 0;
    }
    const std::vector<sock_filter> program = generate(*policy);
    if (program.size() <= kProgramMax) {
        check_edges(*policy, program);
    }
    return 0;
}
