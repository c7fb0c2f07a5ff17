#include "engine/engine.h"

#include <algorithm>
#include <array>
#include <csignal>

#include <unistd.h>

#include <fmt/format.h>

#include "engine/background.h"
#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "engine/engine_status.h"
#include "engine/gateway/frame/server.h"
#include "engine/gateway/http/router.h"
#include "engine/gateway/http/server.h"
#include "engine/gateway/lambda/api.h"
#include "engine/gateway/url/handler.h"
#include "engine/instance/invoker.h"
#include "engine/instance/manager.h"
#include "engine/instance/spawner_link.h"
#include "engine/meter/ledger.h"
#include "engine/missing_walls.h"
#include "engine/observe/engine_log.h"
#include "engine/observe/function_logs.h"
#include "engine/observe/metrics.h"
#include "engine/queue/event_queue.h"
#include "engine/registry/bucket_fetcher.h"
#include "engine/registry/code_store.h"
#include "engine/registry/control_service.h"
#include "engine/registry/registry.h"
#include "engine/registry/site_service.h"
#include "engine/registry/store.h"
#include "engine/ring/loop.h"

namespace hako {
namespace {

using observe::Level;
using observe::log_line;

constexpr std::int64_t kSpawnerStartUs = 60'000'000;
// After the drain deadline: for what was cancelled to be answered and the sandboxes to end.
constexpr std::int64_t kEndUs = 5'000'000;
// For log text and ledger records that are on their way to the disk when the loop ends.
constexpr std::int64_t kLastWritesUs = 5'000'000;

registry::Failure failure_of(std::string_view doing, const Error& error) {
    return {fmt::format(
        "{}: {}{}{}",
        doing,
        error.what,
        error.sys_errno != 0 ? ": " : "",
        error.sys_errno != 0 ? std::strerror(error.sys_errno) : ""
    )};
}

std::optional<std::int64_t> freeze_grace_us(const config::Settings& settings) {
    if (!settings.freeze_grace_ms) {
        return std::nullopt;
    }
    return std::int64_t{*settings.freeze_grace_ms} * 1'000;
}

}  // namespace

/// Everything the engine is made of, in the order it is built; taken down the other way round.
struct Engine::Parts {
    explicit Parts(EngineInput input_) : input(std::move(input_)) {}

    [[nodiscard]] std::expected<void, registry::Failure> open_stores();
    [[nodiscard]] std::expected<void, registry::Failure> build();
    [[nodiscard]] std::expected<void, registry::Failure> build_http();
    [[nodiscard]] std::string status_json() const;
    [[nodiscard]] observe::Metrics metrics_now() const;
    [[nodiscard]] std::uint32_t requests_in_flight() const;
    [[nodiscard]] Result<void> accept_clients();
    void start_provisioned(const registry::FunctionRef& version);
    void serve();
    void drain();
    void on_signal(int signal_number);
    void on_spawner_up(const spawner::Started& started);
    void on_spawner_down();
    void on_spawner_lost();

    EngineInput input;
    std::unique_ptr<registry::Store> store;
    std::unique_ptr<registry::CodeStore> code_store;
    std::unique_ptr<registry::Registry> functions;
    std::unique_ptr<meter::Ledger> ledger;
    std::unique_ptr<observe::FunctionLogs> logs;
    observe::Metrics metrics;
    std::unique_ptr<ring::Loop> loop;
    std::unique_ptr<OffloadRunner> runner;
    std::unique_ptr<Background> background;
    std::unique_ptr<instance::SpawnerLink> link;
    std::unique_ptr<instance::Manager> manager;
    std::unique_ptr<instance::Invoker> invoker;
    std::unique_ptr<registry::SiteService> sites;
    std::unique_ptr<queue::EventQueue> events;
    std::unique_ptr<registry::BucketFetcher> buckets;
    std::unique_ptr<registry::ControlService> control;
    std::unique_ptr<AccessParts> access;
    std::unique_ptr<gateway::FrameServer> frames;
    std::unique_ptr<gateway::lambda::Api> api;
    std::unique_ptr<gateway::url::UrlHandler> urls;
    std::unique_ptr<gateway::http::Router> router;
    std::unique_ptr<gateway::http::HttpServer> http;
    std::function<void()> on_ready;
    std::function<void()> on_stopping;
    fiber::FiberId drainer;
    std::int64_t spawner_down_us = 0;
    MissingWalls walls;
    bool is_ready = false;
    bool stopping = false;
    int exit_code = 0;
};

std::expected<void, registry::Failure> Engine::Parts::open_stores() {
    const config::Settings& settings = input.settings;
    buckets = std::make_unique<registry::BucketFetcher>(registry::BucketOptions{
        .directory = settings.code_bucket_dir,
        .endpoint = settings.code_s3_endpoint,
        .region = settings.code_s3_region,
        .credentials = settings.code_s3_credentials,
    });
    auto opened = registry::Store::open(input.state.registry_path());
    if (!opened) {
        return std::unexpected(opened.error());
    }
    store = *std::move(opened);
    code_store =
        std::make_unique<registry::CodeStore>(input.state.code_fd(), input.state.path() + "/code");
    functions = std::make_unique<registry::Registry>(
        registry::Identity{.account = settings.account, .region = settings.region}
    );
    const auto loaded = registry::load(*store, *code_store, *functions);
    if (!loaded) {
        return std::unexpected(loaded.error());
    }
    auto ledger_opened = meter::Ledger::open({.directory = input.state.path() + "/ledger"});
    if (!ledger_opened) {
        return std::unexpected(failure_of("open the ledger", ledger_opened.error()));
    }
    ledger = *std::move(ledger_opened);
    const meter::LedgerRecovery& found = ledger->recovery();
    if (found.torn_count + found.gap_records_count + found.segments_missing_count > 0) {
        log_line(
            Level::kWarning,
            "ledger",
            "recovered records={} torn={} gap_records={} segments_missing={}",
            found.records_count,
            found.torn_count,
            found.gap_records_count,
            found.segments_missing_count
        );
    }
    auto logs_made = observe::FunctionLogs::make(
        {.directory = input.state.path() + "/log", .file_bytes_max = settings.log_file_bytes_max}
    );
    if (!logs_made) {
        return std::unexpected(failure_of("open the function logs", logs_made.error()));
    }
    logs = *std::move(logs_made);
    return {};
}

std::expected<void, registry::Failure> Engine::Parts::build() {
    const config::Settings& settings = input.settings;
    auto made = ring::Loop::make({
        .offload_threads = settings.offload_threads,
        .scheduler = {.fibers_max = static_cast<std::uint32_t>(config::fibers_max(settings))},
    });
    if (!made) {
        return std::unexpected(failure_of("make the event loop (io_uring)", made.error()));
    }
    loop = *std::move(made);
    runner = std::make_unique<OffloadRunner>(*loop);
    background = std::make_unique<Background>(
        *loop,
        *ledger,
        *logs,
        Background::Intervals{
            .ledger_sync_us = std::int64_t{settings.ledger_sync_ms} * 1'000,
            .log_flush_us = std::int64_t{settings.log_flush_ms} * 1'000,
        }
    );
    link = std::make_unique<instance::SpawnerLink>(
        *loop,
        std::move(input.keeper_socket),
        instance::SpawnerLink::Callbacks{
            .on_gone = [this](const spawner::Gone& gone) { manager->on_gone(gone); },
            .on_up = [this](const spawner::Started& started) { on_spawner_up(started); },
            .on_down = [this] { on_spawner_down(); },
            .on_lost = [this] { on_spawner_lost(); },
        }
    );
    manager = std::make_unique<instance::Manager>(
        *loop,
        *link,
        *logs,
        instance::ManagerOptions{
            .region = settings.region,
            .concurrency_max = settings.concurrency_max,
            .instances_max = settings.instances_max,
            .idle_retire_us = std::int64_t{settings.idle_timeout_s} * 1'000'000,
            .init_timeout_us = std::int64_t{settings.init_timeout_s} * 1'000'000,
            .function_concurrency = settings.function_concurrency,
            .freeze_grace_us = freeze_grace_us(settings),
        }
    );
    invoker = std::make_unique<instance::Invoker>(
        instance::Invoker::Parts{*loop, *functions, *manager, *ledger, metrics},
        instance::InvokerOptions{
            .billing_increment_ms = settings.billing_increment_ms,
            .concurrency_max = settings.concurrency_max,
            .payload_bytes_max = settings.payload_bytes_max,
            .event_bytes_max = settings.event_bytes_max,
            .stream =
                {
                    .bytes_max = settings.stream_bytes_max,
                    .burst_bytes = settings.stream_burst_bytes,
                    .bytes_per_s = settings.stream_bytes_per_s.value_or(0),
                },
        }
    );
    invoker->on_recorded = [this] { background->wake(); };
    events = std::make_unique<queue::EventQueue>(
        *loop,
        *invoker,
        queue::EventQueueOptions{
            .bytes_max = settings.events_bytes_max,
            .running_max = settings.events_running_max,
            .retry_delays_us =
                {std::int64_t{settings.event_retry_1_s} * 1'000'000,
                 std::int64_t{settings.event_retry_2_s} * 1'000'000},
        }
    );
    invoker->on_event = [this](const instance::InvokeCall& call, std::string_view request_id) {
        return events->offer(call, request_id);
    };
    manager->on_log_written = [this] { background->wake(); };
    sites = std::make_unique<registry::SiteService>(*functions, *store, *runner, settings.url_base);
    control = std::make_unique<registry::ControlService>(
        *functions,
        *store,
        *code_store,
        *runner,
        registry::ControlOptions{
            .concurrency_max = settings.concurrency_max,
            .on_change =
                [this](const registry::FunctionRef& before, const registry::FunctionRef& after) {
                    manager->on_change(before, after);
                    if (after == nullptr && functions->get(before->name) == nullptr) {
                        sites->forget_function(before->name);
                    }
                },
            .provisioned_ready = [this](const registry::FunctionVersion& function
                                 ) { return manager->ready_count(function); },
            .sites = sites.get(),
            .code = buckets.get(),
        }
    );
    manager->on_version_gone = [this] {
        // Collecting waits for the disk; without a fiber the next change collects.
        (void)loop->scheduler().spawn("collect-code", [this] { control->collect_code(); });
    };
    auto access_made = AccessParts::make(settings, input.access, input.state.keys_path(), *runner);
    if (!access_made) {
        return std::unexpected(access_made.error());
    }
    access = *std::move(access_made);
    access->access.policy_of = [this](std::string_view name, std::string_view qualifier) {
        return function_policy(*functions, name, qualifier);
    };
    frames = std::make_unique<gateway::FrameServer>(
        gateway::FrameServices{
            .loop = *loop,
            .invoker = *invoker,
            .control = *control,
            .engine_status_json = [this] { return status_json(); },
            .access = &access->access,
            .keys = &access->operations,
        },
        gateway::FrameLimits{
            .connections_max = settings.connections_max,
            .frames_in_flight_max = settings.frames_in_flight_max,
            .requests_max = settings.requests_max,
        }
    );
    TRY(sites->load(control->reader()));
    return build_http();
}

std::expected<void, registry::Failure> Engine::Parts::build_http() {
    const config::Settings& settings = input.settings;
    auto proxies = gateway::url::TrustedProxies::parse(settings.trusted_proxies);
    if (!proxies) {
        return std::unexpected(registry::Failure{"trusted_proxies: " + proxies.error()});
    }
    urls = std::make_unique<gateway::url::UrlHandler>(gateway::url::UrlServices{
        .invoker = *invoker,
        .registry = *functions,
        .sites = {.urls = sites->urls(), .apis = sites->http_apis()},
        .access = &access->access,
        .proxies = *std::move(proxies),
        .payload_bytes_max = settings.payload_bytes_max,
    });
    constexpr std::int64_t kSecondUs = 1'000'000;
    api = std::make_unique<gateway::lambda::Api>(gateway::lambda::ApiServices{
        .invoker = *invoker,
        .control = *control,
        .registry = *functions,
        .access = &access->access,
        .engine_status_json = [this] { return status_json(); },
        .metrics_text = [this] { return metrics_now().to_prometheus(now_us()); },
        .payload_bytes_max = settings.payload_bytes_max,
    });
    router = std::make_unique<gateway::http::Router>(
        std::vector<gateway::http::Handler*>{urls.get(), api.get()}, &access->access
    );
    http = std::make_unique<gateway::http::HttpServer>(
        *loop,
        *router,
        gateway::http::HttpLimits{
            .connections_max = settings.http_connections_max,
            .requests_max = settings.requests_max,
            .head =
                {
                    .line_bytes_max = settings.http_header_bytes_max / 2,
                    .bytes_max = settings.http_header_bytes_max,
                },
            .header_us = settings.http_header_timeout_s * kSecondUs,
            .body_us = settings.http_body_timeout_s * kSecondUs,
            .idle_us = settings.http_idle_timeout_s * kSecondUs,
            .write_us = settings.http_write_timeout_s * kSecondUs,
            .slow_bytes_per_s = settings.http_slow_bytes_per_s,
            .buffer_bytes_max = settings.http_buffer_bytes_max,
        }
    );
    return {};
}

observe::Metrics Engine::Parts::metrics_now() const {
    observe::Metrics now = metrics;
    now.in_flight_count = invoker->in_flight_count();
    now.instances_count = manager->instance_count();
    now.instances_idle_count = manager->idle_count();
    now.connections_count = frames->connection_count();
    now.http_connections_count = http->connection_count();
    now.log_dropped_bytes = logs->dropped_bytes();
    return now;
}

std::uint32_t Engine::Parts::requests_in_flight() const {
    return frames->in_flight_count() + http->in_flight_count() + events->running_count();
}

std::string Engine::Parts::status_json() const {
    const EngineStatus status{
        .identity = functions->identity(),
        .url_base = input.settings.url_base,
        .walls_missing = walls.json(),
        .keeper_pid = input.keeper_pid,
        .spawner_pid = link->spawner_pid(),
        .spawner_number = link->spawner_number(),
        .features = link->features(),
        .functions_count = functions->functions_count(),
        .frozen_count = manager->frozen_count(),
        .metrics = metrics_now(),
    };
    return status.to_json(now_us());
}

void Engine::Parts::start_provisioned(const registry::FunctionRef& version) {
    if (version->provisioned_count > 0) {
        manager->on_change(nullptr, version);
    }
}

void Engine::Parts::serve() {
    const Result<void> up = link->await_up(now_us() + kSpawnerStartUs);
    if (!up || exit_code != 0) {  // or `on_spawner_up` does not want this one
        exit_code = up ? exit_code : explain_no_spawner(up.error(), link->last_wait_status());
        loop->stop_now();
        return;
    }
    is_ready = true;
    for (const registry::Function* function : functions->list({}, SIZE_MAX)) {
        start_provisioned(function->latest);
        for (const auto& [number, version] : function->versions) {
            start_provisioned(version);
        }
    }
    if (const Result<void> accepting = accept_clients(); !accepting) {
        log_line(Level::kError, "engine", "cannot accept: {}", accepting.error().what);
        exit_code = 1;
        loop->stop_now();
        return;
    }
    log_line(
        Level::kInfo,
        "engine",
        "ready socket={} http_socket={} http={} functions={} features={:#x}",
        input.settings.socket,
        input.settings.http_socket,
        input.settings.http,
        functions->functions_count(),
        link->features()
    );
    access->log_state(input.settings);
    on_ready();
}

Result<void> Engine::Parts::accept_clients() {
    for (startup::Listener& listener : input.frame_listeners) {
        TRY(frames->serve(std::move(listener.fd), listener.is_shared));
    }
    for (startup::Listener& listener : input.http_listeners) {
        TRY(http->serve(std::move(listener.fd), listener.is_shared));
    }
    return {};
}

void Engine::Parts::on_spawner_up(const spawner::Started& started) {
    // A later spawner may find less than the first one: it is looked at, too.
    if (!walls.accept(started.walls_missing, input.settings.allow_missing_walls)) {
        exit_code = kExitWallsMissing;
        loop->stop_now();
        return;
    }
    const std::uint32_t leftovers_count = started.leftovers_removed_count;
    if (link->spawner_number() > 1) {
        log_line(
            Level::kWarning,
            "spawner",
            "back pid={} number={} after_ms={} leftovers={}",
            link->spawner_pid(),
            link->spawner_number(),
            spawner_down_us == 0 ? 0 : (now_us() - spawner_down_us) / 1'000,
            leftovers_count
        );
    } else if (leftovers_count > 0) {
        log_line(
            Level::kWarning,
            "spawner",
            "removed sandboxes of an engine that died count={}",
            leftovers_count
        );
    }
    spawner_down_us = 0;
}

void Engine::Parts::on_spawner_down() {
    if (!stopping) {
        log_line(
            Level::kError,
            "spawner",
            "went away pid={} instances={} in_flight={}",
            link->spawner_pid(),
            manager->instance_count(),
            invoker->in_flight_count()
        );
    }
    if (spawner_down_us == 0) {
        spawner_down_us = now_us();
    }
    manager->on_spawner_down();
}

void Engine::Parts::on_spawner_lost() {
    if (stopping) {
        return;
    }
    exit_code = 1;
    if (is_ready) {  // else `serve` says so
        log_line(Level::kError, "spawner", "lost for good: the engine stops");
        on_signal(SIGTERM);
    }
}

void Engine::Parts::on_signal(int signal_number) {
    if (stopping) {
        log_line(Level::kWarning, "engine", "second signal={}: stopping at once", signal_number);
        loop->stop_now();
        return;
    }
    stopping = true;
    const Result<fiber::FiberId> spawned = loop->scheduler().spawn("drain", [this] { drain(); });
    if (!spawned) {
        loop->stop_now();  // so overloaded that there is no fiber to drain with
    }
}

void Engine::Parts::drain() {
    const std::int64_t deadline_us =
        now_us() + std::int64_t{input.settings.drain_timeout_s} * 1'000'000;
    on_stopping();
    log_line(Level::kInfo, "engine", "draining in_flight={}", requests_in_flight());
    drainer = loop->scheduler().self();
    frames->on_drained = [this] { loop->scheduler().unpark(drainer); };
    http->on_drained = frames->on_drained;
    events->on_idle = frames->on_drained;
    if (const std::size_t dropped_count = events->stop(); dropped_count > 0) {
        log_line(Level::kWarning, "queue", "events dropped at the end count={}", dropped_count);
    }
    frames->stop_accepting();
    http->stop_accepting();
    while (requests_in_flight() > 0) {
        if (!loop->park_until(deadline_us)) {
            log_line(
                Level::kWarning,
                "engine",
                "drain_timeout_s={} has passed: ending in_flight={}",
                input.settings.drain_timeout_s,
                requests_in_flight()
            );
            invoker->cancel_all();
            break;
        }
    }
    const std::int64_t end_us = now_us() + kEndUs;
    while (requests_in_flight() > 0 && loop->park_until(end_us)) {
    }
    const std::size_t left_count = manager->end_all(end_us);
    if (left_count > 0) {
        log_line(Level::kWarning, "engine", "instances still ending count={}", left_count);
    }
    // Connections close by themselves once their last answer has been sent.
    while (frames->connection_count() + http->connection_count() > 0 &&
           loop->sleep_until(std::min(end_us, now_us() + 1'000)) && now_us() < end_us) {
    }
    loop->stop_now();
}

Engine::Engine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Engine::~Engine() = default;

std::expected<std::unique_ptr<Engine>, registry::Failure> Engine::make(EngineInput input) {
    auto parts = std::make_unique<Parts>(std::move(input));
    parts->metrics.start_us = now_us();
    if (auto opened = parts->open_stores(); !opened) {
        return std::unexpected(opened.error());
    }
    if (auto built = parts->build(); !built) {
        return std::unexpected(built.error());
    }
    return std::unique_ptr<Engine>(new Engine(std::move(parts)));
}

int Engine::run(const std::function<void()>& on_ready, const std::function<void()>& on_stopping) {
    Parts& parts = *parts_;
    parts.on_ready = on_ready;
    parts.on_stopping = on_stopping;
    constexpr std::array<int, 2> kSignals = {SIGTERM, SIGINT};
    const Result<void> watching = parts.loop->watch_signals(kSignals, [&parts](int signal_number) {
        parts.on_signal(signal_number);
    });
    const Result<void> linked = watching ? parts.link->start() : watching;
    if (!linked) {
        log_line(Level::kError, "engine", "{}", failure_of("start", linked.error()).text);
        return 1;
    }
    const auto spawned = parts.loop->scheduler().spawn("serve", [&parts] { parts.serve(); });
    ENSURE(spawned.has_value(), "an empty scheduler has room");
    parts.loop->run();
    const std::int64_t settled_us = now_us() + kLastWritesUs;
    while (parts.background->is_busy() && now_us() < settled_us) {
        parts.loop->turn(settled_us);
    }
    if (const Result<void> finished = parts.background->finish(); !finished) {
        log_line(Level::kError, "engine", "{}", failure_of("last writes", finished.error()).text);
        parts.exit_code = 1;
    }
    parts.link->close();
    const auto is_shared = [](const std::vector<startup::Listener>& listeners) {
        return std::ranges::any_of(listeners, &startup::Listener::is_shared);
    };
    // Fails where the folder is not ours; the next start replaces what is left.
    if (!is_shared(parts.input.frame_listeners)) {
        (void)::unlink(parts.input.settings.socket.c_str());
    }
    if (!is_shared(parts.input.http_listeners) && !parts.input.settings.http_socket.empty()) {
        (void)::unlink(parts.input.settings.http_socket.c_str());
    }
    log_line(Level::kInfo, "engine", "stopped exit_code={}", parts.exit_code);
    return parts.exit_code;
}

}  // namespace hako
