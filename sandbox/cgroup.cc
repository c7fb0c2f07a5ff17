#include "sandbox/cgroup.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/ensure.h"
#include "sandbox/cgroup_files.h"

namespace hako::sandbox {
namespace {

// A little more than RLIMIT_NPROC: init, and threads that are just ending.
constexpr std::string_view kPidsMax = "1032";

// Lambda gives a whole core at 1769 MB. Its period, too: the shorter, the shorter the pauses, and
// the kernel refuses a quota below 1000 us, which 128 MiB stay above (1447 us).
constexpr std::uint64_t kMemoryMibPerCore = 1769;
constexpr std::uint64_t kCpuPeriodUs = 20'000;

bool write_all(int fd, std::string_view text) noexcept {
    return ::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
}

struct Decimal {
    explicit Decimal(std::uint64_t value) noexcept {
        length = static_cast<std::size_t>(
            std::to_chars(text.data(), text.data() + text.size(), value).ptr - text.data()
        );
    }
    [[nodiscard]] std::string_view view() const noexcept { return {text.data(), length}; }
    std::array<char, 24> text{};  // ends with a NUL
    std::size_t length;
};

/// v1 shares are MiB as they are (KERNEL.md: split as asked within 1.3 %); v2 weights end at 10000.
std::uint64_t cpu_weight(int version, std::uint32_t memory_mib) noexcept {
    constexpr std::uint64_t kMemoryMibAtMax = 32768;
    if (version == 1) {
        return memory_mib;
    }
    return std::max<std::uint64_t>(
        1, (std::uint64_t{memory_mib} * 10000 + kMemoryMibAtMax / 2) / kMemoryMibAtMax
    );
}

/// A number behind `key` at the start of a line, or the whole file if `key` is empty.
std::uint64_t read_number(const UniqueFd& fd, std::string_view key) noexcept {
    std::array<char, 4096> buffer;
    const ssize_t got = fd ? ::pread(fd.get(), buffer.data(), buffer.size(), 0) : -1;
    if (got <= 0) {
        return 0;
    }
    std::string_view text(buffer.data(), static_cast<std::size_t>(got));
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.starts_with(key)) {
            line.remove_prefix(key.size());
            std::uint64_t value = 0;
            (void)std::from_chars(line.data(), line.data() + line.size(), value);  // else 0
            return value;
        }
    }
    return 0;
}

}  // namespace

Result<Cgroup> CgroupTree::make(std::uint32_t slot) const {
    Cgroup group;
    group.tree_ = this;
    group.name_ = std::string(kLeafPrefix) + std::to_string(slot);
    for (const Hierarchy& hierarchy : hierarchies_) {
        const int dir = hierarchy.tree_dir.get();
        if (::mkdirat(dir, group.name_.c_str(), 0755) != 0) {
            const Error error = errno_error("mkdir cgroup");
            (void)group.remove();  // what was made of it; leftovers are cleaned at the next start
            return fail(error);
        }
        const std::string join = version_ == 1 ? group.name_ + "/tasks" : group.name_;
        const int flags = version_ == 1 ? O_WRONLY : O_RDONLY | O_DIRECTORY;
        UniqueFd fd(::openat(dir, join.c_str(), flags | O_CLOEXEC));
        if (!fd) {
            const Error error = errno_error("open cgroup");
            (void)group.remove();  // as above
            return fail(error);
        }
        group.join_fds_.push_back(std::move(fd));
    }
    group.memory_limit_ = group.open_file(ControlFile::kMemoryLimit, O_WRONLY);
    group.swap_limit_ = group.open_file(ControlFile::kSwapLimit, O_WRONLY);
    group.cpu_weight_ = group.open_file(ControlFile::kCpuWeight, O_WRONLY);
    if (caps_cpu_) {
        group.cpu_quota_ = group.open_file(ControlFile::kCpuQuota, O_WRONLY);
    }
    const UniqueFd pids = group.open_file(ControlFile::kPidsMax, O_WRONLY);
    if (pids && !write_all(pids.get(), kPidsMax)) {
        const Error error = errno_error("pids.max");
        (void)group.remove();  // as above
        return fail(error);
    }
    return group;
}

UniqueFd Cgroup::open_file(ControlFile file, int flags) const noexcept {
    ENSURE(tree_ != nullptr, "a cgroup was used after its removal");
    return tree_->open_in(name_, file, flags);
}

Result<void> Cgroup::set_limits(std::uint32_t memory_mib) noexcept {
    const Decimal bytes(std::uint64_t{memory_mib} << 20U);
    const bool v1 = tree_->version() == 1;
    if (swap_limit_ && v1) {
        // memsw may not lie below the limit, so raising needs it first; lowering refuses that.
        (void)write_all(swap_limit_.get(), bytes.view());
    }
    if (memory_limit_ && !write_all(memory_limit_.get(), bytes.view())) {
        return fail_errno("memory limit");
    }
    if (swap_limit_ && !write_all(swap_limit_.get(), v1 ? bytes.view() : "0")) {
        return fail_errno("swap limit");
    }
    memory_limit_.reset();
    swap_limit_.reset();
    return set_cpu_limits(memory_mib);
}

Result<void> Cgroup::set_cpu_limits(std::uint32_t memory_mib) noexcept {
    const Decimal weight(cpu_weight(tree_->version(), memory_mib));
    if (cpu_weight_ && !write_all(cpu_weight_.get(), weight.view())) {
        return fail_errno("cpu weight");
    }
    cpu_weight_.reset();
    if (!tree_->caps_cpu()) {
        return {};
    }
    const Decimal quota(kCpuPeriodUs * memory_mib / kMemoryMibPerCore);
    const Decimal period(kCpuPeriodUs);
    bool written = false;
    if (tree_->version() == 1) {
        const UniqueFd period_file = open_file(ControlFile::kCpuPeriod, O_WRONLY);
        written = write_all(period_file.get(), period.view()) &&
                  write_all(cpu_quota_.get(), quota.view());
    } else {
        std::array<char, 64> both;
        const auto bytes =
            std::snprintf(both.data(), both.size(), "%s %s", quota.text.data(), period.text.data());
        written = write_all(cpu_quota_.get(), {both.data(), static_cast<std::size_t>(bytes)});
    }
    cpu_quota_.reset();
    return written ? Result<void>{} : fail_errno("cpu quota");
}

CgroupUsage Cgroup::read_usage() const noexcept {
    const bool v1 = tree_->version() == 1;
    const UniqueFd cpu = open_file(ControlFile::kCpuUsage, O_RDONLY);
    const UniqueFd peak = open_file(ControlFile::kMemoryPeak, O_RDONLY);
    const UniqueFd oom = open_file(ControlFile::kOomKills, O_RDONLY);
    return CgroupUsage{
        .cpu_ns = v1 ? read_number(cpu, "") : read_number(cpu, "usage_usec ") * 1000,
        .memory_peak_bytes = read_number(peak, ""),
        .oom_kill_count = static_cast<std::uint32_t>(read_number(oom, "oom_kill ")),
    };
}

void Cgroup::thaw_and_kill() const noexcept {
    thaw_and_kill_leaf(*tree_, name_);
}

std::vector<int> Cgroup::read_pids() const {
    return tree_ == nullptr || tree_->hierarchies().empty()
               ? std::vector<int>{}
               : read_leaf_pids(tree_->hierarchies().front(), name_);
}

Result<bool> Cgroup::remove() noexcept {
    if (tree_ == nullptr) {
        return true;
    }
    join_fds_.clear();
    bool busy = false;
    std::optional<Error> fault;
    for (const Hierarchy& hierarchy : tree_->hierarchies()) {
        if (::unlinkat(hierarchy.tree_dir.get(), name_.c_str(), AT_REMOVEDIR) != 0) {
            if (errno == EBUSY) {
                busy = true;
            } else if (errno != ENOENT) {  // ENOENT: an earlier try got this far
                fault = errno_error("rmdir cgroup");
            }
        }
    }
    if (fault) {
        return fail(*fault);
    }
    if (!busy) {
        *this = Cgroup();
    }
    return !busy;
}

}  // namespace hako::sandbox
