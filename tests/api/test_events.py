"""Asynchronous invocations: taken at once, run in the background, tried again, bounded."""
import glob
import os
import unittest

from support import leaks
from support.engine import Engine

EVENT = 1
PRINTS = "def handler(event, context):\n    print('ran', context.aws_request_id, event)\n"
FAILS = "def handler(event, context):\n    raise ValueError('no')\n"
WAITS = "import threading\ndef handler(e, c):\n    threading.Event().wait(e['s'])\n"


class Events(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(
            event_retry_1_s=0, event_retry_2_s=0, events_bytes_max=65536, events_running_max=2
        )
        cls.addClassCleanup(cls.engine.__exit__, None, None, None)
        cls.engine.__enter__()

    def offer(self, name, event, **options):
        return self.engine.invoke(name, event, invocation_type=EVENT, **options)

    def log_of(self, name):
        pattern = os.path.join(self.engine.state, "log", "**", "*")
        return "".join(
            leaks.read_text(path) for path in sorted(glob.glob(pattern, recursive=True))
            if os.path.isfile(path) and name in path
        )

    def await_starts(self, name, request_id, count):
        line = f"START RequestId: {request_id} "
        leaks.eventually(lambda: self.log_of(name).count(line) == count, f"{count} attempts", 15)

    def test_an_event_is_taken_and_run_with_the_id_that_was_told(self):
        self.engine.create_python("event-prints", PRINTS)
        answer = self.offer("event-prints", {"n": 1})
        self.assertEqual((answer.status, answer.payload, answer.version), (202, b"", ""))
        self.assertRegex(answer.request_id, r"^[0-9a-f]{8}-[0-9a-f]{4}-4")
        wanted = f"ran {answer.request_id} {{'n': 1}}"
        leaks.eventually(lambda: wanted in self.log_of("event-prints"), wanted, 15)
        self.engine.delete("event-prints")

    def test_a_function_error_is_tried_twice_more(self):
        self.engine.create_python("event-fails", FAILS)
        answer = self.offer("event-fails", {})
        self.assertEqual(answer.status, 202)
        self.await_starts("event-fails", answer.request_id, 3)
        leaks.eventually(
            lambda: f"request={answer.request_id}: the function failed every time"
            in self.engine.log(), "it is given up", 15)
        self.assertEqual(self.log_of("event-fails").count(f"START RequestId: {answer.request_id} "),
                         3)
        self.engine.delete("event-fails")

    def test_a_throttled_event_waits_for_its_turn(self):
        self.engine.create_python("event-held", PRINTS)
        limit = {"FunctionName": "event-held", "ReservedConcurrentExecutions": 0}
        self.engine.control("PutFunctionConcurrency", limit)
        self.assertEqual(self.engine.invoke("event-held", {}).status, 429)
        answer = self.offer("event-held", {})
        self.assertEqual(answer.status, 202)
        self.engine.control("DeleteFunctionConcurrency", {"FunctionName": "event-held"})
        self.await_starts("event-held", answer.request_id, 1)
        self.engine.delete("event-held")

    def test_what_waits_is_bounded(self):
        self.engine.create_python("event-waits", WAITS, Timeout=20)
        answers = [self.offer("event-waits", {"s": 2, "x": "x" * 10000}) for _ in range(10)]
        self.assertEqual(answers[0].status, 202)
        full = answers[-1]
        self.assertEqual((full.status, full.error_code), (429, "TooManyRequestsException"))
        taken = sum(answer.status == 202 for answer in answers)
        self.assertIn(taken, (5, 6))  # of 64 KiB, some went to names and bookkeeping
        # They end, and there is room again.
        leaks.eventually(
            lambda: self.offer("event-waits", {"s": 0, "x": "x" * 50000}).status == 202,
            "room again", 30)
        self.engine.delete("event-waits")

    def test_bad_events_are_refused_at_once(self):
        self.engine.create_python("event-bad", PRINTS)
        large = self.offer("event-bad", None, raw=b'"' + b"x" * 262143 + b'"')
        self.assertEqual((large.status, large.error_code), (413, "RequestEntityTooLargeException"))
        self.assertEqual(
            large.message,
            "262145 byte payload is too large for the Event invocation type (limit 262144 bytes)")
        self.assertEqual(self.offer("event-bad", None, raw=b"{").status, 400)
        self.assertEqual(self.offer("event-none", {}).status, 404)
        self.assertEqual(self.offer("event-bad", {}, qualifier="7").status, 404)
        self.engine.delete("event-bad")

    def test_a_deleted_function_ends_its_events(self):
        self.engine.create_python("event-gone", PRINTS)
        limit = {"FunctionName": "event-gone", "ReservedConcurrentExecutions": 0}
        self.engine.control("PutFunctionConcurrency", limit)
        answer = self.offer("event-gone", {})
        self.engine.delete("event-gone")
        leaks.eventually(lambda: f"request={answer.request_id}: it was refused"
                         in self.engine.log(), "it is dropped", 15)


if __name__ == "__main__":
    unittest.main()
