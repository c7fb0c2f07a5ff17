"""The Python client against a real engine: what docs and docstrings promise."""
import os
import sys
import tempfile
import unittest

from support.engine import SOURCE_ROOT, Engine

sys.path.insert(0, os.path.join(SOURCE_ROOT, "tools", "python"))
import hako  # noqa: E402

HANDLER = """
import os
def handler(event, context):
    if event == "fail":
        raise ValueError("told to")
    print("seen", event)
    return {"event": event, "colour": os.environ.get("COLOUR")}
"""


class PythonClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine()
        cls.addClassCleanup(cls.engine.__exit__, None, None, None)
        cls.engine.__enter__()

    def setUp(self):
        self.client = hako.Client(self.engine.socket_path, timeout=60)
        self.addCleanup(self.client.close)

    def make(self, name, source=HANDLER, **options):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "app.py"), "w", encoding="utf-8") as file:
                file.write(source)
            made = self.client.create_function(
                name, runtime="python3.11", handler="app.handler", code=folder, **options
            )
        self.addCleanup(self.client.delete_function, name)
        return made

    def test_life_of_a_function(self):
        made = self.make("greet", memory_mb=192, environment={"COLOUR": "red"})
        self.assertEqual(made["MemorySize"], 192)
        result = self.client.invoke("greet", {"n": 1}, tail=True)
        self.assertEqual(result.value, {"event": {"n": 1}, "colour": "red"})
        self.assertIn("seen {'n': 1}\n", result.log_tail)
        self.assertTrue(result.is_cold)
        self.assertEqual(result.memory_mib, 192)
        self.client.update_function_configuration("greet", timeout_s=5)
        self.assertEqual(self.client.get_function("greet")["Configuration"]["Timeout"], 5)
        self.assertIn("greet", [item["FunctionName"] for item in self.client.list_functions()])

    def test_errors(self):
        self.make("fails")
        with self.assertRaises(hako.FunctionError) as caught:
            self.client.invoke("fails", "fail")
        self.assertEqual(caught.exception.error_type, "ValueError")
        self.assertEqual(caught.exception.message, "told to")
        self.assertTrue(caught.exception.stack_trace)
        with self.assertRaises(hako.ApiError) as caught:
            self.client.invoke("nobody")
        self.assertEqual((caught.exception.status, caught.exception.code),
                         (404, "ResourceNotFoundException"))
        self.assertEqual(self.client.invoke("fails", 1).value["event"], 1)

    def test_throttling(self):
        self.make("none")
        self.client.put_concurrency("none", 0)
        with self.assertRaises(hako.ThrottlingError):
            self.client.invoke("none")

    def test_many_in_flight_come_in_the_order_of_their_payloads(self):
        self.make("many")
        results = list(self.client.invoke_many("many", range(100), in_flight=4))
        self.assertEqual([result.value["event"] for result in results], list(range(100)))

    def test_ping_and_status(self):
        self.assertLess(self.client.ping(), 5)
        self.assertIsInstance(self.client.engine_status(), dict)

    def test_an_engine_that_is_not_there(self):
        with self.assertRaises(hako.ConnectionFailed):
            hako.Client("/tmp/no-such-engine.sock")


if __name__ == "__main__":
    unittest.main()
