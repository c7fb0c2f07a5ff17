// Prints what the runtimes cost: round trips, cold starts, memory. Not a test: numbers of a shared
// machine are for people. `--quick` runs the same with few rounds, as the test against rot.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/ensure.h"
#include "runtime-shim/native/native_runtime.h"
#include "runtime-shim/python/hako_module.h"
#include "runtime-shim/python/python_runtime.h"
#include "tests/unit/shim/engine_double.h"

namespace hako::shim::test {
namespace {

constexpr const char* kEvent = R"({"message":"0123456789012345678901234567890123456789012345"})";
constexpr const char* kEchoSource = "import json\ndef handler(event, context):\n    return event\n";

struct Figures {
    double p50_us = 0;
    double p99_us = 0;
};

Figures summarize(std::vector<std::int64_t> spans_ns) {
    std::ranges::sort(spans_ns);
    const auto at = [&spans_ns](std::size_t percent) {
        const std::size_t index = spans_ns.size() * percent / 100;
        return static_cast<double>(spans_ns[std::min(index, spans_ns.size() - 1)]) / 1000;
    };
    return {.p50_us = at(50), .p99_us = at(99)};
}

Figures measure(int rounds, const std::function<void()>& once) {
    std::vector<std::int64_t> spans_ns;
    spans_ns.reserve(static_cast<std::size_t>(rounds));
    for (int i = 0; i < rounds; ++i) {
        const std::int64_t start_ns = now_ns();
        once();
        spans_ns.push_back(now_ns() - start_ns);
    }
    return summarize(std::move(spans_ns));
}

void print(const char* name, const Figures& figures) {
    std::printf("%-58s p50 %8.2f us   p99 %8.2f us\n", name, figures.p50_us, figures.p99_us);
}

/// A round trip without the checks of EngineDouble::invoke, which would be measured too.
void round_trip(EngineDouble& engine) {
    engine.post(HAKO_REQUEST_INVOKE, {.event = kEvent});
    std::uint64_t rung = 0;
    ENSURE(read(engine.doorbell_fd(), &rung, sizeof(rung)) == sizeof(rung), "doorbell");
}

Figures measure_round_trips(EngineDouble& engine, int rounds) {
    ENSURE(fcntl(engine.doorbell_fd(), F_SETFL, 0) == 0, "blocking doorbell");
    return measure(rounds, [&engine] { round_trip(engine); });
}

void start_python(EngineDouble& engine) {
    before_python_clone();
    engine.start([] {
        after_python_clone_in_worker();
        return run_python_worker();
    });
    after_python_clone_in_zygote();
}

void await_sleep(EngineDouble& engine) {
    while (__atomic_load_n(&engine.channel().worker_sleeping, __ATOMIC_SEQ_CST) == 0) {
        sched_yield();
    }
}

void print_memory(const char* name, pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
    std::string line;
    std::printf("%s:", name);
    while (std::getline(file, line)) {
        for (const char* const field : {"Rss:", "Pss:", "Private_Dirty:", "Anonymous:"}) {
            if (line.starts_with(field)) {
                std::printf("  %s %d KiB", field, std::atoi(line.c_str() + std::strlen(field)));
            }
        }
    }
    std::printf("\n");
}

/// What a worker has of its own before there is a function.
void print_blank_memory(const char* name, const std::function<void(EngineDouble&)>& start) {
    EngineDouble engine;
    start(engine);
    await_sleep(engine);
    print_memory(name, engine.pid());
}

Figures measure_native(int rounds) {
    EngineDouble engine;
    engine.start([] { return run_native_worker(spawner::RuntimeKind::kNative); });
    const auto environment = environment_for("libprobe.so", HAKO_TEST_HANDLERS);
    ENSURE(engine.init(environment).kind == HAKO_RESPONSE_READY, "native init");
    return measure_round_trips(engine, rounds);
}

Figures measure_python(const std::string& root, int rounds) {
    EngineDouble engine;
    start_python(engine);
    ENSURE(engine.init(environment_for("app.handler", root)).kind == HAKO_RESPONSE_READY, "init");
    return measure_round_trips(engine, rounds);
}

/// INIT posted until READY, in workers that wait for it.
Figures measure_cold(
    const std::function<void(EngineDouble&)>& start,
    const std::string& handler,
    const std::string& root,
    int rounds
) {
    std::vector<std::int64_t> spans_ns;
    for (int i = 0; i < rounds; ++i) {
        EngineDouble engine;
        start(engine);
        await_sleep(engine);
        const std::int64_t start_ns = now_ns();
        ENSURE(engine.init(environment_for(handler, root)).kind == HAKO_RESPONSE_READY, "init");
        spans_ns.push_back(now_ns() - start_ns);
    }
    return summarize(std::move(spans_ns));
}

/// The floor: the least a Python function served over a socket can cost, in the same interpreter.
constexpr const char* kBareLoop = R"(
import json, socket
channel = socket.socket(fileno=FD)
def handler(event, context):
    return event
while True:
    data = channel.recv(65536)
    if not data:
        break
    channel.send(json.dumps(handler(json.loads(data), None)).encode())
)";

Figures measure_bare_python(int rounds) {
    int ends[2];
    ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    before_python_clone();
    const pid_t child = fork();
    if (child == 0) {
        after_python_clone_in_worker();
        close(ends[0]);
        std::string code = kBareLoop;
        code.replace(code.find("FD"), 2, std::to_string(ends[1]));
        _exit(PyRun_SimpleString(code.c_str()) == 0 ? 0 : 1);
    }
    after_python_clone_in_zygote();
    close(ends[1]);
    const Figures figures = measure(rounds, [&ends] {
        char buffer[4096];
        ENSURE(send(ends[0], kEvent, std::strlen(kEvent), 0) > 0, "send");
        ENSURE(recv(ends[0], buffer, sizeof(buffer), 0) > 0, "recv");
    });
    close(ends[0]);
    int status = 0;
    ENSURE(waitpid(child, &status, 0) == child && status == 0, "bare loop");
    return figures;
}

void run(int rounds, int cold_rounds) {
    char name[] = "/tmp/hako-measure-XXXXXX";
    ENSURE(mkdtemp(name) != nullptr, "mkdtemp");
    const std::string root = name;
    std::ofstream(root + "/app.py") << kEchoSource;
    cpu_set_t one_core;
    CPU_ZERO(&one_core);
    CPU_SET(sched_getcpu(), &one_core);
    ENSURE(sched_setaffinity(0, sizeof(one_core), &one_core) == 0, "pin");

    print("native echo, 56 B, one core", measure_native(rounds));
    print_memory("this program before boot", getpid());
    ENSURE(boot_python(), "boot Python");
    print_memory("Python zygote after boot", getpid());
    print_blank_memory("Python blank, waiting", start_python);
    print("Python echo, 56 B, one core", measure_python(root, rounds));
    print("bare Python loop over a socketpair, same interpreter", measure_bare_python(rounds));
    print(
        "Python cold: INIT posted to READY, handler imports json",
        measure_cold(start_python, "app.handler", root, cold_rounds)
    );
    const auto start_native = [](EngineDouble& engine) {
        engine.start([] { return run_native_worker(spawner::RuntimeKind::kNative); });
    };
    print(
        "native cold: INIT posted to READY, C shared object",
        measure_cold(start_native, "libprobe.so", HAKO_TEST_HANDLERS, cold_rounds)
    );
    print(
        "native cold: the same, C++ shared object",
        measure_cold(start_native, "libthrowing.so", HAKO_TEST_HANDLERS, cold_rounds)
    );
    const auto start_executable = [](EngineDouble& engine) {
        engine.start([] { return run_native_worker(spawner::RuntimeKind::kExecutable); });
    };
    print(
        "executable cold: INIT posted to READY, C program",
        measure_cold(start_executable, "probe_program", HAKO_TEST_HANDLERS, cold_rounds)
    );
    std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace hako::shim::test

int main(int argc, char** argv) {
    const bool quick = argc > 1 && std::string_view(argv[1]) == "--quick";
    hako::shim::test::run(quick ? 100 : 50'000, quick ? 3 : 300);
    return 0;
}
