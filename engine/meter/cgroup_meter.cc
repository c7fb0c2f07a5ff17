#include "engine/meter/cgroup_meter.h"

#include <array>
#include <charconv>
#include <span>

#include <unistd.h>

namespace hako::meter {
namespace {

constexpr std::size_t kNumberBytesMax = 32;
// usage_usec is the first line of cpu.stat; 128 bytes hold it whatever follows.
constexpr std::size_t kCpuStatBytes = 128;

Result<std::string_view> read_file(int fd, std::span<char> into, const char* what) noexcept {
    const ssize_t got = ::pread(fd, into.data(), into.size(), 0);
    if (got < 0) {
        return fail_errno(what);
    }
    return std::string_view(into.data(), static_cast<std::size_t>(got));
}

Result<std::uint64_t> read_cpu_us(const CgroupMeterOptions& options) noexcept {
    if (options.cgroup_v2) {
        std::array<char, kCpuStatBytes> buffer;
        TRY_ASSIGN(const std::string_view text, read_file(options.cpu_fd, buffer, "read cpu.stat"));
        return parse_usage_usec(text);
    }
    std::array<char, kNumberBytesMax> buffer;
    TRY_ASSIGN(
        const std::string_view text, read_file(options.cpu_fd, buffer, "read cpuacct.usage")
    );
    TRY_ASSIGN(const std::uint64_t cpu_ns, parse_number(text));
    // Floors of a running total: differences of them add up to the total.
    return cpu_ns / 1000;
}

Result<std::uint64_t> read_peak_bytes(int fd) noexcept {
    std::array<char, kNumberBytesMax> buffer;
    TRY_ASSIGN(const std::string_view text, read_file(fd, buffer, "read memory peak"));
    return parse_number(text);
}

}  // namespace

Result<std::uint64_t> parse_number(std::string_view text) noexcept {
    if (!text.empty() && text.back() == '\n') {
        text.remove_suffix(1);
    }
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        return fail(Errc::kProtocol, "cgroup file is not a number");
    }
    return value;
}

Result<std::uint64_t> parse_usage_usec(std::string_view text) noexcept {
    constexpr std::string_view kKey = "usage_usec ";
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos) {
            break;  // a cut line: its number may be short of digits
        }
        if (text.starts_with(kKey)) {
            return parse_number(text.substr(kKey.size(), end - kKey.size()));
        }
        text.remove_prefix(end + 1);
    }
    return fail(Errc::kProtocol, "cpu.stat has no usage_usec");
}

Result<CgroupUse> CgroupMeter::prime() noexcept {
    return end();
}

Result<void> CgroupMeter::begin() noexcept {
    if (options_.peak_resets && options_.memory_fd >= 0 &&
        ::pwrite(options_.memory_fd, "0\n", 2, 0) < 0) {
        return fail_errno("reset memory peak");
    }
    return {};
}

Result<CgroupUse> CgroupMeter::end() noexcept {
    CgroupUse use;
    if (options_.memory_fd >= 0) {
        TRY_ASSIGN(use.memory_peak_bytes, read_peak_bytes(options_.memory_fd));
    }
    if (options_.cpu_fd >= 0) {
        TRY_ASSIGN(const std::uint64_t cpu_us, read_cpu_us(options_));
        // v1's per-cpu counters may be read in the middle of an update; never charge less than 0.
        if (cpu_us > cpu_last_us_) {
            use.cpu_us = cpu_us - cpu_last_us_;
            cpu_last_us_ = cpu_us;
        }
    }
    return use;
}

}  // namespace hako::meter
