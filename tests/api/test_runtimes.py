"""The three runtimes from inside: context, environment, output, and what a function can see."""
import json
import re
import unittest

from support.engine import Engine, built_function

CONTEXT = """
import os, sys
def handler(event, context):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    left = context.get_remaining_time_in_millis()
    client = context.client_context
    return {
        "id": context.aws_request_id, "left": left, "name": context.function_name,
        "version": context.function_version, "memory": context.memory_limit_in_mb,
        "arn": context.invoked_function_arn, "group": context.log_group_name,
        "stream": context.log_stream_name, "env": dict(os.environ), "cwd": os.getcwd(),
        "custom": client.custom if client else None, "uid": os.getuid(),
    }
"""

LOOK = """
import os, socket
def readable(path):
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        return error.strerror
def writable(path):
    try:
        with open(path, "w") as file:
            file.write("x")
        return "written"
    except OSError as error:
        return error.strerror
def connect(address):
    try:
        with socket.create_connection(address, timeout=1):
            return "connected"
    except OSError as error:
        return error.strerror or str(error)
def handler(event, context):
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    status = dict(l.split(":", 1) for l in open("/proc/self/status") if ":" in l)
    return {
        "pids": len(pids), "fds": len(os.listdir("/proc/self/fd")),
        "caps": status["CapEff"].strip(), "seccomp": status["Seccomp"].strip(),
        "no_new_privs": status["NoNewPrivs"].strip(), "code": writable("/var/task/x"),
        "usr": writable("/usr/x"), "tmp": writable("/tmp/x"), "tmp_before": event.get("seen"),
        "root": readable("/root"), "connect": connect(("192.0.2.1", 80)),
    }
"""


class Runtimes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine()
        cls.addClassCleanup(cls.engine.__exit__, None, None, None)
        cls.engine.__enter__()

    def test_python_context_and_environment(self):
        self.engine.create_python(
            "context", CONTEXT, Timeout=7, MemorySize=192,
            Environment={"Variables": {"COLOUR": "red", "EMPTY": ""}},
        )
        client = json.dumps({"custom": {"k": "v"}}).encode()
        answer = self.engine.invoke("context", {}, client_context=client)
        seen = answer.json
        self.assertFalse(answer.function_error, seen)
        self.assertEqual(seen["id"], answer.request_id)
        self.assertTrue(6000 < seen["left"] <= 7000, seen["left"])
        self.assertEqual((seen["name"], seen["version"]), ("context", "$LATEST"))
        self.assertEqual(int(seen["memory"]), 192)
        self.assertEqual(seen["arn"], "arn:aws:lambda:us-east-1:123456789012:function:context")
        self.assertEqual(seen["group"], "/aws/lambda/context")
        self.assertRegex(seen["stream"], r"^\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}$")
        self.assertEqual(seen["custom"], {"k": "v"})
        self.assertEqual(seen["cwd"], "/var/task")
        self.assertNotEqual(seen["uid"], 0)
        environment = seen["env"]
        for key, value in {
            "COLOUR": "red", "EMPTY": "", "_HANDLER": "main.handler", "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_LAMBDA_FUNCTION_NAME": "context",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "192",
            "LAMBDA_TASK_ROOT": "/var/task", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/context",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "TZ": ":UTC",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        }.items():
            self.assertEqual(environment.get(key), value, key)
        self.assertNotIn("NOTIFY_SOCKET", environment)
        self.assertNotIn("HAKO_BUILD_ROOT", environment)

    def test_account_and_region_are_settings(self):
        with Engine(account="210987654321", region="eu-west-1") as engine:
            engine.create_python("there", CONTEXT)
            seen = engine.result("there", {})
            arn = "arn:aws:lambda:eu-west-1:210987654321:function:there"
            self.assertEqual(seen["arn"], arn)
            self.assertEqual(seen["env"]["AWS_REGION"], "eu-west-1")
            self.assertEqual(engine.result(arn, {})["name"], "there")

    def test_log_of_an_invocation(self):
        self.engine.create_python("logs", CONTEXT)
        answer = self.engine.invoke("logs", {})
        lines = answer.log.splitlines()
        self.assertEqual(lines[0], f"START RequestId: {answer.request_id} Version: $LATEST")
        self.assertEqual(sorted(lines[1:3]), ["to stderr", "to stdout"])
        self.assertEqual(lines[3], f"END RequestId: {answer.request_id}")
        self.assertTrue(lines[4].startswith(f"REPORT RequestId: {answer.request_id}\t"))
        self.assertEqual(self.engine.invoke("logs", {}, tail=False).log, "")

    def test_a_long_log_keeps_its_end(self):
        source = (
            "def handler(e, c):\n"
            "    print('first')\n    print('x' * 100000)\n    print('last')\n"
        )
        self.engine.create_python("chatty", source)
        answer = self.engine.invoke("chatty", {})
        self.assertLessEqual(len(answer.log.encode()), 4096)
        self.assertNotIn("first", answer.log)
        self.assertIn("last\n", answer.log)
        self.assertIn("REPORT RequestId", answer.log)

    def test_native_context(self):
        for name, runtime, handler, file in (
            ("shared", "native", "libprobe.so", "libprobe.so"),
            ("program", "executable", "probe", "probe"),
        ):
            with self.subTest(runtime):
                files = {file: built_function(file)}
                self.engine.create(
                    name, files, runtime=runtime, handler=handler, MemorySize=256, Timeout=5
                )
                answer = self.engine.invoke(name, {"do": "log"})
                seen = answer.json
                self.assertEqual(seen["request_id"], answer.request_id)
                self.assertTrue(4000 < seen["remaining_ms"] <= 5000)
                self.assertEqual((seen["name"], seen["version"]), (name, "$LATEST"))
                self.assertEqual(seen["memory_mib"], 256)
                self.assertTrue(seen["arn"].endswith(f":function:{name}"))
                self.assertIn("probe says hello\n", answer.log)
                self.assertLessEqual(seen["fds"], 10)
                self.assertEqual(self.engine.result(name, {})["count"], 2)

    def test_bytes_reach_the_function_unchanged(self):
        self.engine.create_probe("echo")
        long_text = b'"' + b"y" * 9000 + b'"'
        for raw in (b' { "a" : 1.50, "b":"\xc3\xa9\\u00e9" } ', b"[]", b"null", long_text):
            answer = self.engine.invoke("echo", raw=b'["echo",' + raw + b"]")
            self.assertEqual(answer.payload, b'["echo",' + raw + b"]")

    def test_python_values(self):
        self.engine.create_python("values", "def handler(e, c):\n    return e\n")
        for value in (None, True, 0, -1.5, "é😀", [], {"a": {"b": [1, "2"]}}, "\u0000\n"):
            self.assertEqual(self.engine.result("values", value), value)

    def test_a_sandbox_sees_only_itself(self):
        self.engine.create_python("look", LOOK)
        seen = self.engine.result("look", {})
        self.assertLessEqual(seen["pids"], 4)
        self.assertLessEqual(seen["fds"], 8)
        self.assertEqual(int(seen["caps"], 16), 0)
        self.assertEqual((seen["seccomp"], seen["no_new_privs"]), ("2", "1"))
        self.assertEqual(seen["tmp"], "written")
        for place in ("code", "usr"):
            self.assertRegex(seen[place], "Read-only file system|Permission denied")
        self.assertIn(seen["root"], ([], "Permission denied", "No such file or directory"))
        self.assertEqual(seen["connect"], "Network is unreachable")

    def test_tmp_belongs_to_one_instance(self):
        source = (
            "import os\ndef handler(e, c):\n    found = os.listdir('/tmp')\n"
            "    open('/tmp/mark', 'w').close()\n    return found\n"
        )
        self.engine.create_python("one", source)
        self.engine.create_python("two", source)
        self.assertEqual(self.engine.result("one", {}), [])
        self.assertEqual(self.engine.result("one", {}), ["mark"])
        self.assertEqual(self.engine.result("two", {}), [])

    def test_error_log_goes_to_the_functions_own_file(self):
        self.engine.create_python("fails", "def handler(e, c):\n    raise KeyError('k')\n")
        answer = self.engine.invoke("fails", {})
        self.assertTrue(re.search(r"\[ERROR\] KeyError: 'k'|KeyError", answer.log), answer.log)


if __name__ == "__main__":
    unittest.main()
