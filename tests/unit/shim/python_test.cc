#include <csignal>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "tests/unit/shim/python_double.h"

// Python functions that work: events, answers, context, log.
namespace hako::shim::test {
namespace {

/// The shape of a text with times in it: every digit becomes 0.
std::string zero_digits(std::string text) {
    for (char& c : text) {
        c = c >= '0' && c <= '9' ? '0' : c;
    }
    return text;
}

TEST_F(PythonFunction, EchoesAndLeavesWithZeroOnShutdown) {
    start("def handler(event, context):\n    return event\n");
    expect_result(R"({"a": [1, 2.5, null, true, "x"]})", R"({"a": [1, 2.5, null, true, "x"]})");
    expect_result("{}", "{}");
    EXPECT_EQ(engine.shutdown(), 0);
    EXPECT_EQ(engine.take_log(), "");
}

TEST_F(PythonFunction, FindsHandlersInPackages) {
    write_file("pkg/deep/mod.py", "def func(event, context):\n    return __name__\n");
    for (const char* const handler : {"pkg/deep/mod.func", "pkg.deep.mod.func"}) {
        EngineDouble fresh;
        ASSERT_EQ(init_in(fresh, handler).kind, HAKO_RESPONSE_READY) << handler;
        EXPECT_EQ(fresh.invoke({.event = "{}"}).payload, R"("pkg.deep.mod")");
    }
}

TEST_F(PythonFunction, ContextHasAllOfIt) {
    start(R"(
def handler(event, context):
    client = context.client_context
    return [
        context.aws_request_id, context.function_name, context.function_version,
        context.memory_limit_in_mb, context.invoked_function_arn, context.log_group_name,
        context.log_stream_name, client.custom, client.env, client.client.app_title,
        client.client.installation_id, context.identity.cognito_identity_id,
        context.identity.cognito_identity_pool_id,
    ]
)");
    const Answer answer = engine.invoke(
        {.event = "{}",
         .client_context = R"({"client":{"app_title":"shop"},"custom":{"k":1},"env":{"make":"x"}})",
         .cognito_identity = R"({"cognitoIdentityId":"id1","cognitoIdentityPoolId":"pool1"})"}
    );
    EXPECT_EQ(
        answer.payload,
        R"(["8f5d0bb1-6b2f-4c0e-9d2c-0123456789ab", "probe", "7", "256", )"
        R"("arn:aws:lambda:us-east-1:123456789012:function:probe:live", "/aws/lambda/probe", )"
        R"("2017/12/14/[7]0123456789abcdef0123456789abcdef", {"k": 1}, {"make": "x"}, "shop", )"
        R"(null, "id1", "pool1"])"
    );
}

TEST_F(PythonFunction, ContextWithoutClientAndIdentity) {
    start(R"(
def handler(event, context):
    return [context.client_context, context.identity.cognito_identity_id]
)");
    expect_result("{}", "[null, null]");
}

TEST_F(PythonFunction, CountsDownToTheDeadline) {
    start("def handler(event, context):\n    return context.get_remaining_time_in_millis()\n");
    const Answer later = engine.invoke({.event = "{}", .timeout_ms = 60'000});
    EXPECT_LE(std::stoi(later.payload), 60'000);
    EXPECT_GT(std::stoi(later.payload), 30'000);
    EXPECT_EQ(engine.invoke({.event = "{}", .timeout_ms = -5}).payload, "0");
}

TEST_F(PythonFunction, EnvironmentIsTheFunctions) {
    start(
        R"(
import os, subprocess, sys
def handler(event, context):
    inherited = subprocess.run(["/usr/bin/env"], capture_output=True, text=True).stdout
    return [os.environ["GREETING"], os.environb[b"GREETING"], os.environ["_X_AMZN_TRACE_ID"],
            "GREETING=hello" in inherited.splitlines(), "HOME" in os.environ, os.getcwd(),
            sys.path[0], sys.path[1], sys.executable]
)",
        {{"PYTHONPATH", "/var/runtime"}}
    );
    expect_result(
        "{}",
        R"(["hello", "hello", "Root=1-5a2e8f00-0123456789abcdef01234567;Sampled=0", true, )"
        R"(false, ")" +
            root + R"(", ")" + root + R"(", "/var/runtime", "/usr/bin/python3"])"
    );
}

TEST_F(PythonFunction, EncodesLikeAws) {
    start(R"(
import collections, decimal, math
Point = collections.namedtuple("Point", "x y")
def handler(event, context):
    return {
        "decimal": [decimal.Decimal("3.14159"), decimal.Decimal("-nan")], "nan": math.nan,
        "bytes": b"raw", "tuple": (1, 2), "named": [Point(1, (Point(2, 3),))], 5: "five",
        "text": "\u00a31.00 \U0001f600",
    }
)");
    expect_result(
        "{}",
        R"({"decimal": [3.14159, NaN], "nan": NaN, "bytes": "raw", "tuple": [1, 2], )"
        R"("named": [{"x": 1, "y": [{"x": 2, "y": 3}]}], "5": "five", )"
        R"("text": "\u00a31.00 \ud83d\ude00"})"
    );
}

TEST_F(PythonFunction, TextStaysReadableFromPython312On) {
    start(
        "def handler(event, context):\n    return {'price': '\\u00a31.00'}\n",
        {{"AWS_EXECUTION_ENV", "AWS_Lambda_python3.12"}}
    );
    expect_result(
        "{}",
        "{\"price\": \"\xc2\xa3"
        "1.00\"}"
    );
}

TEST_F(PythonFunction, BytesGoOutAsTheyAre) {
    start("def handler(event, context):\n    return b'\\x00\\xffraw'\n");
    expect_result("{}", std::string("\0\xffraw", 5));
}

TEST_F(PythonFunction, ReadsTextAsUtf8) {
    start("def handler(event, context):\n    return [len(event), event == '\\u00e9\\U0001f600']\n");
    expect_result("\"\xc3\xa9\xf0\x9f\x98\x80\"", "[2, true]");
}

TEST_F(PythonFunction, CarriesSixMebibytesBothWays) {
    start(
        "def handler(event, context):\n    return event if isinstance(event, str) else 'x' * "
        "event\n"
    );
    const std::string event = "\"" + std::string(HAKO_EVENT_BYTES_MAX - 2, 'e') + "\"";
    EXPECT_TRUE(engine.invoke({.event = event}).payload == event);
    const Answer largest = engine.invoke({.event = std::to_string(HAKO_RESPONSE_BYTES_MAX - 2)});
    EXPECT_EQ(largest.payload.size(), HAKO_RESPONSE_BYTES_MAX);
    const Answer larger = engine.invoke({.event = std::to_string(HAKO_RESPONSE_BYTES_MAX - 1)});
    EXPECT_EQ(larger.kind, HAKO_RESPONSE_TOO_LARGE);
    EXPECT_EQ(larger.bytes_wanted, HAKO_RESPONSE_BYTES_MAX + 1);
    expect_result("3", R"("xxx")");
}

TEST_F(PythonFunction, PrintIsInTheLogBeforeTheAnswer) {
    start(R"(
import ctypes, sys
libc = ctypes.CDLL(None)
def handler(event, context):
    print("printed", event)
    sys.stderr.write("error text\n")
    libc.printf(b"from C ")
    print("no line end", end="")
)");
    for (int i = 0; i < 100; ++i) {
        const Answer answer = engine.invoke({.event = std::to_string(i)});
        ASSERT_EQ(answer.payload, "null");
        ASSERT_EQ(answer.log, "printed " + std::to_string(i) + "\nerror text\nno line endfrom C ");
    }
}

TEST_F(PythonFunction, LoggingLooksLikeAws) {
    start(R"(
import logging
logger = logging.getLogger()
logger.setLevel(logging.INFO)
def handler(event, context):
    logger.info("two\nlines")
    logging.getLogger("module").warning("%d of %d", 1, 2)
    logger.debug("not shown")
)");
    const std::string log = engine.invoke({.event = "{}"}).log;
    const std::string rest = std::string("\t") + kRequestId + "\t";
    const std::string stamp = "2017-12-14T10:00:00.123Z";
    EXPECT_EQ(
        zero_digits(log),
        zero_digits(
            "[INFO]\t" + stamp + rest + "two\nlines\n[WARNING]\t" + stamp + rest + "1 of 2\n"
        )
    );
}

TEST_F(PythonFunction, LogLevelComesFromTheEnvironment) {
    start(
        "import logging\ndef handler(event, context):\n    logging.info('shown')\n",
        {{"AWS_LAMBDA_LOG_LEVEL", "INFO"}}
    );
    EXPECT_NE(engine.invoke({.event = "{}"}).log.find("\tshown\n"), std::string::npos);
}

TEST_F(PythonFunction, ClonesDoNotShareRandomness) {
    const std::string code = R"(
import hashlib, os, random, secrets, uuid
def handler(event, context):
    return [random.random(), str(uuid.uuid4()), secrets.token_hex(8), os.urandom(8).hex(),
            random.SystemRandom().random(), hashlib.sha256(b"x").hexdigest()[:4]]
)";
    write_file("app.py", code);
    std::set<std::string> answers;
    for (int i = 0; i < 4; ++i) {
        EngineDouble fresh;
        ASSERT_EQ(init_in(fresh, "app.handler").kind, HAKO_RESPONSE_READY);
        const std::string payload = fresh.invoke({.event = "{}"}).payload;
        EXPECT_NE(payload.find("\"2d71\""), std::string::npos) << payload;
        answers.insert(payload.substr(0, payload.find(',')));
        answers.insert(payload.substr(payload.find(',')));
    }
    EXPECT_EQ(answers.size(), 8U);
}

TEST_F(PythonFunction, OwnModuleBeatsAPreloadedOne) {
    write_file("uuid.py", "def uuid4():\n    return 'mine'\n");
    start("import uuid\ndef handler(event, context):\n    return uuid.uuid4()\n");
    expect_result("{}", R"("mine")");
}

TEST_F(PythonFunction, ThreadsRunWhileItWaits) {
    start(R"(
import threading, time
beats = []
def beat():
    while True:
        beats.append(1)
        time.sleep(0.001)
threading.Thread(target=beat, daemon=True).start()
def handler(event, context):
    return len(beats)
)");
    int beats = std::stoi(engine.invoke({.event = "{}"}).payload);
    const int wanted = beats + 3;
    for (int tries = 0; tries < 100'000 && beats < wanted; ++tries) {
        beats = std::stoi(engine.invoke({.event = "{}"}).payload);
    }
    EXPECT_GE(beats, wanted);
}

TEST_F(PythonFunction, SignalHandlersRunWhileItWaits) {
    start(R"(
import os, signal
def handler(event, context):
    signal.signal(signal.SIGUSR1, lambda number, frame: print("caught", number))
)");
    (void)engine.invoke({.event = "{}"});
    kill(engine.pid(), SIGUSR1);
    EXPECT_EQ(engine.invoke({.event = "{}"}).log, "caught " + std::to_string(SIGUSR1) + "\n");
}

TEST_F(PythonFunction, FindsDebiansPackages) {
    start("import sys\ndef handler(event, context):\n    return sys.path[1:]\n");
    const std::string paths = engine.invoke({.event = "{}"}).payload;
    for (const char* const part :
         {"/usr/lib/python3.", "lib-dynload", "/usr/lib/python3/dist-packages"}) {
        EXPECT_NE(paths.find(part), std::string::npos) << paths;
    }
}

TEST_F(PythonFunction, SnippetOfTheDocumentation) {
    std::ifstream source(HAKO_SNIPPETS_SOURCE "/greet.py");
    std::stringstream code;
    code << source.rdbuf();
    start(code.str());
    expect_result(R"({"name": "Ada"})", R"({"greeting": "Hello, Ada!", "visits": 1})");
    const Answer failed = engine.invoke({.event = "{}"});
    EXPECT_NE(failed.payload.find(R"("errorType": "KeyError")"), std::string::npos);
    EXPECT_NE(failed.log.find("\tprobe has "), std::string::npos) << failed.log;
}

TEST_F(PythonFunction, GlobalStateLivesAcrossInvocations) {
    start("n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return n\n");
    for (int i = 1; i <= 20'000; ++i) {
        ASSERT_EQ(engine.invoke({.event = "{}"}).payload, std::to_string(i));
    }
}

}  // namespace
}  // namespace hako::shim::test
