#include "sandbox/spawner.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"

namespace hako::sandbox {

using namespace hako::spawner;

namespace {

constexpr std::int64_t kStopUs = 10'000'000;
constexpr std::size_t kOutboxMax = 8192;
constexpr int kRemovalRetryMs = 1;
constexpr int kDeadlineCheckMs = 500;
// How long a cold start takes, with some to spare.
constexpr std::int64_t kQuietUs = 4'000;

constexpr std::uint64_t make_key(std::uint32_t source, std::uint32_t index) {
    return (std::uint64_t{source} << 32U) | index;
}

template <std::size_t N>
void copy_step(char (&out)[N], Step step) {
    const std::string_view name = step_name(step);
    std::memcpy(out, name.data(), std::min(name.size(), N - 1));
}

}  // namespace

void log_line(const char* format, ...) {
    std::array<char, 512> text;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text.data(), text.size(), format, arguments);
    va_end(arguments);
    std::fprintf(stderr, "hako-spawner: %s\n", text.data());
}

Spawner::Spawner(Settings settings, CgroupTree tree, Found found)
    : settings_(std::move(settings)),
      tree_(std::move(tree)),
      leftovers_count_(found.leftovers_count),
      walls_missing_(found.walls_missing),
      records_(settings_.slots_max) {
    for (std::uint32_t slot = settings_.slots_max; slot-- > 0;) {
        records_[slot].slot = slot;
        free_slots_.push_back(slot);  // the lowest ends up on top
    }
}

void Spawner::watch(int fd, Source source, std::uint32_t index, bool edge) {
    epoll_event event{};
    event.events = EPOLLIN | (edge ? EPOLLET : 0U);
    event.data.u64 = make_key(static_cast<std::uint32_t>(source), index);
    ENSURE(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0, "epoll refused a descriptor");
}

Result<void> Spawner::start() {
    epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (!epoll_ || ::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) {
        return fail_errno("epoll");
    }
    // Ctrl-C reaches the whole process group: the engine drains, and its end stops us.
    (void)::signal(SIGINT, SIG_IGN);
    (void)::signal(SIGHUP, SIG_IGN);
    signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    own_mounts_.reset(::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
    if (!signals_ || !own_mounts_) {
        return fail_errno("open own mount namespace");
    }
    code_dir_.reset(::open(settings_.code_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!code_dir_) {
        return fail_errno("open --code-dir");
    }
    if (::fcntl(settings_.engine_fd, F_SETFL, O_RDWR | O_NONBLOCK) != 0 ||
        ::fcntl(settings_.engine_fd, F_SETFD, FD_CLOEXEC) != 0) {
        return fail_errno("--engine-fd");
    }
    watch(settings_.engine_fd, Source::kEngine, 0);
    watch(signals_.get(), Source::kSignals, 0);
    TRY(start_helper());
    zygotes_.resize(settings_.native_zygotes_count + (settings_.python_zygote.empty() ? 0 : 1));
    for (std::uint32_t i = 0; i < zygotes_.size(); ++i) {
        zygotes_[i].python = i >= settings_.native_zygotes_count;
        TRY(start_zygote(i));
    }
    return {};
}

int Spawner::run() {
    if (auto ready = start(); !ready) {
        log_line("%s: %s", ready.error().what, std::strerror(ready.error().sys_errno));
        stop_helpers();
        tree_.remove_tree();
        return kExitSystem;
    }
    while (!exit_code_ || used_slots_count_ > 0) {
        if (exit_code_ && now_us() > stop_deadline_us_) {
            log_line("%u sandboxes did not end in time", used_slots_count_);
            break;
        }
        turn();
    }
    stop_helpers();
    tree_.remove_tree();
    return *exit_code_;
}

int Spawner::wait_ms() const {
    if (!removing_slots_.empty()) {
        return kRemovalRetryMs;
    }
    if (may_refill()) {
        return 0;
    }
    if (wants_refill()) {
        return static_cast<int>((quiet_until_us_ - now_us()) / 1'000) + 1;
    }
    if (now_us() < no_refill_until_us_) {
        return static_cast<int>((no_refill_until_us_ - now_us()) / 1'000) + 1;
    }
    // With the pools full and nothing under way there is no deadline: an idle spawner does not
    // wake.
    return is_making() || exit_code_ ? kDeadlineCheckMs : -1;
}

/// Requests first; one more blank only if no request came, so that refilling never delays one by
/// more than the spawner's own share of a make.
void Spawner::turn() {
    std::array<epoll_event, 64> events;
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_ms());
    engine_was_active_ = false;
    for (int i = 0; i < count; ++i) {
        dispatch(events[static_cast<std::size_t>(i)].data.u64);
    }
    sweep_removals();
    check_deadlines();
    serve_waiting();
    if (!engine_was_active_) {
        refill();
    }
}

void Spawner::dispatch(std::uint64_t key) {
    const auto index = static_cast<std::uint32_t>(key);
    switch (static_cast<Source>(key >> 32U)) {
        case Source::kEngine:
            on_engine();
            break;
        case Source::kSignals: {
            signalfd_siginfo info;
            if (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
                log_line("stopping on SIGTERM");
                stop(kExitOk);
            }
            break;
        }
        case Source::kHelper:
            on_namespaces();
            break;
        case Source::kZygote:
            on_made(index);
            break;
        case Source::kInit:
            on_init_exit(records_[index]);
            break;
        case Source::kReport:
            on_report(records_[index]);
            break;
    }
}

void Spawner::on_engine() {
    if (engine_gone_) {
        return;
    }
    engine_was_active_ = true;
    if (auto flushed = outbox_.flush(settings_.engine_fd); !flushed) {
        stop(kExitOk);
        return;
    }
    watch_outbox();
    std::array<std::byte, kPacketBytesMax> buffer;
    const auto packet = receive_packet(settings_.engine_fd, buffer);
    if (!packet && packet.error().sys_errno == EAGAIN) {
        return;
    }
    // A reset is an end too: the engine left before it had read everything.
    if ((packet && packet->bytes == 0) || (!packet && packet.error().sys_errno == ECONNRESET)) {
        log_line("the engine is gone, stopping");
        stop(kExitOk);
        return;
    }
    const auto request =
        packet ? decode_request(std::span(buffer).first(packet->bytes)) : fail(packet.error());
    if (!request) {
        // The engine never sends such a packet: it is not itself any more.
        log_line("bad packet from the engine (%s), stopping", request.error().what);
        stop(kExitProtocol);
        return;
    }
    std::visit([this](const auto& typed) { on_request(typed); }, *request);
}

void Spawner::on_request(const Acquire& request) {
    const auto kind = static_cast<std::size_t>(request.runtime);
    if (waiting_.size() >= settings_.slots_max) {
        refuse(request, {.step = Step::kSlot, .sys_errno = EAGAIN});
        return;
    }
    if (!started_ || pools_[kind].empty() || !waiting_.empty()) {
        waiting_.push_back(request);
        return;  // served in this turn if it can be
    }
    const std::uint32_t slot = pools_[kind].back();
    pools_[kind].pop_back();
    grant(records_[slot], request);
}

void Spawner::grant(Record& record, const Acquire& request) {
    ENSURE(record.state == RecordState::kBlank, "a blank in the pool was not blank");
    if (const StepError error = specialise(record, request, code_dir_.get(), own_mounts_.get());
        error.step != Step::kNone) {
        kill_sandbox(record);
        if (error.step == Step::kEnterMounts) {
            waiting_.push_front(request);  // the blank had died unseen: take another one
            return;
        }
        refuse(request, error);
        return;
    }
    quiet_until_us_ = now_us() + kQuietUs;
    record.state = RecordState::kAcquired;
    record.was_acquired = true;
    ++live_count_;
    Acquired answer;
    answer.ticket = request.ticket;
    answer.sandbox_id = record.id();
    answer.blanks_left_count =
        static_cast<std::uint32_t>(pools_[static_cast<std::size_t>(request.runtime)].size());
    std::array<UniqueFd, kAcquiredFdCount> fds;
    fds[kFdChannel] = std::move(record.channel);
    fds[kFdDoorbell] = std::move(record.doorbell);
    fds[kFdLogPipe] = std::move(record.log_read);
    fds[kFdCpuUsage] = record.cgroup.open_file(ControlFile::kCpuUsage, O_RDONLY);
    const bool resets = (tree_.features() & kFeatureMemoryPeakReset) != 0;
    fds[kFdMemoryPeak] =
        record.cgroup.open_file(ControlFile::kMemoryPeak, resets ? O_RDWR : O_RDONLY);
    fds[kFdFreezer] = record.cgroup.open_file(ControlFile::kFreezer, O_RDWR);
    record.header = Mapping();
    std::vector<UniqueFd> sent;
    for (std::uint32_t i = 0; i < kAcquiredFdCount; ++i) {
        if (fds[i]) {
            answer.fds_mask |= 1U << i;
            sent.push_back(std::move(fds[i]));
        }
    }
    tell_engine(answer, std::move(sent));
}

void Spawner::refuse(const Acquire& request, StepError error) {
    Acquired answer;
    answer.ticket = request.ticket;
    answer.sys_errno = error.sys_errno != 0 ? error.sys_errno : EIO;
    copy_step(answer.step, error.step);
    log_line("acquire failed at %s: %s", answer.step, std::strerror(answer.sys_errno));
    tell_engine(answer);
}

void Spawner::on_request(const Destroy& request) {
    const auto slot = static_cast<std::uint32_t>(request.sandbox_id);
    if (slot >= records_.size()) {
        return;
    }
    Record& record = records_[slot];
    if (record.state != RecordState::kAcquired || record.id() != request.sandbox_id) {
        return;  // its Gone is under way
    }
    record.reason = kGoneDestroyed;
    kill_sandbox(record);
}

void Spawner::on_request(const PoolTarget& request) {
    settings_.pool_targets[static_cast<std::size_t>(request.runtime)] = request.blanks_count;
    auto& pool = pools_[static_cast<std::size_t>(request.runtime)];
    while (pool.size() > request.blanks_count) {
        Record& record = records_[pool.back()];
        pool.pop_back();
        kill_sandbox(record);
    }
}

void Spawner::on_request(const StatsRequest&) {
    StatsAnswer answer;
    for (std::size_t i = 0; i < kRuntimeKindCount; ++i) {
        answer.blanks_count[i] = static_cast<std::uint32_t>(pools_[i].size());
    }
    answer.live_count = live_count_;
    answer.made_count = made_count_;
    answer.destroyed_count = destroyed_count_;
    tell_engine(answer);
}

template <typename T>
void Spawner::tell_engine(const T& value, std::vector<UniqueFd> fds) {
    if (engine_gone_) {
        return;
    }
    if (auto sent = outbox_.send(settings_.engine_fd, value, std::move(fds)); !sent) {
        stop(kExitOk);  // the engine went away
        return;
    }
    if (outbox_.size() > kOutboxMax) {
        log_line("the engine does not read its answers, stopping");
        stop(kExitProtocol);
        return;
    }
    watch_outbox();
}

/// Asks for EPOLLOUT only while something waits for it.
void Spawner::watch_outbox() {
    if (outbox_.empty() != outbox_watched_) {
        return;
    }
    outbox_watched_ = !outbox_.empty();
    epoll_event event{};
    event.events = EPOLLIN | (outbox_watched_ ? EPOLLOUT : 0U);
    event.data.u64 = make_key(static_cast<std::uint32_t>(Source::kEngine), 0);
    ENSURE(
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, settings_.engine_fd, &event) == 0,
        "epoll refused the engine's descriptor"
    );
}

template void Spawner::tell_engine(const Gone& value, std::vector<UniqueFd> fds);

void Spawner::announce_start() {
    const auto settled = [](const Zygote& zygote) { return zygote.ready || zygote.failed; };
    if (started_ || exit_code_ || !std::ranges::all_of(zygotes_, settled)) {
        return;
    }
    started_ = true;
    Started message;
    message.features = tree_.features() | kFeatureNetNamespace;
    if (settings_.in_user_namespace) {
        message.features |= kFeatureUserNamespace;
    }
    message.walls_missing = walls_missing_;
    if (runtime_available(RuntimeKind::kPython)) {
        message.features |= kFeaturePython;
    }
    message.leftovers_removed_count = leftovers_count_;
    log_line(
        "ready: cgroup v%d, features 0x%llx, %u leftovers removed",
        tree_.version(),
        static_cast<unsigned long long>(message.features),
        leftovers_count_
    );
    tell_engine(message);
}

void Spawner::stop(int exit_code) {
    if (exit_code_) {
        return;
    }
    exit_code_ = exit_code;
    stop_deadline_us_ = now_us() + kStopUs;
    engine_gone_ = true;
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, settings_.engine_fd, nullptr);  // if it was in
    waiting_.clear();
    for (auto& pool : pools_) {
        pool.clear();
    }
    for (Record& record : records_) {
        if (record.state == RecordState::kBlank || record.state == RecordState::kAcquired ||
            record.state == RecordState::kMaking) {
            kill_sandbox(record);
        }
    }
}

}  // namespace hako::sandbox
