"""The life of a connection: its limits, a client that leaves or cuts one side, and a full engine."""
import json
import os
import select
import socket
import unittest

from support import leaks
from support.engine import Engine, zip_of
from support.frames import PING, encode, encode_control, encode_invoke
from support.ledger import read_ledger

SLEEPS = """
import threading, time
def handler(event, context):
    begun = time.monotonic()
    threading.Event().wait(event["s"])
    return [begun, time.monotonic()]
"""


def overlap_max(spans):
    """How many of the [begin, end] spans ran at the same time at most."""
    edges = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    running = most = 0
    for _, step in edges:
        running += step
        most = max(most, running)
    return most


def in_flight(engine):
    return engine.status()["InFlight"]


class InFlight(unittest.TestCase):
    def test_no_more_than_the_limit_of_one_connection_run(self):
        with Engine(frames_in_flight_max=2) as engine:
            engine.create_python("sleeps", SLEEPS, Timeout=30)
            with engine.connect() as connection:
                frames = [encode_invoke(n, "sleeps", b'{"s":0.2}') for n in range(8)]
                connection.send(b"".join(frames))  # they arrive in one piece
                answers = [connection.receive() for _ in range(8)]
            self.assertEqual({answer.status for answer in answers}, {200}, answers)
            self.assertLessEqual(overlap_max([answer.json for answer in answers]), 2)

    def test_requests_beyond_requests_max_are_refused_and_the_rest_served(self):
        with Engine(requests_max=3) as engine:
            engine.create_python("sleeps", SLEEPS, Timeout=30)
            with engine.connect() as connection:
                frames = [encode_invoke(n, "sleeps", b'{"s":1}') for n in range(3)]
                frames += [encode_invoke(3, "sleeps", b'{"s":0}')]
                frames += [encode_control(4, "GetEngineStatus", b"{}", b"")]
                connection.send(b"".join(frames))
                answers = {}
                for _ in range(5):
                    answer = connection.receive()
                    answers[answer.correlation] = answer
                self.assertEqual([answers[n].status for n in range(5)], [200, 200, 200, 429, 429])
                for number in (3, 4):
                    self.assertEqual(answers[number].error_code, "TooManyRequestsException")
                    self.assertEqual(answers[number].message, "Rate Exceeded.")
                self.assertEqual(connection.invoke("sleeps", {"s": 0}).status, 200)


class Leaving(unittest.TestCase):
    """Nothing of an invocation may run on for a client that is no longer there."""

    def begin(self, engine, connection, count=1):
        for _ in range(count):
            connection.send_invoke("pauses", {"do": "pause"})
        leaks.eventually(lambda: in_flight(engine) > 0, "an invocation runs", 10)

    def busy_count(self, engine):
        status = engine.status()
        return status["Instances"] - status["IdleInstances"]

    def await_end(self, engine):
        leaks.eventually(lambda: in_flight(engine) == 0, "the invocations have ended", 10)
        leaks.eventually(lambda: self.busy_count(engine) == 0, "no instance is busy", 10)

    def test_a_client_that_leaves_while_its_requests_wait_for_the_limit(self):
        with Engine(frames_in_flight_max=1) as engine:
            engine.create_probe("pauses", Timeout=300)
            with engine.connect() as connection:
                self.begin(engine, connection, 3)
            self.await_end(engine)

    def test_a_client_that_takes_no_answers_any_more(self):
        with Engine() as engine:
            engine.create_probe("pauses", Timeout=300)
            with engine.connect() as connection:
                self.begin(engine, connection)
                connection.socket.shutdown(socket.SHUT_RD)
                connection.send(encode(PING, 99))  # its answer cannot be sent
                self.await_end(engine)

    def test_a_client_that_leaves_before_its_call_has_begun_is_not_charged(self):
        with Engine() as engine:
            slow_import = "import threading\nthreading.Event().wait(3)\ndef handler(e, c): pass\n"
            engine.create_python("slow", slow_import)
            with engine.connect() as connection:
                connection.send_invoke("slow", {})
                leaks.eventually(lambda: in_flight(engine) == 1, "it waits", 10)
            leaks.eventually(lambda: in_flight(engine) == 0, "it was given up", 10)
            [record] = read_ledger(engine.state)
            self.assertEqual((record.outcome, record.billed_us, record.cold),
                             ("client_gone", 0, False))

    def test_a_client_that_has_only_sent_everything_gets_its_answer(self):
        with Engine() as engine:
            engine.create_python("sleeps", SLEEPS, Timeout=30)
            with engine.connect() as connection:
                connection.send_invoke("sleeps", {"s": 0.5})
                connection.socket.shutdown(socket.SHUT_WR)
                answer = connection.receive()
                self.assertEqual(answer.status, 200, answer)
                self.assertEqual(connection.socket.recv(1), b"")


class Memory(unittest.TestCase):
    def test_large_events_leave_no_memory_behind(self):
        with Engine() as engine:
            engine.create_probe("probe", Timeout=30)
            event = json.dumps({"do": "size", "pad": ["x"] * 1_200_000}).encode()
            self.assertGreater(len(event), 6_000_000)
            connections = [engine.connect() for _ in range(8)]
            for connection in connections:
                connection.invoke("probe", {"do": "echo"})
            before_kib = leaks.rss_kib(engine.process.pid)
            for connection in connections:
                connection.send_invoke("probe", raw=event)
                self.assertEqual(connection.receive().status, 200)
            leaks.eventually(
                lambda: leaks.rss_kib(engine.process.pid) < before_kib + 8 * 1024,
                "the memory of the large events was given back", 10,
            )
            for connection in connections:
                connection.close()


class Numbers(unittest.TestCase):
    """JSON puts no bound on numbers; Lambda passes them on as they are."""

    def test_numbers_beyond_64_bits_are_json(self):
        with Engine() as engine:
            engine.create_python("echo", "def handler(e, c):\n    return e\n")
            with engine.connect() as connection:
                for text in (b'{"n":123456789012345678901234567890}', b"[1e400,-1.5E-900]"):
                    connection.send_invoke("echo", raw=text)
                    self.assertEqual(connection.receive().status, 200, text)
                for text in (b"[01]", b"[1.]", b"[1e400,-]", b"[123456789012345678901234567890 1]"):
                    connection.send_invoke("echo", raw=text)
                    answer = connection.receive()
                    self.assertEqual(answer.status, 400, text)
                    self.assertEqual(answer.error_code, "InvalidRequestContentException")


class InstancesMax(unittest.TestCase):
    def test_a_burst_never_makes_more_instances_than_allowed(self):
        with Engine(instances_max=3, pool_python=1) as engine:
            engine.create_python("sleeps", SLEEPS, Timeout=30)
            with engine.connect() as connection:
                connection.send(
                    b"".join(encode_invoke(n, "sleeps", b'{"s":1}') for n in range(10))
                )
                answers = [connection.receive() for _ in range(10)]
            served = [answer for answer in answers if answer.status == 200]
            self.assertEqual({answer.status for answer in answers}, {200, 429}, answers)
            self.assertEqual(len(served), 3)

    def test_idle_instances_of_others_make_way(self):
        with Engine(instances_max=3) as engine:
            for name in ("a", "b", "c", "d", "e"):
                engine.create_probe(name)
            for _ in range(4):
                for name in ("a", "b", "c", "d", "e"):
                    engine.result(name, {"do": "echo"})
            leaks.eventually(
                lambda: engine.status()["Instances"] == 3, "the evicted ones have ended", 10
            )


class FailedStarts(unittest.TestCase):
    def log_text(self, engine, name):
        folder = os.path.join(engine.state, "log", name)
        if not os.path.isdir(folder):
            return ""
        return "".join(leaks.read_text(os.path.join(folder, f)) for f in os.listdir(folder))

    def test_the_log_and_the_tail_have_the_lines_of_a_start_that_failed(self):
        with Engine() as engine:
            # Says nothing itself: the lines are the engine's own.
            engine.create("mute", {"mute": "#!/bin/sh\nexit 3\n"},
                          runtime="executable", handler="mute")
            answer = engine.invoke("mute", {})
            self.assertTrue(answer.function_error, answer)
            report = f"REPORT RequestId: {answer.request_id}\t"
            leaks.eventually(
                lambda: report in self.log_text(engine, "mute"), "the REPORT line in the log", 5
            )
            self.assertIn(report, answer.log)
            self.assertIn(f"START RequestId: {answer.request_id}", answer.log)

    def test_a_provisioned_function_that_cannot_start_is_not_tried_again_at_once(self):
        with Engine() as engine:
            engine.create_python("broken", "import os\nos.write(1, b'tried\\n')\nos._exit(9)\n")
            engine.control("PutProvisionedConcurrencyConfig", {
                "FunctionName": "broken", "Qualifier": "$LATEST",
                "ProvisionedConcurrentExecutions": 2,
            })
            def tries():
                return self.log_text(engine, "broken").count("tried")
            leaks.eventually(lambda: tries() >= 2, "both were tried", 10)
            select.poll().poll(1500)  # the window in which they might be tried again and again
            self.assertLessEqual(tries(), 4)


class Updates(unittest.TestCase):
    """A version is replaced while it is in use: no call is lost, no instance serves two versions."""

    SOURCE = """
import threading
VERSION = {}
def handler(event, context):
    threading.Event().wait(0.01)
    return VERSION
"""

    def check(self, answer, floors):
        self.assertEqual((answer.status, answer.function_error), (200, False), answer)
        self.assertGreaterEqual(answer.json, floors.pop(answer.correlation))

    def test_updates_in_a_loop_under_load(self):
        with Engine(pool_python=4) as engine:
            engine.create_python("versions", self.SOURCE.format(0), Timeout=60)
            with engine.connect() as load, engine.connect() as updates:
                acknowledged = 0
                floors = {}
                for _ in range(16):
                    floors[load.send_invoke("versions", {})] = 0
                for version in range(1, 9):
                    blob = zip_of({"main.py": self.SOURCE.format(version)})
                    updated = updates.control(
                        "UpdateFunctionCode", {"FunctionName": "versions"}, blob
                    )
                    self.assertEqual(updated.status, 200, updated)
                    acknowledged = version
                    for _ in range(16):
                        answer = load.receive()
                        self.check(answer, floors)
                        floors[load.send_invoke("versions", {})] = acknowledged
                for _ in range(16):
                    answer = load.receive()
                    self.check(answer, floors)
            leaks.eventually(
                lambda: len(os.listdir(os.path.join(engine.state, "code"))) == 2,
                "the replaced packages and their zips were removed", 15,
            )

    def test_a_function_deleted_while_it_runs_ends_its_call(self):
        with Engine() as engine:
            engine.create_python("sleeps", SLEEPS, Timeout=30)
            with engine.connect() as connection:
                connection.send_invoke("sleeps", {"s": 1})
                leaks.eventually(lambda: in_flight(engine) == 1, "it runs", 10)
                engine.delete("sleeps")
                self.assertEqual(connection.receive().status, 200)
                self.assertEqual(connection.invoke("sleeps", {"s": 0}).status, 404)
            leaks.eventually(lambda: engine.status()["Instances"] == 0, "its instance ended", 10)


if __name__ == "__main__":
    unittest.main()
