#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <random>
#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/meter/bill.h"
#include "tests/unit/meter/ledger_fixture.h"

namespace hako::meter::test {
namespace {

using hako::test::FdLeakCheck;
using hako::test::TempDir;

constexpr int kChildSkip = 77;
constexpr std::uint64_t kCrashSegmentBytes = 4096 + 1024 * sizeof(LedgerRecord);

/// Prepares segments and syncs until told to stop: the engine's offload thread.
void serve_ledger(Ledger& ledger, const std::atomic<bool>& stop) {
    while (!stop.load()) {
        if (ledger.wants_segment() && !ledger.prepare_next()) {
            ::_exit(3);
        }
        if (ledger.dirty() && !ledger.sync()) {
            ::_exit(4);
        }
    }
}

/// Appends at full speed and acknowledges every `ack_every`-th record through the pipe, for ever.
[[noreturn]] void append_until_killed(
    const std::string& directory, int ack_fd, std::uint64_t ack_every
) {
    auto ledger = Ledger::open({.directory = directory, .segment_bytes = kCrashSegmentBytes});
    if (!ledger) {
        ::_exit(2);
    }
    const std::atomic<bool> never = false;
    std::thread helper([&ledger, &never] { serve_ledger(**ledger, never); });
    while (true) {
        LedgerRecord record = record_of((*ledger)->last_sequence() + 1);
        if (!(*ledger)->append(record)) {
            continue;  // the helper is still making the segment
        }
        if (record.sequence % ack_every == 0 &&
            ::write(ack_fd, &record.sequence, sizeof record.sequence) !=
                static_cast<ssize_t>(sizeof record.sequence)) {
            ::_exit(5);
        }
    }
}

/// Starts the writer, kills it after `acks_count` acknowledgements, and returns the last one.
std::uint64_t run_and_kill(
    const std::string& directory, std::uint64_t acks_count, std::uint64_t ack_every
) {
    int fds[2] = {-1, -1};
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    const UniqueFd read_end(fds[0]);
    UniqueFd write_end(fds[1]);
    const pid_t child = ::fork();
    if (child == 0) {
        append_until_killed(directory, write_end.get(), ack_every);
    }
    write_end.reset();
    std::uint64_t acknowledged = 0;
    std::uint64_t sequence = 0;
    for (std::uint64_t i = 0;
         ::read(read_end.get(), &sequence, sizeof sequence) == ssize_t(sizeof sequence);
         ++i) {
        acknowledged = sequence;
        if (i == acks_count) {
            EXPECT_EQ(::kill(child, SIGKILL), 0);
        }
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "status " << status;
    return acknowledged;
}

TEST(LedgerCrash, KeepsEveryAcknowledgedRecordAcrossKills) {
    const FdLeakCheck leaks;
    const TempDir dir;
    std::mt19937_64 random(std::random_device{}());
    std::uint64_t torn_count = 0;
    std::uint64_t last = 0;
    for (int round = 0; round < 30; ++round) {
        const std::uint64_t ack_every = round % 2 == 0 ? 1 : 64;
        const std::uint64_t acks_count = random() % (ack_every == 1 ? 3000 : 200);
        const std::uint64_t acknowledged = run_and_kill(dir.path(), acks_count, ack_every);
        ASSERT_GT(acknowledged, last) << "round " << round;

        auto reader = LedgerReader::open(dir.path());
        const auto bill = summarise(*reader, {});
        ASSERT_TRUE(bill.has_value());
        ASSERT_EQ(bill->gap_records_count, 0U);
        const std::uint64_t count = bill->total.invocations_count;
        ASSERT_GE(count, acknowledged) << "an acknowledged record is gone, round " << round;
        std::uint64_t duration_us = 0;
        std::uint64_t cpu_us = 0;
        for (std::uint64_t i = 1; i <= count; ++i) {
            duration_us += duration_of(i);
            cpu_us += cpu_of(i);
        }
        ASSERT_EQ(bill->total.duration_us, duration_us);
        ASSERT_EQ(bill->total.cpu_us, cpu_us);

        const auto ledger = open_ledger(dir.path(), kCrashSegmentBytes);
        ASSERT_EQ(ledger->last_sequence(), count);
        ASSERT_EQ(ledger->recovery().gap_records_count, 0U);
        ASSERT_LE(ledger->recovery().torn_count, 1U);
        torn_count += ledger->recovery().torn_count;
        last = count;
    }
    std::printf(
        "30 kills, %llu records kept, %llu torn and removed\n",
        static_cast<unsigned long long>(last),
        static_cast<unsigned long long>(torn_count)
    );
}

TEST(LedgerCrash, ReaderSeesEveryRecordOnceWhileTheWriterWrites) {
    const FdLeakCheck leaks;
    const TempDir dir;
    constexpr std::uint64_t kRecords = 25'000;
    const auto ledger = open_ledger(dir.path(), kSmallSegmentBytes);
    std::atomic<bool> stop = false;
    std::thread helper([&ledger, &stop] { serve_ledger(*ledger, stop); });
    std::thread writer([&ledger] {
        for (std::uint64_t i = 1; i <= kRecords;) {
            LedgerRecord record = record_of(i);
            if (ledger->append(record)) {
                ++i;
            } else {
                std::this_thread::yield();
            }
        }
    });
    auto reader = LedgerReader::open(dir.path());
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    std::uint64_t expected = 1;
    LedgerRecord record;
    while (expected <= kRecords && std::chrono::steady_clock::now() < give_up) {
        const auto more = reader->next(record);
        if (!more || (*more && record.sequence != expected)) {
            ADD_FAILURE() << "wanted " << expected << ", got " << record.sequence;
            break;
        }
        if (*more) {
            EXPECT_EQ(record.duration_us, duration_of(expected));
            ++expected;
        }
    }
    const std::uint64_t written = ledger->last_sequence();
    EXPECT_EQ(expected, kRecords + 1) << "the writer was at " << written;
    writer.join();
    stop.store(true);
    helper.join();
    EXPECT_EQ(reader->gap_records_count(), 0U);
    ASSERT_TRUE(ledger->sync().has_value());
    EXPECT_EQ(ledger->synced_sequence(), kRecords);
}

/// Runs `body` in a child; its answer is nullptr for success or what went wrong.
int run_in_child(const std::function<const char*()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(60);
        const char* fault = body();
        if (fault != nullptr) {
            std::fprintf(stderr, "child: %s (errno %d)\n", fault, errno);
        }
        ::_exit(fault == nullptr ? 0 : std::string_view(fault) == "skip" ? kChildSkip : 1);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Appends until the ledger refuses; true if it did so with kLimit and every record counted.
const char* fill_ledger(Ledger& ledger, std::uint64_t records_max) {
    bool prepare_failed = false;
    while (ledger.last_sequence() < records_max) {
        const bool room = ledger.slots_free_count() > 0;
        LedgerRecord record = record_of(ledger.last_sequence() + 1);
        const auto done = ledger.append(record);
        if (done.has_value() != room) {
            return "slots_free_count and append disagree";
        }
        if (!done) {
            if (done.error().code != Errc::kLimit) {
                return "append did not say limit";
            }
            return prepare_failed ? nullptr : "append refused without a failed prepare_next";
        }
        if (ledger.wants_segment()) {
            const auto prepared = ledger.prepare_next();
            prepare_failed = !prepared;
            if (!prepared && prepared.error().sys_errno != ENOSPC &&
                prepared.error().sys_errno != EFBIG) {
                return "prepare_next failed in another way";
            }
        }
    }
    return "the disk never was full";
}

const char* fill_a_small_tmpfs(const std::string& directory) {
    const uid_t uid = ::geteuid();
    if (::unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0 ||
        ::mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=512k") < 0) {
        return "skip";
    }
    const std::string filler = directory + "/filler";
    const UniqueFd fd(::open(filler.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd || ::fallocate(fd.get(), 0, 0, 150'000) < 0) {
        return "filler";
    }
    auto ledger =
        Ledger::open({.directory = directory + "/ledger", .segment_bytes = kSmallSegmentBytes});
    if (!ledger) {
        return "open";
    }
    if (const char* fault = fill_ledger(**ledger, 100'000)) {
        return fault;
    }
    const std::uint64_t full_at = (*ledger)->last_sequence();
    if (full_at % kSmallRecords != 0 || !(*ledger)->sync()) {
        return "not every reserved slot could be used";
    }
    if (::ftruncate(fd.get(), 0) < 0 || !(*ledger)->prepare_next()) {
        return "no segment although there is room again";
    }
    if (fill_ledger(**ledger, 100'000) != nullptr || (*ledger)->last_sequence() <= full_at) {
        return "did not go on";
    }
    auto reader = LedgerReader::open(directory + "/ledger");
    const auto bill = summarise(*reader, {});
    return bill && bill->total.invocations_count == (*ledger)->last_sequence() &&
                   bill->gap_records_count == 0
               ? nullptr
               : "records are missing";
}

TEST(LedgerFull, RefusesWithLimitAndGoesOnWhenThereIsRoom) {
    const TempDir dir;
    const int code = run_in_child([&dir] { return fill_a_small_tmpfs(dir.path()); });
    if (code == kChildSkip) {
        GTEST_SKIP() << "needs the right to mount a tmpfs in a private mount namespace";
    }
    EXPECT_EQ(code, 0);
}

TEST(LedgerFull, LeavesNothingHalfMadeAtAFileSizeLimit) {
    const TempDir dir;
    const int code = run_in_child([&dir]() -> const char* {
        auto ledger = Ledger::open({.directory = dir.path(), .segment_bytes = kSmallSegmentBytes});
        std::signal(SIGXFSZ, SIG_IGN);  // as the engine does: the error is the answer
        const rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
        if (!ledger || ::setrlimit(RLIMIT_FSIZE, &limit) < 0) {
            return "open";
        }
        return fill_ledger(**ledger, 100'000);
    });
    EXPECT_EQ(code, 0);
    EXPECT_EQ(read_back(dir.path()).sequences, sequences(1, 2 * kSmallRecords));
    std::size_t files_count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
        ++files_count;
        EXPECT_NE(entry.path().extension(), ".tmp");
    }
    EXPECT_EQ(files_count, 3U) << "two segments and the lock";
}

}  // namespace
}  // namespace hako::meter::test
