#pragma once

#include <cstdint>
#include <string_view>

#include "engine/base/result.h"

namespace hako::meter {

struct CgroupMeterOptions {
    int cpu_fd = -1;           // spawner::kFdCpuUsage, borrowed; -1: CPU time reads as 0
    int memory_fd = -1;        // spawner::kFdMemoryPeak, borrowed; -1: peak reads as 0
    bool cgroup_v2 = false;    // cpu_fd is cpu.stat, not cpuacct.usage
    bool peak_resets = false;  // spawner::kFeatureMemoryPeakReset
};

struct CgroupUse {
    std::uint64_t cpu_us = 0;
    std::uint64_t memory_peak_bytes = 0;
};

/// Reads what one sandbox used. CPU time is the difference to the reading before, so one pread(2)
/// per invocation suffices and no microsecond is lost or counted twice: an invocation is charged
/// all CPU time of its sandbox since the previous one ended (or since `prime`), which includes what
/// ran in the background while the sandbox was idle and not frozen. Peak memory is that of the
/// invocation where the kernel can reset it, else of the sandbox's life so far (as on AWS).
/// The counters move only once the task is off the CPU (KERNEL.md): call `end` after it blocked.
class CgroupMeter {
public:
    CgroupMeter() noexcept = default;
    explicit CgroupMeter(const CgroupMeterOptions& options) noexcept : options_(options) {}

    /// Takes the first CPU reading, and says what was used until then: call it when init is done,
    /// so that the first invocation is not charged the init's CPU time.
    [[nodiscard]] Result<CgroupUse> prime() noexcept;
    /// Start of an invocation: resets the memory peak where that works, else does nothing.
    [[nodiscard]] Result<void> begin() noexcept;
    /// End of an invocation. Errors: kSystem (ENODEV once the cgroup is gone), kProtocol.
    [[nodiscard]] Result<CgroupUse> end() noexcept;

private:
    CgroupMeterOptions options_;
    std::uint64_t cpu_last_us_ = 0;
};

/// The parsers, for tests. Nothing but digits, an optional line end. Errors: kProtocol.
[[nodiscard]] Result<std::uint64_t> parse_number(std::string_view text) noexcept;
/// The `usage_usec` line of cpu.stat. Errors: kProtocol.
[[nodiscard]] Result<std::uint64_t> parse_usage_usec(std::string_view text) noexcept;

}  // namespace hako::meter
