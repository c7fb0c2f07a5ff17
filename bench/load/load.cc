#include "bench/load/load.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include <poll.h>

#include <fmt/format.h>

#include "bench/load/connection.h"
#include "bench/load/payload.h"
#include "engine/base/clock.h"

namespace hako::bench {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::uint32_t kSlotBits = 16;

struct Slot {
    std::int64_t start_ns = 0;
    std::uint64_t number = 0;
    bool busy = false;
};

struct Lane {
    Connection connection;
    std::vector<Slot> slots;
    std::vector<std::uint32_t> free_slots;
};

class Load {
public:
    Load(const LoadPlan& plan, std::vector<Lane> lanes)
        : plan_(plan),
          lanes_(std::move(lanes)),
          polls_(lanes_.size()),
          meta_(invoke_meta(plan.function)),
          payload_(plan.payload_bytes) {
        total_count_ = plan.count > 0 ? plan.warmup_count + plan.count : UINT64_MAX;
        if (plan.count == 0 && is_open_loop()) {
            const double due = plan.rate_per_s * static_cast<double>(plan.duration_ms) / 1e3;
            total_count_ = plan.warmup_count + std::max<std::uint64_t>(1, std::uint64_t(due));
        }
    }

    Result<LoadOutcome> run() {
        start_ns_ = now_ns();
        if (plan_.warmup_count == 0) {
            begin_measuring(start_ns_);
        }
        for (;;) {
            issue_what_is_due();
            TRY(flush_lanes());
            if (outstanding_count_ == 0 && !may_issue(now_ns())) {
                break;
            }
            TRY(wait_and_collect());
        }
        outcome_.seconds = static_cast<double>(last_answer_ns_ - measure_start_ns_) / 1e9;
        return std::move(outcome_);
    }

private:
    [[nodiscard]] bool is_open_loop() const { return plan_.rate_per_s > 0; }

    [[nodiscard]] std::int64_t due_ns(std::uint64_t number) const {
        return start_ns_ +
               static_cast<std::int64_t>(static_cast<double>(number) * 1e9 / plan_.rate_per_s);
    }

    [[nodiscard]] bool may_issue(std::int64_t now) const {
        if (issued_count_ >= total_count_) {
            return false;
        }
        return is_open_loop() || plan_.count > 0 || measure_start_ns_ == 0 ||
               now < measure_start_ns_ + plan_.duration_ms * kNsPerMs;
    }

    void begin_measuring(std::int64_t now) { measure_start_ns_ = now; }

    void issue_what_is_due() {
        const std::int64_t now = now_ns();
        if (!is_open_loop()) {
            for (Lane& lane : lanes_) {
                while (!lane.free_slots.empty() && may_issue(now)) {
                    issue(lane, now);
                }
            }
            return;
        }
        while (issued_count_ < total_count_ && due_ns(issued_count_) <= now) {
            Lane* lane = next_free_lane();
            if (lane == nullptr) {
                return;  // stays due: its latency goes on counting
            }
            issue(*lane, due_ns(issued_count_));
        }
    }

    Result<void> flush_lanes() {
        for (Lane& lane : lanes_) {
            TRY(lane.connection.flush());
        }
        return {};
    }

    Lane* next_free_lane() {
        for (std::size_t tried = 0; tried < lanes_.size(); ++tried) {
            Lane& lane = lanes_[lane_index_];
            lane_index_ = (lane_index_ + 1) % lanes_.size();
            if (!lane.free_slots.empty()) {
                return &lane;
            }
        }
        return nullptr;
    }

    void issue(Lane& lane, std::int64_t start_ns) {
        const std::uint32_t slot_index = lane.free_slots.back();
        lane.free_slots.pop_back();
        const std::uint64_t number = issued_count_++;
        lane.slots[slot_index] = {.start_ns = start_ns, .number = number, .busy = true};
        outstanding_count_ += 1;
        lane.connection.queue(
            {.type = wire::FrameType::kInvoke, .correlation = number << kSlotBits | slot_index},
            meta_,
            payload_.text(number)
        );
    }

    /// How long a wait may last: to the next due request, at most to the stall limit.
    [[nodiscard]] std::int64_t wait_ns_max() const {
        const std::int64_t stall_ns = plan_.stall_ms * kNsPerMs;
        const bool can_send =
            std::ranges::any_of(lanes_, [](const Lane& lane) { return !lane.free_slots.empty(); });
        if (!is_open_loop() || issued_count_ >= total_count_ || !can_send) {
            return stall_ns;
        }
        return std::clamp<std::int64_t>(due_ns(issued_count_) - now_ns(), 0, stall_ns);
    }

    Result<void> wait_and_collect() {
        // With one connection in closed loop the read itself is the wait: one system call less, as
        // in the floor it is compared with.
        if (!is_open_loop() && lanes_.size() == 1 && !lanes_[0].connection.has_output()) {
            return collect(lanes_[0], Connection::Wait::kWait);
        }
        for (std::size_t index = 0; index < lanes_.size(); ++index) {
            const Connection& connection = lanes_[index].connection;
            const int events = connection.has_output() ? POLLIN | POLLOUT : POLLIN;
            polls_[index] = {
                .fd = connection.fd(), .events = static_cast<short>(events), .revents = 0
            };
        }
        TRY(await_lanes());
        return collect_ready();
    }

    Result<void> collect_ready() {
        for (std::size_t index = 0; index < lanes_.size(); ++index) {
            if ((polls_[index].revents & ~POLLOUT) != 0) {
                TRY(collect(lanes_[index], Connection::Wait::kNo));
            }
        }
        return {};
    }

    /// Polls until a lane is ready or the next request is due.
    Result<void> await_lanes() {
        const std::int64_t wait_ns = wait_ns_max();
        const timespec timeout{
            .tv_sec = wait_ns / 1'000'000'000, .tv_nsec = wait_ns % 1'000'000'000
        };
        const int ready_count = ppoll(polls_.data(), polls_.size(), &timeout, nullptr);
        if (ready_count < 0) {
            return errno == EINTR ? Result<void>() : fail_errno("ppoll");
        }
        if (ready_count == 0 && outstanding_count_ > 0 && wait_ns == plan_.stall_ms * kNsPerMs) {
            return fail(Errc::kTimeout, "no answer within --stall-ms");
        }
        return {};
    }

    Result<void> collect(Lane& lane, Connection::Wait wait) {
        TRY_ASSIGN(const bool came, lane.connection.receive(wait));
        const std::int64_t now = now_ns();
        while (came) {
            TRY_ASSIGN(std::optional<Answer> answer, lane.connection.next());
            if (!answer) {
                break;
            }
            TRY(take(lane, *answer, now));
        }
        return {};
    }

    Result<void> take(Lane& lane, const Answer& answer, std::int64_t now) {
        if (answer.header.type == wire::FrameType::kError) {
            return fail(Errc::kProtocol, "the engine answered with an Error frame");
        }
        const std::uint32_t slot_index =
            answer.header.correlation & ((std::uint64_t{1} << kSlotBits) - 1);
        if (slot_index >= lane.slots.size() || !lane.slots[slot_index].busy ||
            lane.slots[slot_index].number != answer.header.correlation >> kSlotBits) {
            return fail(Errc::kProtocol, "an answer with a correlation number nobody waits for");
        }
        Slot& slot = lane.slots[slot_index];
        slot.busy = false;
        lane.free_slots.push_back(slot_index);
        outstanding_count_ -= 1;
        answered_count_ += 1;
        judge(slot, answer, now);
        if (answered_count_ == plan_.warmup_count) {
            begin_measuring(now);
        }
        return {};
    }

    void judge(const Slot& slot, const Answer& answer, std::int64_t now) {
        const bool is_good = answer.header.type == wire::FrameType::kInvokeResult &&
                             answer.header.status == 200 &&
                             (answer.header.flags & wire::kFlagFunctionError) == 0 &&
                             payload_.matches(slot.number, answer.payload);
        if (!is_good) {
            outcome_.error_count += 1;
            if (outcome_.first_error.empty()) {
                outcome_.first_error = fmt::format(
                    "request {}: type {}, status {}, flags {}, payload {}",
                    slot.number,
                    static_cast<unsigned>(answer.header.type),
                    answer.header.status,
                    answer.header.flags,
                    answer.payload.substr(0, 200)
                );
            }
            return;  // a failure is not a fast answer
        }
        if (slot.number >= plan_.warmup_count) {
            outcome_.latency.record(now - slot.start_ns);
            last_answer_ns_ = now;
        }
    }

    const LoadPlan& plan_;
    std::vector<Lane> lanes_;
    std::vector<pollfd> polls_;
    std::string meta_;
    Payload payload_;
    LoadOutcome outcome_;
    std::size_t lane_index_ = 0;
    std::uint64_t total_count_ = 0;
    std::uint64_t issued_count_ = 0;
    std::uint64_t answered_count_ = 0;
    std::uint64_t outstanding_count_ = 0;
    std::int64_t start_ns_ = 0;
    std::int64_t measure_start_ns_ = 0;
    std::int64_t last_answer_ns_ = 0;
};

Result<void> check_plan(const LoadPlan& plan) {
    if (plan.connections < 1 || plan.connections > kConnectionsMax) {
        return fail(Errc::kInvalid, "--connections: 1 to 4096");
    }
    if (plan.in_flight < 1 || plan.in_flight > kInFlightMax) {
        return fail(Errc::kInvalid, "--in-flight: 1 to 65536");
    }
    if (plan.payload_bytes < Payload::kBytesMin ||
        plan.payload_bytes > wire::kInvokePayloadBytesMax) {
        return fail(Errc::kInvalid, "--payload-bytes: 3 to 6291456");
    }
    if (plan.count == 0 && plan.duration_ms <= 0) {
        return fail(Errc::kInvalid, "--count or --duration-ms: one must be over 0");
    }
    if (plan.function.empty() || plan.function.size() > wire::kFunctionNameBytesMax) {
        return fail(Errc::kInvalid, "--function: 1 to 256 bytes");
    }
    if (plan.stall_ms < 1) {
        return fail(Errc::kInvalid, "--stall-ms: at least 1");
    }
    return {};
}

}  // namespace

Result<LoadOutcome> run_load(const LoadPlan& plan) {
    TRY(check_plan(plan));
    std::vector<Lane> lanes;
    for (std::uint32_t index = 0; index < plan.connections; ++index) {
        TRY_ASSIGN(Connection connection, Connection::make(plan.socket_path, plan.stall_ms));
        Lane lane{.connection = std::move(connection), .slots = {}, .free_slots = {}};
        lane.slots.resize(plan.in_flight);
        for (std::uint32_t slot = plan.in_flight; slot > 0; --slot) {
            lane.free_slots.push_back(slot - 1);
        }
        lanes.push_back(std::move(lane));
    }
    return Load(plan, std::move(lanes)).run();
}

}  // namespace hako::bench
