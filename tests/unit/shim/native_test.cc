#include <csignal>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "hako/channel.h"
#include "runtime-shim/native/native_runtime.h"
#include "tests/unit/shim/engine_double.h"

// Functions served over the channel, each both as a shared object and as an executable.
namespace hako::shim::test {
namespace {

using spawner::RuntimeKind;

class NativeFunction : public testing::TestWithParam<RuntimeKind> {
protected:
    /// Starts `name` and takes it through INIT.
    void start(const std::string& name) {
        const RuntimeKind kind = GetParam();
        const std::string handler =
            kind == RuntimeKind::kNative ? "lib" + name + ".so" : name + "_program";
        engine.start([kind] { return run_native_worker(kind); });
        const Answer answer = engine.init(environment_for(handler, HAKO_TEST_HANDLERS));
        ASSERT_EQ(answer.kind, HAKO_RESPONSE_READY) << answer.payload << answer.log;
        ASSERT_EQ(answer.payload, "");
    }
    void expect_error(std::string_view event, const std::string& payload) {
        const Answer answer = engine.invoke({.event = event});
        EXPECT_EQ(answer.kind, HAKO_RESPONSE_ERROR);
        EXPECT_EQ(answer.payload, payload);
    }
    void expect_result(std::string_view event, const std::string& payload) {
        const Answer answer = engine.invoke({.event = event});
        EXPECT_EQ(answer.kind, HAKO_RESPONSE_RESULT);
        EXPECT_EQ(answer.payload, payload);
    }

    EngineDouble engine;
};

TEST_P(NativeFunction, EchoesAndLeavesWithZeroOnShutdown) {
    start("probe");
    expect_result(R"({"a":1})", R"({"a":1})");
    expect_result("", "");
    EXPECT_EQ(engine.shutdown(), 0);
    EXPECT_EQ(engine.take_log(), "");
}

TEST_P(NativeFunction, SeesItsContext) {
    start("probe");
    const Answer answer =
        engine.invoke({.event = "describe", .client_context = R"({"custom":{"k":"v"}})"});
    EXPECT_EQ(
        answer.payload,
        "8f5d0bb1-6b2f-4c0e-9d2c-0123456789ab|Root=1-5a2e8f00-0123456789abcdef01234567;Sampled=0|"
        "arn:aws:lambda:us-east-1:123456789012:function:probe:live|probe|7|256|/aws/lambda/probe|"
        "2017/12/14/"
        "[7]0123456789abcdef0123456789abcdef|{\"custom\":{\"k\":\"v\"}}|hello|" HAKO_TEST_HANDLERS
    );
}

TEST_P(NativeFunction, AnswersNullWhenItSaysNothing) {
    start("probe");
    expect_result("nothing", "null");
}

// What a caller that takes a stream sees is tested with the engine (tests/api/test_stream.py).
TEST_P(NativeFunction, JoinsPartsForACallerThatWantsThemWhole) {
    start("streaming");
    expect_result("{}", "one two");
    expect_result("nothing", "");
    expect_result("http", R"({"statusCode":200})" + std::string(8, '\0') + "one two");
    expect_error(
        "late",
        R"({"errorMessage":"behind the parts","errorType":"std::out_of_range","stackTrace":[]})"
    );
    const Answer early = engine.invoke({.event = "early"});
    EXPECT_EQ(early.kind, HAKO_RESPONSE_ERROR);
    EXPECT_NE(early.payload.find(R"("errorType":"Early")"), std::string::npos) << early.payload;
    const Answer large = engine.invoke({.event = "large"});
    EXPECT_EQ(large.kind, HAKO_RESPONSE_ERROR);
    EXPECT_NE(large.payload.find("Function.ResponseSizeTooLarge"), std::string::npos);
}

TEST_P(NativeFunction, ReportsErrorsAsValidJson) {
    start("probe");
    expect_error(
        "fail",
        R"({"errorMessage":"line 1\nline 2\ttab \\ \u0001 )"
        "\xef\xbf\xbd \xc3\xa9"
        R"(","errorType":"My\"Type","stackTrace":[]})"
    );
    expect_error(
        "status",
        R"({"errorMessage":"The handler returned 42","errorType":"Runtime.HandlerError",)"
        R"("stackTrace":[]})"
    );
    expect_result("still here", "still here");
}

TEST_P(NativeFunction, CarriesSixMebibytesBothWays) {
    start("probe");
    std::string event(HAKO_EVENT_BYTES_MAX, 'e');
    event.back() = '!';
    const std::string client_context(3583, 'c');
    Answer answer = engine.invoke({.event = event, .client_context = client_context});
    EXPECT_TRUE(answer.payload == event);
    answer = engine.invoke({.event = "largest"});
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_RESULT);
    EXPECT_EQ(answer.payload.size(), HAKO_RESPONSE_BYTES_MAX);
}

TEST_P(NativeFunction, SaysHowLargeAnAnswerWasThatDoesNotFit) {
    start("probe");
    const Answer answer = engine.invoke({.event = "too large"});
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_TOO_LARGE);
    EXPECT_EQ(answer.payload, "");
    EXPECT_EQ(answer.bytes_wanted, HAKO_RESPONSE_BYTES_MAX + 1);
    expect_result("still here", "still here");
}

TEST_P(NativeFunction, LogIsCompleteBeforeTheAnswer) {
    start("probe");
    for (int i = 0; i < 100; ++i) {
        const Answer answer = engine.invoke({.event = "log"});
        // stderr is unbuffered and stdout flushed last: order between the two is the author's.
        ASSERT_EQ(answer.log, "logged 7\nno line end");
    }
}

TEST_P(NativeFunction, CountsDownToTheDeadline) {
    start("probe");
    const Answer later = engine.invoke({.event = "remaining", .timeout_ms = 60'000});
    EXPECT_LE(std::stoi(later.payload), 60'000);
    EXPECT_GT(std::stoi(later.payload), 30'000);
    EXPECT_EQ(engine.invoke({.event = "remaining", .timeout_ms = -5}).payload, "0");
}

TEST_P(NativeFunction, HasNoOtherDescriptors) {
    start("probe");
    expect_result("descriptors", "0 1 2 3 4 ");
}

TEST_P(NativeFunction, DiesVisiblyAndKeepsItsLastLines) {
    start("probe");
    engine.post(HAKO_REQUEST_INVOKE, {.event = "crash"});
    const int status = engine.await_exit();
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGABRT);
    EXPECT_EQ(engine.take_log(), "last words\n");
}

TEST_P(NativeFunction, ExitStatusIsTheFunctions) {
    start("probe");
    engine.post(HAKO_REQUEST_INVOKE, {.event = "exit"});
    const int status = engine.await_exit();
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 3);
}

TEST_P(NativeFunction, ServesAHundredThousandRoundTrips) {
    start("probe");
    for (int i = 0; i < 100'000; ++i) {
        const std::string event = std::to_string(i);
        const Answer answer = engine.invoke({.event = event});
        ASSERT_EQ(answer.payload, event);
    }
    EXPECT_EQ(engine.shutdown(), 0);
}

TEST_P(NativeFunction, TurnsExceptionsIntoErrors) {
    start("throwing");
    expect_error(
        "standard",
        R"({"errorMessage":"index 9 of 3","errorType":"std::out_of_range","stackTrace":[]})"
    );
    expect_error(
        "derived", R"({"errorMessage":"tea","errorType":"shop::OutOfStock","stackTrace":[]})"
    );
    expect_error("integer", R"({"errorMessage":"","errorType":"int","stackTrace":[]})");
    expect_error(
        "literal", R"({"errorMessage":"plain text","errorType":"char const*","stackTrace":[]})"
    );
    expect_result("still here", "still here");
}

TEST_P(NativeFunction, ErrorKnowsWhereItWasThrown) {
    start("throwing");
    const Answer answer = engine.invoke({.event = "hako"});
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_ERROR);
    const std::string expected_start =
        R"({"errorMessage":"no \"card\"","errorType":"OrderRefused",)"
        R"("stackTrace":["refuse_order()+0x)";
    EXPECT_EQ(answer.payload.substr(0, expected_start.size()), expected_start) << answer.payload;
    EXPECT_EQ(answer.payload.substr(answer.payload.size() - 3), "\"]}");
}

TEST_P(NativeFunction, CppContextHasTheSameFacts) {
    start("throwing");
    const Answer answer = engine.invoke({.event = "describe", .client_context = "{}"});
    EXPECT_EQ(answer.payload, "8f5d0bb1-6b2f-4c0e-9d2c-0123456789ab|probe|256|{}");
}

INSTANTIATE_TEST_SUITE_P(
    Both,
    NativeFunction,
    testing::Values(RuntimeKind::kNative, RuntimeKind::kExecutable),
    [](const testing::TestParamInfo<RuntimeKind>& parameter) {
        return parameter.param == RuntimeKind::kNative ? "SharedObject" : "Executable";
    }
);

}  // namespace
}  // namespace hako::shim::test
