#include <string>

#include <gtest/gtest.h>

#include "tests/unit/shim/python_double.h"

// Generator handlers, for a caller that wants the answer whole; streamed ones have a test with the
// engine (tests/api/test_stream.py).
namespace hako::shim::test {
namespace {

TEST_F(PythonFunction, PartsOfAGeneratorAreJoined) {
    start(R"(
def handler(event, context):
    yield "caf\u00e9 "
    yield b"\x00\xff"
)");
    expect_result("{}", std::string("caf\xc3\xa9 \x00\xff", 8));
}

TEST_F(PythonFunction, GeneratorWithoutPartsHasAnEmptyAnswer) {
    start("def handler(event, context):\n    return\n    yield\n");
    expect_result("{}", "");
}

TEST_F(PythonFunction, HttpResponseComesBeforeTheFirstPart) {
    start(R"(
def handler(event, context):
    context.http_response = {"statusCode": 201}
    yield "body"
)");
    expect_result("{}", std::string(R"({"statusCode": 201})") + std::string(8, '\0') + "body");
}

TEST_F(PythonFunction, GeneratorThatFailsHasItsErrorAsAnyHandler) {
    start(R"(
def handler(event, context):
    yield "part"
    raise KeyError("k")
)");
    const Answer answer = engine.invoke({.event = "{}"});
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_ERROR);
    EXPECT_NE(answer.payload.find(R"("errorType": "KeyError")"), std::string::npos)
        << answer.payload;
}

TEST_F(PythonFunction, GeneratorMustYieldTextOrBytes) {
    start("def handler(event, context):\n    yield {}\n");
    const Answer answer = engine.invoke({.event = "{}"});
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_ERROR);
    EXPECT_NE(
        answer.payload.find("a generator handler yields str or bytes, not dict"), std::string::npos
    ) << answer.payload;
}

}  // namespace
}  // namespace hako::shim::test
