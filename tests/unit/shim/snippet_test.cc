#include <string>

#include <gtest/gtest.h>

#include "hako/channel.h"
#include "runtime-shim/native/native_runtime.h"
#include "tests/unit/shim/engine_double.h"

// The native code shown in docs/ does what the text says.
namespace hako::shim::test {
namespace {

using spawner::RuntimeKind;

void start_snippet(EngineDouble& engine, RuntimeKind kind, const std::string& handler) {
    engine.start([kind] { return run_native_worker(kind); });
    const Answer answer = engine.init(environment_for(handler, HAKO_TEST_HANDLERS));
    ASSERT_EQ(answer.kind, HAKO_RESPONSE_READY) << answer.payload;
}

TEST(Snippet, UpperIsTheSameBothWays) {
    const std::pair<RuntimeKind, const char*> forms[] = {
        {RuntimeKind::kNative, "libupper.so"}, {RuntimeKind::kExecutable, "upper"}
    };
    for (const auto& [kind, handler] : forms) {
        EngineDouble engine;
        start_snippet(engine, kind, handler);
        const Answer answer = engine.invoke({.event = R"({"a":"bc"})"});
        EXPECT_EQ(answer.payload, R"({"A":"BC"})");
        EXPECT_NE(answer.log.find(": 10 bytes, "), std::string::npos) << answer.log;
    }
}

TEST(Snippet, DivideThrowsWhatItSays) {
    EngineDouble engine;
    start_snippet(engine, RuntimeKind::kNative, "libdivide.so");
    EXPECT_EQ(engine.invoke({.event = "[84,2]"}).payload, "42");
    EXPECT_EQ(
        engine.invoke({.event = "[1,0]"}).payload,
        R"({"errorMessage":"division by zero","errorType":"std::domain_error","stackTrace":[]})"
    );
    const Answer wrong = engine.invoke({.event = "{}"});
    EXPECT_NE(wrong.payload.find(R"("errorType":"BadRequest")"), std::string::npos);
    EXPECT_NE(wrong.payload.find("libdivide.so+0x"), std::string::npos) << wrong.payload;
}

TEST(Snippet, BareWorkerSpeaksTheProtocol) {
    EngineDouble engine;
    start_snippet(engine, RuntimeKind::kExecutable, "worker");
    EXPECT_EQ(engine.invoke({.event = "echo"}).payload, "echo");
    EXPECT_EQ(engine.shutdown(), 0);
}

}  // namespace
}  // namespace hako::shim::test
