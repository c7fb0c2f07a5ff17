#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <benchmark/benchmark.h>

#include "engine/base/clock.h"
#include "engine/base/unique_fd.h"
#include "engine/meter/bill.h"
#include "engine/meter/billing.h"
#include "engine/meter/cgroup_meter.h"
#include "engine/meter/crc32c.h"
#include "engine/meter/ledger.h"
#include "engine/meter/report.h"
#include "engine/meter/request_id.h"
#include "engine/meter/time_text.h"
#include "engine/observe/log_collector.h"
#include "engine/observe/metrics.h"

// What accounting costs per invocation; together it must stay under 3 us (KERNEL.md, "Accounting").
namespace hako::meter {
namespace {

class TempDir {
public:
    TempDir() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "hako-bench-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) {
            std::abort();
        }
        path_ = pattern;
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir() {
        std::error_code ignored;  // a leftover in /tmp changes no number
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

/// A v1 cgroup in the cpuacct and memory hierarchies under a name of this process, with one child
/// in it that used some of both and then sleeps. Removed when destroyed.
class BenchCgroup {
public:
    BenchCgroup() {
        const std::string name = "hako-meter-bench-" + std::to_string(::getpid());
        cpu_path_ = "/sys/fs/cgroup/cpuacct/" + name;
        memory_path_ = "/sys/fs/cgroup/memory/" + name;
        if (::mkdir(cpu_path_.c_str(), 0755) < 0) {
            cpu_path_.clear();
            return;
        }
        if (::mkdir(memory_path_.c_str(), 0755) < 0) {
            memory_path_.clear();
            return;
        }
        child_ = ::fork();
        if (child_ == 0) {
            run_child();
        }
        cpu_fd_.reset(::open((cpu_path_ + "/cpuacct.usage").c_str(), O_RDONLY | O_CLOEXEC));
        memory_fd_.reset(
            ::open((memory_path_ + "/memory.max_usage_in_bytes").c_str(), O_RDWR | O_CLOEXEC)
        );
    }
    BenchCgroup(const BenchCgroup&) = delete;
    BenchCgroup& operator=(const BenchCgroup&) = delete;
    ~BenchCgroup() {
        if (child_ > 0) {
            (void)::kill(child_, SIGKILL);  // ours, not reaped yet: it exists
            (void)::waitpid(child_, nullptr, 0);
        }
        if (!cpu_path_.empty()) {
            (void)::rmdir(cpu_path_.c_str());
        }
        if (!memory_path_.empty()) {
            (void)::rmdir(memory_path_.c_str());
        }
    }
    [[nodiscard]] bool ok() const { return cpu_fd_ && memory_fd_; }
    [[nodiscard]] CgroupMeterOptions options(bool peak_resets) const {
        return {.cpu_fd = cpu_fd_.get(), .memory_fd = memory_fd_.get(), .peak_resets = peak_resets};
    }

private:
    [[noreturn]] void run_child() const {
        std::ofstream(cpu_path_ + "/tasks") << "0";
        std::ofstream(memory_path_ + "/tasks") << "0";
        const std::string touched(1U << 20U, 'x');
        benchmark::DoNotOptimize(touched.data());
        while (true) {
            ::pause();
        }
    }
    std::string cpu_path_;
    std::string memory_path_;
    UniqueFd cpu_fd_;
    UniqueFd memory_fd_;
    pid_t child_ = -1;
};

LedgerRecord sample_record() {
    LedgerRecord record;
    record.start_wall_us = wall_us();
    record.duration_us = 1234;
    record.billed_us = 100'000;
    record.cpu_us = 900;
    record.memory_mib = 128;
    record.memory_peak_bytes = 35U << 20U;
    record.set_function_name("thumbnail");
    return record;
}

/// A ledger with the offload thread beside it, as in the engine.
class ServedLedger {
public:
    explicit ServedLedger(const std::string& directory) {
        auto opened = Ledger::open({.directory = directory});
        if (!opened) {
            std::abort();
        }
        ledger = std::move(*opened);
        helper_ = std::thread([this] {
            while (!stop_.load(std::memory_order_relaxed)) {
                if (ledger->wants_segment() && !ledger->prepare_next()) {
                    std::abort();
                }
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
        });
    }
    ServedLedger(const ServedLedger&) = delete;
    ServedLedger& operator=(const ServedLedger&) = delete;
    ~ServedLedger() {
        stop_.store(true);
        helper_.join();
    }
    void append(LedgerRecord& record) const {
        while (!ledger->append(record)) {
            std::this_thread::yield();
        }
    }
    std::unique_ptr<Ledger> ledger;

private:
    std::atomic<bool> stop_ = false;
    std::thread helper_;
};

// As many records as fit four default segments: on average with page faults, without waiting for
// the helper.
constexpr std::int64_t kAppends = 100'000;

void BM_LedgerAppend(benchmark::State& state) {
    const TempDir dir;
    const ServedLedger served(dir.path());
    LedgerRecord record = sample_record();
    for (auto _ : state) {
        served.append(record);
    }
}
BENCHMARK(BM_LedgerAppend)->Iterations(kAppends);

/// One append after each sync, which write-protects the page: what a quiet engine pays.
void BM_LedgerAppendAfterSync(benchmark::State& state) {
    const TempDir dir;
    const ServedLedger served(dir.path());
    LedgerRecord record = sample_record();
    for (auto _ : state) {
        const std::int64_t start_ns = now_ns();
        served.append(record);
        state.SetIterationTime(static_cast<double>(now_ns() - start_ns) * 1e-9);
        if (!served.ledger->sync()) {
            state.SkipWithError("sync");
        }
    }
}
BENCHMARK(BM_LedgerAppendAfterSync)->Iterations(500)->UseManualTime();

void BM_LedgerSyncOfOneRecord(benchmark::State& state) {
    const TempDir dir;
    const ServedLedger served(dir.path());
    LedgerRecord record = sample_record();
    for (auto _ : state) {
        served.append(record);
        if (!served.ledger->sync()) {
            state.SkipWithError("sync");
        }
    }
}
BENCHMARK(BM_LedgerSyncOfOneRecord)->Iterations(500);

void BM_LedgerSummarise(benchmark::State& state) {
    const TempDir dir;
    {
        const ServedLedger served(dir.path());
        LedgerRecord record = sample_record();
        for (std::int64_t i = 0; i < kAppends; ++i) {
            served.append(record);
        }
    }
    for (auto _ : state) {
        auto reader = LedgerReader::open(dir.path());
        benchmark::DoNotOptimize(summarise(*reader, {}));
    }
    state.SetItemsProcessed(state.iterations() * kAppends);
}
BENCHMARK(BM_LedgerSummarise)->Unit(benchmark::kMillisecond);

void BM_Crc32cOfARecord(benchmark::State& state) {
    const LedgerRecord record = sample_record();
    for (auto _ : state) {
        benchmark::DoNotOptimize(record.compute_crc());
    }
}
BENCHMARK(BM_Crc32cOfARecord);

void BM_RequestIdNext(benchmark::State& state) {
    RequestIdGenerator generator;
    for (auto _ : state) {
        benchmark::DoNotOptimize(generator.next());
    }
}
BENCHMARK(BM_RequestIdNext);

void BM_StartEndReportLines(benchmark::State& state) {
    RequestIdGenerator generator;
    const RequestId id = generator.next();
    LineBuffer buffer;
    for (auto _ : state) {
        benchmark::DoNotOptimize(format_start(buffer, id, 0));
        benchmark::DoNotOptimize(format_end(buffer, id));
        const ReportLine line{
            .request_id = id,
            .duration_us = 1234,
            .billed_us = 100'000,
            .memory_mib = 128,
            .memory_peak_bytes = 35U << 20U,
        };
        benchmark::DoNotOptimize(format_report(buffer, line));
    }
}
BENCHMARK(BM_StartEndReportLines);

void BM_IsoTime(benchmark::State& state) {
    IsoClock clock;
    std::int64_t at_us = wall_us();
    for (auto _ : state) {
        benchmark::DoNotOptimize(clock.format(at_us));
        at_us += 100;
    }
}
BENCHMARK(BM_IsoTime);

void BM_MetricsRecord(benchmark::State& state) {
    const auto metrics = std::make_unique<observe::Metrics>();
    const LedgerRecord record = sample_record();
    for (auto _ : state) {
        metrics->record(record);
    }
}
BENCHMARK(BM_MetricsRecord);

/// START, one line, END, REPORT into the buffers; flushed outside the measured time.
void BM_LogOfOneInvocation(benchmark::State& state) {
    const TempDir dir;
    const auto logs = observe::FunctionLogs::make({.directory = dir.path()});
    observe::LogCollector collector(**logs, (*logs)->open("thumbnail").value());
    const std::string line(100, 'x');
    std::uint64_t rounds_count = 0;
    for (auto _ : state) {
        collector.begin(line);
        collector.feed("made a thumbnail of 640 by 480\n");
        collector.end(line, line);
        if (++rounds_count % 1000 == 0) {
            state.PauseTiming();
            if (!(*logs)->flush(wall_us())) {
                state.SkipWithError("flush");
            }
            state.ResumeTiming();
        }
    }
}
BENCHMARK(BM_LogOfOneInvocation);

void BM_CgroupReads(benchmark::State& state) {
    const BenchCgroup cgroup;
    if (!cgroup.ok()) {
        state.SkipWithError("needs the right to make cgroups in cgroup v1 cpuacct and memory");
        return;
    }
    CgroupMeter cgroup_meter(cgroup.options(state.range(0) != 0));
    for (auto _ : state) {
        benchmark::DoNotOptimize(cgroup_meter.begin());
        benchmark::DoNotOptimize(cgroup_meter.end());
    }
}
BENCHMARK(BM_CgroupReads)->ArgName("peak_resets")->Arg(0)->Arg(1);

/// Everything one invocation's accounting does, in the order of the engine.
void BM_WholeAccounting(benchmark::State& state) {
    const BenchCgroup cgroup;
    if (!cgroup.ok()) {
        state.SkipWithError("needs the right to make cgroups in cgroup v1 cpuacct and memory");
        return;
    }
    const TempDir dir;
    const ServedLedger served(dir.path());
    CgroupMeter cgroup_meter(cgroup.options(true));
    RequestIdGenerator generator;
    const auto metrics = std::make_unique<observe::Metrics>();
    LineBuffer buffer;
    for (auto _ : state) {
        LedgerRecord record = sample_record();  // reads the wall clock
        record.request_id = generator.next();
        benchmark::DoNotOptimize(format_start(buffer, record.request_id, 0));
        benchmark::DoNotOptimize(cgroup_meter.begin());
        const std::int64_t start_us = now_us();
        record.duration_us = static_cast<std::uint64_t>(now_us() - start_us);
        const auto use = cgroup_meter.end();
        if (use) {
            record.cpu_us = use->cpu_us;
            record.memory_peak_bytes = use->memory_peak_bytes;
        }
        record.billed_us = billed_us(record.duration_us, 0, 100);
        served.append(record);
        metrics->record(record);
        const ReportLine line{
            .request_id = record.request_id,
            .duration_us = record.duration_us,
            .billed_us = record.billed_us,
            .memory_mib = record.memory_mib,
            .memory_peak_bytes = record.memory_peak_bytes,
        };
        benchmark::DoNotOptimize(format_end(buffer, record.request_id));
        benchmark::DoNotOptimize(format_report(buffer, line));
    }
}
BENCHMARK(BM_WholeAccounting)->Iterations(kAppends);

}  // namespace
}  // namespace hako::meter

BENCHMARK_MAIN();
