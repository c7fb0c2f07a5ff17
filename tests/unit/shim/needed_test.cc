#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "hako/channel.h"
#include "runtime-shim/native/native_runtime.h"
#include "runtime-shim/native/needed_libraries.h"
#include "tests/unit/shim/engine_double.h"

// Libraries of a shared object in directories that LD_LIBRARY_PATH names only after the process
// has started.
namespace hako::shim::test {
namespace {

using spawner::RuntimeKind;
namespace fs = std::filesystem;

class NeededLibraries : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/hako-needed-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        root = name;
        fs::create_directories(root / "task");
        fs::create_directories(root / "opt/lib");
        fs::copy(HAKO_TEST_LAYERS "/liblayered.so", root / "task");
    }
    void TearDown() override { fs::remove_all(root); }

    Answer start(EngineDouble& engine) {
        engine.start([] { return run_native_worker(RuntimeKind::kNative); });
        auto environment = environment_for("liblayered.so", (root / "task").string());
        environment.emplace_back(
            "LD_LIBRARY_PATH", "/lib64:/var/task/lib::" + (root / "opt/lib").string()
        );
        return engine.init(environment);
    }
    void add_library(const std::string& name) {
        fs::copy(HAKO_TEST_LAYERS "/" + name, root / "opt/lib");
    }

    fs::path root;
};

TEST_F(NeededLibraries, AreLoadedWithWhatTheyNeed) {
    add_library("liblayer_outer.so");
    add_library("liblayer_inner.so");
    EngineDouble engine;
    const Answer answer = start(engine);
    ASSERT_EQ(answer.kind, HAKO_RESPONSE_READY) << answer.payload;
    EXPECT_EQ(engine.invoke({.event = "{}"}).payload, "\"from a layer\"");
    EXPECT_EQ(engine.shutdown(), 0);
}

TEST_F(NeededLibraries, AMissingOneIsNamed) {
    add_library("liblayer_outer.so");
    EngineDouble engine;
    const Answer answer = start(engine);
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_INIT_ERROR);
    EXPECT_NE(answer.payload.find("Runtime.ImportModuleError"), std::string::npos);
    EXPECT_NE(answer.payload.find(".so: cannot open shared object file"), std::string::npos)
        << answer.payload;
    (void)engine.await_exit();
}

TEST_F(NeededLibraries, BrokenFilesAreLeftToTheLinker) {
    std::ifstream good(HAKO_TEST_LAYERS "/liblayered.so", std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(good)), {});
    ASSERT_GT(bytes.size(), 4096U);
    setenv("LD_LIBRARY_PATH", (root / "opt/lib").c_str(), 1);
    const std::string path = (root / "broken.so").string();
    const auto try_bytes = [&path](const std::string& broken) {
        std::ofstream(path, std::ios::binary) << broken;
        load_needed_libraries(path.c_str());
    };
    // Cut at many lengths of the headers, and many bytes of them turned round.
    for (std::size_t length = 0; length < 768; length += 5) {
        try_bytes(bytes.substr(0, length));
        std::string changed = bytes;
        changed[length] = static_cast<char>(~changed[length]);
        try_bytes(changed);
    }
    load_needed_libraries((root / "nowhere.so").c_str());
    load_needed_libraries(root.c_str());
    unsetenv("LD_LIBRARY_PATH");
}

}  // namespace
}  // namespace hako::shim::test
