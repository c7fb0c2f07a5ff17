#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include "engine/base/clock.h"
#include "engine/ring/loop.h"

namespace hako::ring {

inline std::size_t open_fd_count() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator("/proc/self/fd")) {
        ++count;
    }
    return count;
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

/// Two connected Unix stream sockets.
struct SocketPair {
    SocketPair() {
        int fds[2] = {-1, -1};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        near.reset(fds[0]);
        far.reset(fds[1]);
    }
    UniqueFd near;
    UniqueFd far;
};

struct PipePair {
    explicit PipePair(int flags = O_CLOEXEC) {
        int fds[2] = {-1, -1};
        EXPECT_EQ(::pipe2(fds, flags), 0);
        read_end.reset(fds[0]);
        write_end.reset(fds[1]);
    }
    UniqueFd read_end;
    UniqueFd write_end;
};

enum class Kernel { kFull, kPlain };

/// Each test gets a loop, on the kernel as it is and on one without optional features, and ends
/// with nothing in flight, no fiber alive and the descriptors it began with.
class LoopTest : public ::testing::TestWithParam<Kernel> {
protected:
    void SetUp() override {
        fds_before_ = open_fd_count();
        open_loop({});
    }
    void open_loop(LoopOptions options) {
        options.plain_kernel = GetParam() == Kernel::kPlain;
        loop_.reset();
        Result<std::unique_ptr<Loop>> made = Loop::make(options);
        ASSERT_TRUE(made.has_value()) << made.error().what << ": " << made.error().sys_errno;
        loop_ = std::move(*made);
    }
    void TearDown() override {
        EXPECT_EQ(loop_->counters().ops_in_flight, 0U);
        EXPECT_EQ(loop_->scheduler().live_count(), 0U);
        loop_.reset();
        EXPECT_EQ(open_fd_count(), fds_before_);
    }
    fiber::FiberId spawn(std::move_only_function<void()> body) {
        Result<fiber::FiberId> id = loop_->scheduler().spawn("test", std::move(body));
        EXPECT_TRUE(id.has_value());
        return id.value_or(fiber::FiberId{});
    }
    /// Runs until every fiber has ended.
    void run() {
        loop_->stop();
        loop_->run();
    }
    /// Turns until `is_met` or five seconds have passed.
    [[nodiscard]] bool turn_until(const std::function<bool()>& is_met) {
        const std::int64_t give_up_us = now_us() + 5'000'000;
        while (!is_met()) {
            if (now_us() >= give_up_us) {
                return false;
            }
            loop_->turn(give_up_us);
        }
        return true;
    }

    std::unique_ptr<Loop> loop_;

private:
    std::size_t fds_before_ = 0;
};

inline std::string kernel_name(const ::testing::TestParamInfo<Kernel>& tested) {
    return tested.param == Kernel::kFull ? "Full" : "Plain";
}

#define HAKO_ON_BOTH_KERNELS(suite)                                                  \
    INSTANTIATE_TEST_SUITE_P(                                                        \
        Kernel, suite, ::testing::Values(Kernel::kFull, Kernel::kPlain), kernel_name \
    )

}  // namespace hako::ring
