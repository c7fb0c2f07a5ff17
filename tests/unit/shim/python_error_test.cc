#include <csignal>
#include <string>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "tests/unit/shim/python_double.h"

// Python functions that fail: the literal texts of AWS's runtime, in the answer and in the log.
namespace hako::shim::test {
namespace {

/// The answer for an error of invocation kRequestId.
std::string error_payload(
    const std::string& message, const std::string& type, const std::string& trace
) {
    return R"({"errorMessage": ")" + message + R"(", "errorType": ")" + type +
           R"(", "requestId": ")" + kRequestId + R"(", "stackTrace": [)" + trace + "]}";
}

/// The answer for an error of init, which belongs to no request.
std::string init_payload(
    const std::string& message, const std::string& type, const std::string& trace
) {
    return R"({"errorMessage": ")" + message + R"(", "errorType": ")" + type +
           R"(", "requestId": "", "stackTrace": [)" + trace + "]}";
}

TEST_F(PythonFunction, ExceptionHasTheTraceOfUserCodeOnly) {
    start(R"(
def inner():
    raise ValueError("boom")

def handler(event, context):
    inner()
)");
    const Answer answer = engine.invoke({.event = "{}"});
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_ERROR);
    EXPECT_EQ(
        answer.payload,
        error_payload(
            "boom",
            "ValueError",
            R"("  File \")" + path("app.py") + R"(\", line 6, in handler\n    inner()\n", )" +
                R"("  File \")" + path("app.py") +
                R"(\", line 3, in inner\n    raise ValueError(\"boom\")\n")"
        )
    );
    const std::string space = "\xc2\xa0";
    EXPECT_EQ(
        answer.log,
        "[ERROR] ValueError: boom\nTraceback (most recent call last):\n" + space + space +
            "File \"" + path("app.py") + "\", line 6, in handler\n" + space + space + space +
            space + "inner()\n" + space + space + "File \"" + path("app.py") +
            "\", line 3, in inner\n" + space + space + space + space +
            "raise ValueError(\"boom\")\n"
    );
    EXPECT_EQ(engine.invoke({.event = "{}"}).kind, HAKO_RESPONSE_ERROR);
}

TEST_F(PythonFunction, CustomExceptionWithoutMessage) {
    start(R"(
class MyError(Exception):
    pass
def handler(event, context):
    raise MyError
)");
    const Answer answer = engine.invoke({.event = "{}"});
    EXPECT_EQ(
        answer.payload,
        error_payload(
            "",
            "MyError",
            R"("  File \")" + path("app.py") + R"(\", line 5, in handler\n    raise MyError\n")"
        )
    );
    EXPECT_EQ(answer.log.substr(0, answer.log.find('\n')), "[ERROR] MyError");
}

TEST_F(PythonFunction, HandlerWithTheWrongParameters) {
    start("def handler():\n    pass\n");
    expect_error(
        "{}",
        error_payload("handler() takes 0 positional arguments but 2 were given", "TypeError", "")
    );
}

TEST_F(PythonFunction, AnswerThatIsNoJson) {
    start(R"(
def handler(event, context):
    if event == "circle":
        circle = []
        circle.append(circle)
        return circle
    return {"s": set()} if event == "set" else object
)");
    const std::string type = "Runtime.MarshalError";
    const std::string start_text = "Unable to marshal response: ";
    expect_error(
        R"("set")",
        error_payload(start_text + "Object of type set is not JSON serializable", type, "")
    );
    expect_error(
        "1", error_payload(start_text + "Object of type type is not JSON serializable", type, "")
    );
    expect_error(
        R"("circle")", error_payload(start_text + "Circular reference detected", type, "")
    );
}

TEST_F(PythonFunction, EventThatIsNoJson) {
    start("def handler(event, context):\n    return 1\n");
    expect_error(
        "not json",
        error_payload(
            "Unable to unmarshal input: Expecting value: line 1 column 1 (char 0)",
            "Runtime.UnmarshalError",
            ""
        )
    );
    expect_result("{}", "1");
}

TEST_F(PythonFunction, ClientContextThatIsNoJson) {
    start("def handler(event, context):\n    return 1\n");
    const Answer answer = engine.invoke({.event = "{}", .client_context = "nonsense"});
    EXPECT_EQ(
        answer.payload,
        error_payload(
            "Unable to parse Client Context JSON: Expecting value: line 1 column 1 (char 0)",
            "Runtime.LambdaContextUnmarshalError",
            ""
        )
    );
}

TEST_F(PythonFunction, MissingModule) {
    expect_init_error(
        "nowhere.handler",
        init_payload(
            "Unable to import module 'nowhere': No module named 'nowhere'",
            "Runtime.ImportModuleError",
            ""
        )
    );
    EXPECT_EQ(engine.take_log(), "");
}

TEST_F(PythonFunction, ModuleThatNeedsAnother) {
    write_file("app.py", "import no_such_dependency\n");
    const Answer answer = init("app.handler");
    EXPECT_EQ(
        answer.payload,
        init_payload(
            "Unable to import module 'app': No module named 'no_such_dependency'",
            "Runtime.ImportModuleError",
            ""
        )
    );
    EXPECT_EQ(
        answer.log,
        "[ERROR] Runtime.ImportModuleError: Unable to import module 'app': No module named "
        "'no_such_dependency'\nTraceback (most recent call last):\n"
    );
}

TEST_F(PythonFunction, MissingHandler) {
    write_file("app.py", "x = 1\n");
    expect_init_error(
        "app.handler",
        init_payload("Handler 'handler' missing on module 'app'", "Runtime.HandlerNotFound", "")
    );
}

TEST_F(PythonFunction, HandlerWithoutADot) {
    expect_init_error(
        "handler",
        init_payload(
            "Bad handler 'handler': not enough values to unpack (expected 2, got 1)",
            "Runtime.MalformedHandlerName",
            ""
        )
    );
}

TEST_F(PythonFunction, BuiltInModule) {
    expect_init_error(
        "sys.exit",
        init_payload(
            "Cannot use built-in module sys as a handler module",
            "Runtime.BuiltInModuleConflict",
            ""
        )
    );
}

TEST_F(PythonFunction, SyntaxErrorInUserCode) {
    write_file("app.py", "x = 1\ndef handler(event, context) return 1\n");
    expect_init_error(
        "app.handler",
        init_payload(
            "Syntax error in module 'app': expected ':' (app.py, line 2)",
            "Runtime.UserCodeSyntaxError",
            R"("  File \")" + path("app.py") +
                R"(\" Line 2\n    def handler(event, context) return 1\n")"
        )
    );
}

TEST_F(PythonFunction, ExceptionWhileImporting) {
    write_file("app.py", "\n1 / 0\n");
    const Answer answer = init("app.handler");
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_INIT_ERROR);
    const std::string start_text =
        R"({"errorMessage": "division by zero", "errorType": "ZeroDivisionError", )"
        R"("requestId": "", "stackTrace": ["  File \"/usr/lib/python3.)";
    EXPECT_EQ(answer.payload.substr(0, start_text.size()), start_text);
    const std::string end =
        R"("  File \")" + path("app.py") + R"(\", line 2, in <module>\n    1 / 0\n"]})";
    ASSERT_GT(answer.payload.size(), end.size());
    EXPECT_EQ(answer.payload.substr(answer.payload.size() - end.size()), end);
}

TEST_F(PythonFunction, ExitInTheHandlerEndsTheProcess) {
    start(R"(
import atexit, sys
atexit.register(print, "goodbye")
def handler(event, context):
    print("leaving")
    sys.exit(event)
)");
    engine.post(HAKO_REQUEST_INVOKE, {.event = "7"});
    const int status = engine.await_exit();
    ASSERT_TRUE(WIFEXITED(status)) << status;
    EXPECT_EQ(WEXITSTATUS(status), 7);
    EXPECT_EQ(engine.take_log(), "leaving\ngoodbye\n");
}

TEST_F(PythonFunction, ExitWithZeroAndWithText) {
    write_file("app.py", "import sys\ndef handler(event, context):\n    sys.exit(event)\n");
    for (const auto& [event, expected] : {std::pair{"null", 0}, std::pair{"\"why\"", 1}}) {
        EngineDouble fresh;
        ASSERT_EQ(init_in(fresh, "app.handler").kind, HAKO_RESPONSE_READY);
        fresh.post(HAKO_REQUEST_INVOKE, {.event = event});
        const int status = fresh.await_exit();
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == expected) << status;
        EXPECT_EQ(fresh.take_log(), expected == 0 ? "" : "why\n");
    }
}

TEST_F(PythonFunction, ExitWhileImporting) {
    write_file("app.py", "import sys\nsys.exit(5)\n");
    EXPECT_EQ(init("app.handler").kind, 0U);
    const int status = engine.await_exit();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 5) << status;
}

TEST_F(PythonFunction, KilledByASignalOfItsOwn) {
    start("import os\ndef handler(event, context):\n    print('now')\n    os.kill(os.getpid(), 9)\n"
    );
    engine.post(HAKO_REQUEST_INVOKE, {.event = "{}"});
    const int status = engine.await_exit();
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    EXPECT_EQ(engine.take_log(), "now\n");
}

TEST_F(PythonFunction, KeyboardInterruptIsNoAnswer) {
    start("def handler(event, context):\n    raise KeyboardInterrupt\n");
    engine.post(HAKO_REQUEST_INVOKE, {.event = "{}"});
    const int status = engine.await_exit();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
    EXPECT_NE(engine.take_log().find("KeyboardInterrupt"), std::string::npos);
}

TEST_F(PythonFunction, RecursionIsAnErrorLikeAnyOther) {
    start("def handler(event, context):\n    return handler(event, context)\n");
    const Answer answer = engine.invoke({.event = "{}"});
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_ERROR);
    const std::string start_text =
        R"({"errorMessage": "maximum recursion depth exceeded", "errorType": "RecursionError")";
    EXPECT_EQ(answer.payload.substr(0, start_text.size()), start_text);
}

TEST_F(PythonFunction, HalfASurrogatePairIsAnErrorNotACrash) {
    start(
        R"(
def handler(event, context):
    if event:
        raise ValueError("bad \ud800")
    return "\ud800"
)",
        {{"AWS_EXECUTION_ENV", "AWS_Lambda_python3.12"}}
    );
    Answer answer = engine.invoke({.event = "0"});
    EXPECT_EQ(answer.kind, HAKO_RESPONSE_ERROR);
    EXPECT_NE(answer.payload.find("Runtime.MarshalError"), std::string::npos) << answer.payload;
    answer = engine.invoke({.event = "1"});
    EXPECT_NE(answer.payload.find(R"("bad \ud800")"), std::string::npos) << answer.payload;
    answer = engine.invoke({.event = "\"\xff\""});
    EXPECT_NE(answer.payload.find("Runtime.UnmarshalError"), std::string::npos) << answer.payload;
}

TEST_F(PythonFunction, SurvivesClosedAndReplacedStreams) {
    start(R"(
import io, sys
class Sink:
    write = len
def handler(event, context):
    if event == "sink":
        sys.stdout = Sink()
    elif event == "close":
        sys.stdout.close()
    elif event == "replace":
        sys.stdout = io.StringIO()
    elif event == "remove":
        sys.stdout = None
    elif event == "fail":
        raise ValueError("heard")
    return 1
)");
    for (const char* const event : {R"("close")", R"("replace")", R"("remove")", R"("sink")"}) {
        expect_result(event, "1");
        const Answer answer = engine.invoke({.event = R"("fail")"});
        EXPECT_EQ(answer.kind, HAKO_RESPONSE_ERROR);
        const std::string_view what = event;
        const bool replaced = what == R"("replace")" || what == R"("sink")";
        EXPECT_EQ(answer.log.find("heard") == std::string::npos, replaced) << answer.log;
    }
}

}  // namespace
}  // namespace hako::shim::test
