"""The nine ways an invocation can fail: what the caller sees, and that nothing stays behind."""
import unittest

from support import leaks
from support.engine import Engine, built_function

ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

RAISES = """
class Trouble(Exception):
    pass
def deeper(event):
    raise Trouble("no " + event["what"])
def handler(event, context):
    if event.get("what"):
        deeper(event)
    return "fine"
"""


class FailureCase(unittest.TestCase):
    """One engine per class; each test makes a function, breaks it, and calls it once more."""

    settings: dict = {}

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(**cls.settings)
        cls.addClassCleanup(cls.engine.__exit__, None, None, None)
        cls.engine.__enter__()
        cls.before = cls.engine.warmed_holdings()

    def tearDown(self):
        listed = self.engine.control("ListFunctions", {}).json["Functions"]
        for function in listed:
            self.engine.delete(function["FunctionName"])
        self.engine.await_holdings(self.before)

    def check_failed(self, answer, payload):
        """Lambda's shape: HTTP 200, FunctionError Unhandled, exactly this JSON."""
        self.assertEqual(answer.status, 200, answer)
        self.assertTrue(answer.function_error, answer)
        self.assertEqual(answer.error_code, "Unhandled")
        self.assertEqual(answer.json, payload)
        self.assertRegex(answer.request_id, f"^{ID}$")
        self.assertEqual(answer.version, "$LATEST")
        self.assertIn(f"END RequestId: {answer.request_id}\n", answer.log)
        self.assertIn(f"REPORT RequestId: {answer.request_id}\t", answer.log)

    def check_exit(self, answer, sentence, error_type="Runtime.ExitError"):
        message = f"RequestId: {answer.request_id} Error: {sentence}"
        self.check_failed(answer, {"errorType": error_type, "errorMessage": message})
        self.assertIn(f"{message}\n{error_type}\n", answer.log)
        self.assertIn(f"Status: error\tError Type: {error_type}", answer.log)

    def check_works(self, name, event=None, *, count=1):
        """The function is back, in a new instance unless `count` says otherwise."""
        result = self.engine.result(name, event or {})
        self.assertEqual(result["count"], count)


class Timeouts(FailureCase):
    def test_a_call_over_its_time_is_stopped(self):
        self.engine.create_probe("slow", Timeout=1)
        for behaviour in ("pause", "spin"):
            with self.subTest(behaviour):
                answer = self.engine.invoke("slow", {"do": behaviour})
                text = "Task timed out after 1.00 seconds"
                self.check_failed(answer, {
                    "errorType": "Sandbox.Timedout",
                    "errorMessage": f"RequestId: {answer.request_id} Error: {text}",
                })
                self.assertRegex(
                    answer.log, rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z "
                    rf"{answer.request_id} {text}\n\n"
                )
                self.assertIn("Status: timeout", answer.log)
                self.assertGreaterEqual(answer.duration_us, 1_000_000)
                self.assertLess(answer.duration_us, 1_000_000 + 500_000 * leaks.TIME_SCALE)
                self.check_works("slow")

    def test_python_stuck_in_a_loop_is_stopped(self):
        self.engine.create_python("loop", "def handler(e, c):\n    while e: pass\n", Timeout=1)
        answer = self.engine.invoke("loop", {"forever": True})
        self.assertEqual(answer.json["errorType"], "Sandbox.Timedout")
        self.assertIsNone(self.engine.result("loop", {}))

    def test_children_of_a_timed_out_function_end_with_it(self):
        self.engine.create_probe("parent", Timeout=1)
        # A child is forked, then the parent runs out of time.
        answer = self.engine.invoke("parent", {"a": "child", "do": "pause"})
        self.assertEqual(answer.json["errorType"], "Sandbox.Timedout")
        self.check_works("parent")


class Exits(FailureCase):
    def test_crash_by_signal(self):
        self.engine.create_probe("probe")
        for behaviour, words in (("segv", "segmentation fault"), ("abort", "aborted")):
            with self.subTest(behaviour):
                answer = self.engine.invoke("probe", {"do": behaviour})
                self.check_exit(answer, f"Runtime exited with error: signal: {words}")
                self.check_works("probe")

    def test_exit_status(self):
        self.engine.create_probe("probe")
        answer = self.engine.invoke("probe", {"do": "exit", "n":7})
        self.check_exit(answer, "Runtime exited with error: exit status 7")
        answer = self.engine.invoke("probe", {"do": "exit", "n":0})
        self.check_exit(answer, "Runtime exited without providing a reason")
        self.check_works("probe")

    def test_an_executable_that_exits(self):
        files = {"probe": built_function("probe")}
        self.engine.create("exe", files, runtime="executable", handler="probe")
        answer = self.engine.invoke("exe", {"do": "exit", "n":3})
        self.check_exit(answer, "Runtime exited with error: exit status 3")
        self.check_works("exe")

    def test_python_that_exits(self):
        self.engine.create_python(
            "exits", "import os\ndef handler(e, c):\n    os._exit(e['n']) if e else None\n"
        )
        answer = self.engine.invoke("exits", {"n": 5})
        self.check_exit(answer, "Runtime exited with error: exit status 5")
        self.assertIsNone(self.engine.result("exits", {}))


class OutOfMemory(FailureCase):
    def test_native_over_its_limit_is_killed(self):
        self.engine.create_probe("greedy", MemorySize=128, Timeout=20)
        answer = self.engine.invoke("greedy", {"do": "memory", "n":512})
        sentence = "Runtime exited with error: signal: killed"
        self.check_exit(answer, sentence, "Runtime.OutOfMemory")
        self.assertIn("Max Memory Used: 128 MB", answer.log)
        self.check_works("greedy")

    def test_python_over_its_limit_is_killed(self):
        source = "def handler(e, c):\n    return len(bytearray(e['mib'] << 20))\n"
        self.engine.create_python("greedy", source, MemorySize=128, Timeout=20)
        answer = self.engine.invoke("greedy", {"mib": 512})
        self.assertEqual(answer.json["errorType"], "Runtime.OutOfMemory")
        self.assertEqual(self.engine.result("greedy", {"mib": 1}), 1 << 20)

    def test_memory_within_the_limit_is_reported(self):
        self.engine.create_probe("eats", MemorySize=256)
        answer = self.engine.invoke("eats", {"do": "memory", "n":64})
        self.assertFalse(answer.function_error, answer)
        self.assertGreaterEqual(answer.memory_peak_bytes, 64 << 20)
        self.assertLess(answer.memory_peak_bytes, 160 << 20)


class Exceptions(FailureCase):
    def test_python_exception_has_type_message_and_stack(self):
        self.engine.create_python("raises", RAISES)
        answer = self.engine.invoke("raises", {"what": "bread"})
        error = answer.json
        self.assertTrue(answer.function_error)
        self.assertEqual(answer.error_code, "Unhandled")
        self.assertEqual(error["errorType"], "Trouble")
        self.assertEqual(error["errorMessage"], "no bread")
        self.assertEqual(error["requestId"], answer.request_id)
        self.assertEqual(len(error["stackTrace"]), 2)
        self.assertRegex(error["stackTrace"][0], r'File "/var/task/main\.py", line 8, in handler')
        self.assertRegex(error["stackTrace"][1], r'File "/var/task/main\.py", line 5, in deeper')
        # The instance survives an exception.
        again = self.engine.invoke("raises", {})
        self.assertEqual((again.json, again.init_us), ("fine", 0))

    def test_native_failure_has_type_and_message(self):
        self.engine.create_probe("probe")
        answer = self.engine.invoke("probe", {"do": "fail"})
        self.assertTrue(answer.function_error)
        self.assertEqual(answer.json["errorType"], "Probe.Told")
        self.assertEqual(answer.json["errorMessage"], "as you wish")
        self.check_works("probe", count=2)

    def test_broken_imports_and_handlers(self):
        cases = {
            "def handler(e, c)": ("Runtime.UserCodeSyntaxError", "main.handler"),
            "import nosuchthing": ("Runtime.ImportModuleError", "main.handler"),
            "x = 1": ("Runtime.HandlerNotFound", "main.handler"),
        }
        for number, (source, (error_type, handler)) in enumerate(cases.items()):
            with self.subTest(error_type):
                name = f"broken{number}"
                self.engine.create_python(name, source + "\n", Handler=handler)
                answer = self.engine.invoke(name, {})
                self.assertTrue(answer.function_error, answer)
                self.assertEqual(answer.json["errorType"], error_type)
        self.engine.create_python("nomodule", "x = 1\n", Handler="absent.handler")
        answer = self.engine.invoke("nomodule", {})
        self.assertEqual(answer.json["errorType"], "Runtime.ImportModuleError")
        text = "Unable to import module 'absent': No module named 'absent'"
        self.assertEqual(answer.json["errorMessage"], text)

    def test_an_answer_that_is_no_json_value(self):
        self.engine.create_python("odd", "def handler(e, c):\n    return object() if e else 1\n")
        answer = self.engine.invoke("odd", {"a": 1})
        self.assertEqual(answer.json["errorType"], "Runtime.MarshalError")
        self.assertEqual(self.engine.result("odd", {}), 1)

    def test_missing_native_code(self):
        self.engine.create("gone", {"readme": "nothing here"}, runtime="native", handler="libx.so")
        answer = self.engine.invoke("gone", {})
        self.assertTrue(answer.function_error, answer)
        self.assertIn("libx.so", answer.json["errorMessage"])


class InitTimeout(FailureCase):
    settings = {"init_timeout_s": 1}

    def test_an_init_over_its_time_is_stopped_and_accounted_apart(self):
        source = "import threading\nthreading.Event().wait(60)\ndef handler(e, c): pass\n"
        self.engine.create_python("stuck", source, Timeout=30)
        answer = self.engine.invoke("stuck", {})
        text = "Task timed out after 1.00 seconds"
        self.check_failed(answer, {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {answer.request_id} Error: {text}",
        })
        self.assertGreaterEqual(answer.init_us, 1_000_000)
        self.assertLess(answer.init_us, 3_000_000)
        self.assertEqual((answer.duration_us, answer.billed_us), (0, 100_000))
        self.assertIn("Init Duration: ", answer.log)


class LargeAnswers(FailureCase):
    MAX = 6_291_556

    def test_an_answer_over_6_mib_is_refused(self):
        self.engine.create_probe("large")
        payload = {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size "
                            "(6291556 bytes).",
        }
        answer = self.engine.invoke("large", {"do": "large", "n":self.MAX + 1})
        self.check_failed(answer, payload)
        self.check_works("large", count=2)

    def test_the_largest_answer_arrives_whole(self):
        self.engine.create_probe("large")
        answer = self.engine.invoke("large", {"do": "large", "n":self.MAX})
        self.assertFalse(answer.function_error)
        self.assertEqual(answer.payload, b'"' + b"x" * (self.MAX - 2) + b'"')

    def test_python_over_6_mib(self):
        self.engine.create_python("large", "def handler(e, c):\n    return 'x' * e['n']\n")
        answer = self.engine.invoke("large", {"n": self.MAX})
        self.assertEqual(answer.json["errorType"], "Function.ResponseSizeTooLarge")
        self.assertEqual(len(self.engine.result("large", {"n": self.MAX - 2})), self.MAX - 2)


class Garbage(FailureCase):
    def test_a_worker_that_lies_on_its_channel(self):
        files = {"garbage": built_function("garbage")}
        self.engine.create("liar", files, runtime="executable", handler="garbage", Timeout=2)
        for lie in ("kind", "bytes", "ready", "seq", "header", "storm"):
            with self.subTest(lie):
                answer = self.engine.invoke("liar", {"do": lie})
                self.assertEqual(answer.status, 200)
                self.assertTrue(answer.function_error, answer)
                self.assertIn(
                    answer.json["errorType"],
                    ("Runtime.InvalidResponse", "Sandbox.Timedout", "Runtime.ExitError"),
                )
                if lie in ("kind", "bytes"):
                    self.assertEqual(answer.json["errorType"], "Runtime.InvalidResponse")
                self.assertEqual(self.engine.result("liar", {"do": "good"}), "good")


class ClientGone(FailureCase):
    def test_what_a_lost_client_asked_for_is_stopped(self):
        self.engine.create_probe("slow", Timeout=30)
        self.engine.result("slow", {})
        warm = self.engine.settled_holdings()
        connection = self.engine.connect()
        connection.send_invoke("slow", {"do": "spin"})
        leaks.eventually(lambda: self.engine.status()["InFlight"] >= 1, "it runs")
        connection.close()
        leaks.eventually(
            lambda: self.engine.status()["InFlight"] == 0, "the call is over"
        )
        # Nothing of the function goes on running; the next call is served.
        self.check_works("slow")
        self.assertEqual(self.engine.settled_holdings(), warm)

    def test_a_client_that_leaves_in_the_middle_of_a_frame(self):
        connection = self.engine.connect()
        connection.send(b"HKO1"[:2])
        connection.close()
        self.assertEqual(self.engine.status()["InFlight"], 0)


if __name__ == "__main__":
    unittest.main()
