#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "engine/meter/ledger.h"

// Writes a small ledger into argv[1], for the test of `hako bill`: three invocations of "greet" at
// $LATEST, one of version 2, one of "resize".
namespace hako::meter {
namespace {

struct Invocation {
    std::string_view function;
    std::uint32_t version;
    std::uint64_t duration_us;
    Outcome outcome;
};

constexpr Invocation kInvocations[] = {
    {"greet", 0, 1001, Outcome::kOk},
    {"greet", 0, 100002, Outcome::kFunctionError},
    {"greet", 0, 3, Outcome::kOk},
    {"greet", 2, 50000, Outcome::kOk},
    {"resize", 0, 250007, Outcome::kTimeout},
};
constexpr std::int64_t kStartWallUs = 1513245600'000000;  // 2017-12-14T10:00:00Z

int write_ledger(const char* directory) {
    auto ledger = Ledger::open({.directory = directory});
    if (!ledger) {
        std::fprintf(stderr, "%s: %s\n", directory, ledger.error().what);
        return EXIT_FAILURE;
    }
    std::int64_t start_wall_us = kStartWallUs;
    for (const Invocation& invocation : kInvocations) {
        LedgerRecord record;
        record.outcome = invocation.outcome;
        record.start_wall_us = start_wall_us;
        record.duration_us = invocation.duration_us;
        record.billed_us = (invocation.duration_us + 99999) / 100000 * 100000;
        record.cpu_us = invocation.duration_us / 2;
        record.memory_mib = 128;
        record.version = invocation.version;
        record.increment_ms = 100;
        record.set_function_name(invocation.function);
        if (!(*ledger)->append(record)) {
            std::fputs("append failed\n", stderr);
            return EXIT_FAILURE;
        }
        start_wall_us += 3'600'000'000;
    }
    return EXIT_SUCCESS;
}

}  // namespace
}  // namespace hako::meter

int main(int argc, char** argv) {
    return argc == 2 ? hako::meter::write_ledger(argv[1]) : 2;
}
