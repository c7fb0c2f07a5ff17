#include "tests/unit/shim/engine_double.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"

namespace hako::shim::test {
namespace {

constexpr int kWaitMsMax = 30'000;

template <std::size_t kBytes>
void put_string(char (&field)[kBytes], std::string_view text) {
    ENSURE(text.size() < kBytes, "string of a request fits its field");
    std::ranges::copy(text, field);
    field[text.size()] = '\0';
}

void wake(std::uint32_t* word) {
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

/// In the child: the descriptors of a sandboxed worker, and no others.
void arrange_descriptors(int null, int log, int channel, int doorbell) {
    // Above the targets first, so that no dup2 overwrites a source.
    const int high_null = fcntl(null, F_DUPFD, 100);
    const int high_log = fcntl(log, F_DUPFD, 100);
    const int high_channel = fcntl(channel, F_DUPFD, 100);
    const int high_doorbell = fcntl(doorbell, F_DUPFD, 100);
    const bool ok = dup2(high_null, 0) == 0 && dup2(high_log, 1) == 1 && dup2(high_log, 2) == 2 &&
                    dup2(high_channel, HAKO_CHANNEL_FD) == HAKO_CHANNEL_FD &&
                    dup2(high_doorbell, HAKO_DOORBELL_FD) == HAKO_DOORBELL_FD;
    ENSURE(ok, "dup2");
    close_range(HAKO_DOORBELL_FD + 1, UINT_MAX, 0);
}

}  // namespace

EngineDouble::EngineDouble()
    : channel_fd_(memfd_create("hako-channel", MFD_CLOEXEC)),
      doorbell_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    ENSURE(ftruncate(channel_fd_.get(), HAKO_CHANNEL_BYTES) == 0, "channel memfd");
    auto mapping = Mapping::make_shared(channel_fd_.get(), HAKO_CHANNEL_BYTES);
    ENSURE(mapping.has_value(), "channel mapping");
    mapping_ = std::move(*mapping);
    channel().magic = HAKO_CHANNEL_MAGIC;
    channel().version = HAKO_CHANNEL_VERSION;
    int ends[2];
    ENSURE(pipe2(ends, O_CLOEXEC) == 0, "log pipe");
    log_read_.reset(ends[0]);
    log_write_.reset(ends[1]);
    ENSURE(fcntl(log_read_.get(), F_SETFL, O_NONBLOCK) == 0, "log pipe");
}

EngineDouble::~EngineDouble() {
    if (!reaped_) {
        kill(pid_, SIGKILL);
        waitpid(pid_, &wait_status_, 0);
    }
}

void EngineDouble::start(const std::function<int()>& worker) {
    const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    pid_ = fork();
    ENSURE(pid_ >= 0, "fork");
    if (pid_ == 0) {
        arrange_descriptors(null.get(), log_write_.get(), channel_fd_.get(), doorbell_.get());
        // gtest has used this process's stdout; a zygote has not, and buffering cannot be changed
        // reliably on a stream in use.
        ENSURE(std::freopen("/proc/self/fd/1", "w", stdout) != nullptr, "freopen");
        std::exit(worker());
    }
    reaped_ = false;
    log_write_.reset();
    pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    ENSURE(static_cast<bool>(pidfd_), "pidfd_open");
}

void EngineDouble::set_code_mounted() {
    __atomic_store_n(&channel().code_mounted, 1, __ATOMIC_SEQ_CST);
    wake(&channel().code_mounted);
}

void EngineDouble::post(std::uint32_t kind, const Invocation& invocation) {
    hako_channel& to = channel();
    const std::size_t bytes = invocation.event.size() + invocation.client_context.size();
    ENSURE(bytes <= HAKO_REQUEST_AREA_BYTES, "request fits its area");
    std::byte* const area = mapping_.data() + HAKO_REQUEST_OFFSET;
    // The pointers of empty views may be null, which memcpy must not see.
    if (!invocation.event.empty()) {
        std::memcpy(area, invocation.event.data(), invocation.event.size());
    }
    if (!invocation.client_context.empty()) {
        std::memcpy(
            area + invocation.event.size(),
            invocation.client_context.data(),
            invocation.client_context.size()
        );
    }
    to.request_kind = kind;
    to.event_bytes = static_cast<std::uint32_t>(invocation.event.size());
    to.client_context_bytes = static_cast<std::uint32_t>(invocation.client_context.size());
    to.deadline_monotonic_us = now_us() + invocation.timeout_ms * 1000;
    to.deadline_unix_ms = wall_us() / 1000 + invocation.timeout_ms;
    put_string(to.request_id, invocation.request_id);
    put_string(to.trace_id, invocation.trace_id);
    put_string(to.invoked_function_arn, invocation.arn);
    put_string(to.cognito_identity, invocation.cognito_identity);
    const std::uint32_t seq = to.request_seq + 1;
    __atomic_store_n(&to.request_seq, seq, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&to.worker_sleeping, __ATOMIC_SEQ_CST) != 0) {
        wake(&to.request_seq);
    }
}

Answer EngineDouble::await_answer() {
    Answer answer;
    for (;;) {
        pollfd waits[] = {
            {doorbell_.get(), POLLIN, 0}, {pidfd_.get(), POLLIN, 0}, {log_read_.get(), POLLIN, 0}
        };
        // Once the worker has ended its log pipe reports POLLHUP for ever.
        const int ready = poll(waits, 3, kWaitMsMax);
        if (ready == 0) {
            ADD_FAILURE() << "no answer within " << kWaitMsMax << " ms";
            return answer;
        }
        std::uint64_t rung = 0;
        if (read(doorbell_.get(), &rung, sizeof(rung)) == sizeof(rung)) {
            break;
        }
        drain_log();
        if ((waits[1].revents & POLLIN) != 0) {
            answer.log = take_log();
            return answer;
        }
    }
    const hako_channel& from = channel();
    EXPECT_EQ(__atomic_load_n(&from.response_seq, __ATOMIC_ACQUIRE), from.request_seq);
    EXPECT_LE(from.response_bytes, HAKO_RESPONSE_BYTES_MAX);
    answer.kind = from.response_kind;
    answer.bytes_wanted = from.response_bytes_wanted;
    const auto* const area = reinterpret_cast<const char*>(mapping_.data()) + HAKO_RESPONSE_OFFSET;
    answer.payload.assign(area, from.response_bytes);
    answer.log = take_log();
    return answer;
}

Answer EngineDouble::init(const Environment& environment) {
    std::string block;
    for (const auto& [name, value] : environment) {
        block.append(name).append("=").append(value).push_back('\0');
    }
    set_code_mounted();
    post(HAKO_REQUEST_INIT, {.event = block, .request_id = "", .trace_id = "", .arn = ""});
    return await_answer();
}

Answer EngineDouble::invoke(const Invocation& invocation) {
    post(HAKO_REQUEST_INVOKE, invocation);
    return await_answer();
}

int EngineDouble::shutdown() {
    post(HAKO_REQUEST_SHUTDOWN, {.event = {}});
    return await_exit();
}

int EngineDouble::await_exit() {
    pollfd wait = {pidfd_.get(), POLLIN, 0};
    if (poll(&wait, 1, kWaitMsMax) != 1) {
        ADD_FAILURE() << "the worker did not end within " << kWaitMsMax << " ms";
        return -1;
    }
    waitpid(pid_, &wait_status_, 0);
    reaped_ = true;
    return wait_status_;
}

void EngineDouble::drain_log() {
    char buffer[4096];
    ssize_t got = 0;
    while ((got = read(log_read_.get(), buffer, sizeof(buffer))) > 0) {
        log_.append(buffer, static_cast<std::size_t>(got));
    }
}

std::string EngineDouble::take_log() {
    drain_log();
    return std::exchange(log_, {});
}

EngineDouble::Environment environment_for(
    const std::string& handler, const std::string& task_root
) {
    return {
        {"_HANDLER", handler},
        {"LAMBDA_TASK_ROOT", task_root},
        {"PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"},
        {"TZ", ":UTC"},
        {"LANG", "en_US.UTF-8"},
        {"AWS_LAMBDA_FUNCTION_NAME", "probe"},
        {"AWS_LAMBDA_FUNCTION_VERSION", "7"},
        {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"},
        {"AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/probe"},
        {"AWS_LAMBDA_LOG_STREAM_NAME", "2017/12/14/[7]0123456789abcdef0123456789abcdef"},
        {"GREETING", "hello"},
    };
}

}  // namespace hako::shim::test
