#include "bench/load/placement.h"

#include <sched.h>

namespace hako::bench {

Result<void> pin_to_cpu(int cpu) {
    if (cpu < 0) {
        return {};
    }
    if (cpu >= CPU_SETSIZE) {
        return fail(Errc::kInvalid, "cpu: over the largest processor number");
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(cpu), &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        return fail_errno("sched_setaffinity");
    }
    return {};
}

}  // namespace hako::bench
