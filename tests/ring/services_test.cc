#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/mapping.h"
#include "tests/ring/loop_fixture.h"

namespace hako::ring {
namespace {

class ServicesTest : public LoopTest {};
HAKO_ON_BOTH_KERNELS(ServicesTest);

std::size_t thread_count() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator("/proc/self/task")) {
        ++count;
    }
    return count;
}

TEST_P(ServicesTest, OffloadRunsElsewhereAndComesBack) {
    std::thread([] {}).join();  // TSan starts a thread of its own with the first of ours
    const std::size_t threads_before = thread_count();
    const std::thread::id loop_thread = std::this_thread::get_id();
    int done = 0;
    for (int index = 0; index < 500; ++index) {
        spawn([&, index] {
            int answer = 0;
            sigset_t mask{};
            loop_->offload([&] {
                EXPECT_NE(std::this_thread::get_id(), loop_thread);
                EXPECT_EQ(::pthread_sigmask(SIG_BLOCK, nullptr, &mask), 0);
                answer = index * 2;
            });
            EXPECT_EQ(std::this_thread::get_id(), loop_thread);
            EXPECT_EQ(answer, index * 2);
            EXPECT_EQ(::sigismember(&mask, SIGTERM), 1);
            ++done;
        });
    }
    EXPECT_EQ(thread_count(), threads_before) << "threads start when needed";
    run();
    EXPECT_EQ(done, 500);
    EXPECT_LE(thread_count(), threads_before + 2);
    open_loop({});
    EXPECT_EQ(thread_count(), threads_before) << "threads end with their loop";
}

TEST_P(ServicesTest, OffloadFromACancelledFiberStillRuns) {
    bool ran = false;
    const fiber::FiberId id = spawn([&] {
        loop_->offload([&] { ran = true; });
        EXPECT_TRUE(ran);
        EXPECT_TRUE(loop_->scheduler().is_cancelled());
    });
    loop_->scheduler().cancel(id);
    run();
    EXPECT_TRUE(ran);
}

TEST_P(ServicesTest, CancelDuringOffloadWaitsForTheWork) {
    std::atomic<bool> may_end{false};
    std::atomic<bool> has_ended{false};
    const fiber::FiberId id = spawn([&] {
        loop_->offload([&] {
            may_end.wait(false);
            has_ended = true;
        });
        EXPECT_TRUE(has_ended);
    });
    spawn([&] {
        EXPECT_TRUE(loop_->sleep_until(now_us() + 1'000));
        loop_->scheduler().cancel(id);
        loop_->scheduler().yield();
        EXPECT_FALSE(has_ended);
        may_end = true;
        may_end.notify_all();
    });
    run();
}

TEST_P(ServicesTest, LoopGoesOnWhileWorkBlocks) {
    std::atomic<bool> may_end{false};
    spawn([&] { loop_->offload([&] { may_end.wait(false); }); });
    spawn([&] {
        for (int round = 0; round < 10; ++round) {
            EXPECT_TRUE(loop_->sleep_until(now_us() + 100));
        }
        may_end = true;
        may_end.notify_all();
    });
    run();
}

TEST_P(ServicesTest, SignalsArriveOnTheLoop) {
    sigset_t former{};
    ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, nullptr, &former), 0);
    std::vector<int> seen;
    const int signals[] = {SIGUSR1, SIGUSR2};
    ASSERT_TRUE(loop_->watch_signals(signals, [&](int signo) { seen.push_back(signo); }));
    for (const int signo : signals) {
        ASSERT_EQ(::kill(::getpid(), signo), 0);
        ASSERT_TRUE(turn_until([&] { return !seen.empty() && seen.back() == signo; }));
    }
    EXPECT_EQ(seen, (std::vector<int>{SIGUSR1, SIGUSR2}));
    ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &former, nullptr), 0);
}

TEST_P(ServicesTest, InvalidSignalIsAnError) {
    const int signals[] = {100};
    const Result<void> watched = loop_->watch_signals(signals, [](int) {});
    ASSERT_FALSE(watched.has_value());
    EXPECT_EQ(watched.error().sys_errno, EINVAL);
}

/// A futex word in shared memory, as the channel to an instance has it.
class FutexTest : public LoopTest {
protected:
    void SetUp() override {
        LoopTest::SetUp();
        const UniqueFd memory(::memfd_create("futex", MFD_CLOEXEC));
        ASSERT_EQ(::ftruncate(memory.get(), 4096), 0);
        Result<Mapping> mapping = Mapping::make_shared(memory.get(), 4096);
        ASSERT_TRUE(mapping.has_value());
        mapping_ = std::move(*mapping);
    }
    [[nodiscard]] std::uint32_t* word() const {
        return reinterpret_cast<std::uint32_t*>(mapping_.data());
    }
    [[nodiscard]] std::atomic_ref<std::uint32_t> value() const { return std::atomic_ref(*word()); }

    /// Counts itself in `waiting`, then sleeps until `word` is not 0. No allocation: runs after
    /// fork too. Gives up (returns false) after five seconds without a wake.
    static bool wait_for_wake(std::uint32_t* word) {
        std::atomic_ref<std::uint32_t> now(*word);
        const timespec patience{.tv_sec = 5, .tv_nsec = 0};
        while (now.load() == 0) {
            const long rc = ::syscall(SYS_futex, word, FUTEX_WAIT, 0, &patience, nullptr, 0);
            if (rc != 0 && errno == ETIMEDOUT) {
                return false;
            }
        }
        return true;
    }
    /// Wakes until `has_ended`: the waiter may not have gone to sleep at the first wake.
    void wake_until(const std::function<bool()>& has_ended) {
        value() = 1;
        const std::int64_t give_up_us = now_us() + 4'000'000;
        while (!has_ended() && now_us() < give_up_us) {
            loop_->futex_wake(word());
            loop_->turn(now_us() + 200);
        }
        EXPECT_TRUE(has_ended());
    }

    Mapping mapping_;
};
HAKO_ON_BOTH_KERNELS(FutexTest);

TEST_P(FutexTest, WakesAThread) {
    std::atomic<int> result{-1};
    std::thread waiter([&] { result = wait_for_wake(word()) ? 1 : 0; });
    wake_until([&] { return result.load() != -1; });
    waiter.join();
    EXPECT_EQ(result, 1);
}

TEST_P(FutexTest, WakesAnotherProcess) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(wait_for_wake(word()) ? 0 : 1);
    }
    ASSERT_GT(child, 0);
    int status = -1;
    bool is_reaped = false;
    wake_until([&] {
        return is_reaped || (is_reaped = ::waitpid(child, &status, WNOHANG) == child);
    });
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_P(FutexTest, WakeWithoutAWaiterMakesNoCompletion) {
    loop_->futex_wake(word());
    const std::uint64_t before = loop_->counters().completions;
    loop_->turn(now_us() + 2'000);
    loop_->turn(1);
    EXPECT_EQ(loop_->counters().completions, before);
}

}  // namespace
}  // namespace hako::ring
