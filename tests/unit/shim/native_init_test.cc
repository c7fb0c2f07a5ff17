#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <elf.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hako/channel.h"
#include "hako/shim.h"
#include "runtime-shim/native/native_runtime.h"
#include "tests/unit/shim/engine_double.h"

// What goes wrong before a native function is ready.
namespace hako::shim::test {
namespace {

using spawner::RuntimeKind;
namespace fs = std::filesystem;

class NativeInit : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/hako-shim-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        root = name;
    }
    void TearDown() override { fs::remove_all(root); }

    void write_file(const std::string& name, const std::string& content, mode_t mode) {
        std::ofstream(root / name) << content;
        ASSERT_EQ(chmod((root / name).c_str(), mode), 0);
    }
    /// Expects INIT_ERROR with this type and message, the same in the log, and exit status 1.
    void expect_init_error(
        RuntimeKind kind,
        const std::string& handler,
        const std::string& type,
        const std::string& message
    ) {
        EngineDouble engine;
        engine.start([kind] { return run_native_worker(kind); });
        const Answer answer = engine.init(environment_for(handler, root.string()));
        EXPECT_EQ(answer.kind, HAKO_RESPONSE_INIT_ERROR);
        EXPECT_EQ(
            answer.payload,
            R"({"errorMessage":")" + message + R"(","errorType":")" + type + R"(","stackTrace":[]})"
        );
        EXPECT_EQ(answer.log, "[ERROR] " + type + ": " + message + "\n");
        const int status = engine.await_exit();
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
    }
    [[nodiscard]] std::string path(const std::string& name) const { return (root / name).string(); }

    fs::path root;
};

TEST_F(NativeInit, MissingFile) {
    for (const RuntimeKind kind : {RuntimeKind::kNative, RuntimeKind::kExecutable}) {
        expect_init_error(
            kind,
            "nowhere.so",
            "Runtime.InvalidEntrypoint",
            "Couldn't find valid bootstrap(s): [" + path("nowhere.so") + "]"
        );
    }
}

TEST_F(NativeInit, MissingSymbol) {
    fs::copy(HAKO_TEST_HANDLERS "/libprobe.so", root);
    expect_init_error(
        RuntimeKind::kNative,
        "libprobe.so:no_such",
        "Runtime.HandlerNotFound",
        "Handler 'no_such' missing on module 'libprobe.so'"
    );
}

TEST_F(NativeInit, NamedSymbolIsUsed) {
    EngineDouble engine;
    engine.start([] { return run_native_worker(RuntimeKind::kNative); });
    const auto environment = environment_for("libprobe.so:other_symbol", HAKO_TEST_HANDLERS);
    ASSERT_EQ(engine.init(environment).kind, HAKO_RESPONSE_READY);
    EXPECT_EQ(engine.invoke({.event = "x"}).payload.substr(0, 9), "8f5d0bb1-");
}

TEST_F(NativeInit, MalformedHandler) {
    for (const char* const handler : {"", ":symbol", "lib.so:"}) {
        expect_init_error(
            RuntimeKind::kNative,
            handler,
            "Runtime.MalformedHandlerName",
            "Bad handler '" + std::string(handler) + "': expected file.so or file.so:symbol"
        );
    }
}

TEST_F(NativeInit, NotAProgram) {
    write_file("garbage", "not a program at all", 0755);
    write_file("empty", "", 0755);
    fs::create_directory(root / "folder");
    const std::string type = "Runtime.InvalidEntrypoint";
    expect_init_error(
        RuntimeKind::kNative,
        "garbage",
        type,
        "Cannot load " + path("garbage") + ": it is no ELF file"
    );
    expect_init_error(
        RuntimeKind::kExecutable,
        "garbage",
        type,
        "Cannot start " + path("garbage") + ": it is no ELF file"
    );
    expect_init_error(
        RuntimeKind::kExecutable, "empty", type, "Cannot start " + path("empty") + ": it is empty"
    );
    expect_init_error(
        RuntimeKind::kExecutable,
        "folder",
        type,
        "Cannot use " + path("folder") + ": it is no regular file"
    );
}

TEST_F(NativeInit, ExecutableThatMayNotRun) {
    write_file("script", "#!/bin/sh\nexit 0\n", 0644);
    write_file("orphan", "#!/nowhere/interpreter\n", 0755);
    const std::string type = "Runtime.InvalidEntrypoint";
    expect_init_error(
        RuntimeKind::kExecutable,
        "script",
        type,
        "Cannot start " + path("script") + ": it is not executable (permission denied)"
    );
    expect_init_error(
        RuntimeKind::kExecutable,
        "orphan",
        type,
        "Cannot start " + path("orphan") + ": its interpreter is not in the sandbox"
    );
}

TEST_F(NativeInit, WrongArchitectureIsNamed) {
    Elf64_Ehdr header = {};
    std::ifstream(HAKO_TEST_HANDLERS "/libprobe.so", std::ios::binary)
        .read(reinterpret_cast<char*>(&header), sizeof(header));
    const bool here_x86 = header.e_machine == EM_X86_64;
    header.e_machine = here_x86 ? EM_AARCH64 : EM_X86_64;
    write_file("other", std::string(reinterpret_cast<char*>(&header), sizeof(header)), 0755);
    const std::string reason = here_x86 ? "it is built for arm64 and this machine is x86_64"
                                        : "it is built for x86_64 and this machine is arm64";
    const std::string type = "Runtime.InvalidEntrypoint";
    expect_init_error(
        RuntimeKind::kNative, "other", type, "Cannot load " + path("other") + ": " + reason
    );
    expect_init_error(
        RuntimeKind::kExecutable, "other", type, "Cannot start " + path("other") + ": " + reason
    );
}

TEST_F(NativeInit, BrokenSharedObjectIsAnImportError) {
    // A good header and nothing behind it: only the dynamic loader can tell.
    std::ifstream source(HAKO_TEST_HANDLERS "/libprobe.so", std::ios::binary);
    std::string head(200, '\0');
    source.read(head.data(), 200);
    write_file("cut.so", head, 0644);
    expect_init_error(
        RuntimeKind::kNative,
        "cut.so",
        "Runtime.ImportModuleError",
        "Unable to import module 'cut.so': " + path("cut.so") + ": cannot read file data"
    );
}

TEST_F(NativeInit, WaitsForTheCode) {
    EngineDouble engine;
    engine.start([] { return run_native_worker(RuntimeKind::kNative); });
    const std::string block =
        "_HANDLER=libprobe.so" + std::string(1, '\0') + "LAMBDA_TASK_ROOT=" HAKO_TEST_HANDLERS;
    engine.post(HAKO_REQUEST_INIT, {.event = block});
    // It has the request, and must not look for the file before the code is there.
    engine.set_code_mounted();
    EXPECT_EQ(engine.await_answer().kind, HAKO_RESPONSE_READY);
}

TEST_F(NativeInit, ShutdownBeforeInit) {
    EngineDouble engine;
    engine.start([] { return run_native_worker(RuntimeKind::kNative); });
    EXPECT_EQ(engine.shutdown(), 0);
}

TEST_F(NativeInit, ChannelOfAnotherVersionIsRefused) {
    EngineDouble engine;
    engine.channel().version = HAKO_CHANNEL_VERSION + 1;
    engine.start([] { return run_native_worker(RuntimeKind::kNative); });
    const int status = engine.await_exit();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
    EXPECT_EQ(engine.take_log(), "hako: cannot attach to the channel: Protocol error\n");
}

TEST_F(NativeInit, SignalsDuringTheWaitChangeNothing) {
    EngineDouble engine;
    engine.start([] {
        struct sigaction action = {};
        action.sa_handler = [](int) {};  // no SA_RESTART: the futex wait ends with EINTR
        sigaction(SIGUSR1, &action, nullptr);
        return run_native_worker(RuntimeKind::kNative);
    });
    const auto environment = environment_for("libprobe.so", HAKO_TEST_HANDLERS);
    ASSERT_EQ(engine.init(environment).kind, HAKO_RESPONSE_READY);
    for (int i = 0; i < 200; ++i) {
        kill(engine.pid(), SIGUSR1);
        ASSERT_EQ(engine.invoke({.event = "ping"}).payload, "ping");
    }
}

std::size_t count_descriptors() {
    const fs::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST_F(NativeInit, LeavesNothingBehind) {
    const std::size_t before = count_descriptors();
    for (const bool gently : {true, false}) {
        EngineDouble engine;
        engine.start([] { return run_native_worker(RuntimeKind::kNative); });
        const auto environment = environment_for("libprobe.so", HAKO_TEST_HANDLERS);
        ASSERT_EQ(engine.init(environment).kind, HAKO_RESPONSE_READY);
        if (gently) {
            EXPECT_EQ(engine.shutdown(), 0);
        }
    }
    EXPECT_EQ(count_descriptors(), before);
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
}

TEST(ShimSpin, SpinningWorkerAnswersToo) {
    EngineDouble engine;
    engine.start([] {
        hako_shim shim;
        if (hako_shim_attach(&shim) != 0) {
            return 1;
        }
        shim.spin_us = 50;
        while (hako_shim_wait(&shim) != HAKO_REQUEST_SHUTDOWN) {
            const hako_view event = hako_shim_event(&shim);
            (void)hako_shim_answer(&shim, HAKO_RESPONSE_RESULT, event.data, event.bytes);
        }
        return 0;
    });
    for (int i = 0; i < 1000; ++i) {
        const std::string event = std::to_string(i);
        ASSERT_EQ(engine.invoke({.event = event}).payload, event);
    }
    EXPECT_EQ(engine.shutdown(), 0);
}

}  // namespace
}  // namespace hako::shim::test
