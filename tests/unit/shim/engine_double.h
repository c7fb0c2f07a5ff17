#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "engine/base/mapping.h"
#include "engine/base/unique_fd.h"
#include "hako/channel.h"

namespace hako::shim::test {

struct Answer {
    std::uint32_t kind = 0;  // 0: the worker ended instead of answering
    std::string payload;
    std::uint64_t bytes_wanted = 0;
    std::string log;  // what was in the log pipe when the doorbell rang
};

struct Invocation {
    std::string_view event;
    std::string_view client_context = {};
    std::string_view request_id = "8f5d0bb1-6b2f-4c0e-9d2c-0123456789ab";
    std::string_view trace_id = "Root=1-5a2e8f00-0123456789abcdef01234567;Sampled=0";
    std::string_view arn = "arn:aws:lambda:us-east-1:123456789012:function:probe:live";
    std::string_view cognito_identity = {};
    std::int64_t timeout_ms = 3000;
};

/// Plays the engine and the spawner for one worker without a sandbox: channel memfd, doorbell
/// eventfd, log pipe, and a forked child that runs `worker` on descriptors 0..4 as a sandbox would.
/// Every wait ends after 30 s with a failed test. The child is killed and reaped by the destructor.
class EngineDouble {
public:
    using Environment = std::vector<std::pair<std::string, std::string>>;

    EngineDouble();
    EngineDouble(const EngineDouble&) = delete;
    EngineDouble& operator=(const EngineDouble&) = delete;
    ~EngineDouble();

    /// Forks the worker; its exit status is what `worker` answers.
    void start(const std::function<int()>& worker);
    void set_code_mounted();
    /// Posts without waiting.
    void post(std::uint32_t kind, const Invocation& invocation);
    /// Waits for the doorbell or the end of the worker.
    [[nodiscard]] Answer await_answer();
    /// Posts INIT with these variables and waits. Code counts as mounted.
    [[nodiscard]] Answer init(const Environment& environment);
    [[nodiscard]] Answer invoke(const Invocation& invocation);
    /// Posts SHUTDOWN and answers the wait status.
    [[nodiscard]] int shutdown();
    /// Waits for the worker's end; answers its wait status.
    [[nodiscard]] int await_exit();
    /// What has come through the log pipe and was not answered with an Answer.
    [[nodiscard]] std::string take_log();

    [[nodiscard]] hako_channel& channel() noexcept {
        return *reinterpret_cast<hako_channel*>(mapping_.data());
    }
    /// Non-blocking; for measuring, which waits in its own way.
    [[nodiscard]] int doorbell_fd() const noexcept { return doorbell_.get(); }
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

private:
    void drain_log();

    UniqueFd channel_fd_;
    UniqueFd doorbell_;
    UniqueFd log_read_;
    UniqueFd log_write_;
    UniqueFd pidfd_;
    Mapping mapping_;
    pid_t pid_ = -1;
    int wait_status_ = 0;
    bool reaped_ = true;
    std::string log_;
};

/// The variables the engine always sets, for a function called `probe`.
[[nodiscard]] EngineDouble::Environment environment_for(
    const std::string& handler, const std::string& task_root
);

}  // namespace hako::shim::test
