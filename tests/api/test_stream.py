"""Answers that come in parts: whole, slow, broken off from either side, and what they cost."""
import os
import socket
import sys

from support import leaks
from support.engine import SOURCE_ROOT, built_function
from support.frames import INVOKE_RESULT, STREAM_BEGIN, STREAM_PART
from support.ledger import read_ledger
from test_failures import FailureCase

PATTERN = bytes(range(251))
MIB = 1 << 20


def pattern(count: int, start: int = 0) -> bytes:
    """Bytes `start` to `start + count` of what functions/stream.c streams."""
    skip = start % len(PATTERN)
    return (PATTERN * ((count + skip) // len(PATTERN) + 1))[skip : skip + count]


class StreamCase(FailureCase):
    def create(self, name: str, runtime: str = "native", **configuration):
        file = "libstream.so" if runtime == "native" else "stream"
        self.engine.create(
            name, {file: built_function(file)}, runtime=runtime, handler=file, **configuration
        )

    def stream(self, name: str, event=None, **options):
        with self.engine.connect() as connection:
            return connection.stream(name, event or {}, **options)

    def check_record(self, answer, outcome: str):
        found = [r for r in read_ledger(self.engine.state) if r.request_id == answer.request_id]
        self.assertEqual([record.outcome for record in found], [outcome])
        self.assertEqual(answer.log.count("REPORT RequestId: "), 1, answer.log)
        return found[0]


class Streams(StreamCase):
    def test_parts_arrive_in_order_whoever_writes_how(self):
        for runtime in ("native", "executable"):
            self.create("f", runtime)
            for event in (
                {"n": 0}, {"n": 1}, {"n": 3, "part": 1}, {"n": 262144}, {"n": 262145},
                {"n": 1000003, "part": 997}, {"n": 3000000, "do": "room"},
            ):
                with self.subTest(runtime=runtime, event=event):
                    begin, got, end = self.stream("f", event)
                    self.assertEqual(begin.content_type, "text/plain")
                    self.assertEqual(begin.version, "$LATEST")
                    self.assertEqual(begin.request_id, end.request_id)
                    self.assertEqual(len(got), event["n"])
                    self.assertTrue(got == pattern(event["n"]), "other bytes than were streamed")
                    self.assertTrue(end.streamed and not end.function_error, end)
                    self.assertEqual((end.status, end.payload), (200, b""))
                    self.assertIn("before the stream\nbehind the stream\n", end.log)
                    record = self.check_record(end, "ok")
                    self.assertEqual(record.response_bytes, event["n"])
            self.engine.delete("f")

    def test_first_part_is_there_while_the_function_runs(self):
        self.create("f", Timeout=30)
        with self.engine.connect() as connection:
            connection.send_invoke("f", {"n": 5, "do": "pause"}, stream=True)
            self.assertEqual(connection.receive().kind, STREAM_BEGIN)
            part = connection.receive()
            self.assertEqual((part.kind, part.payload), (STREAM_PART, pattern(5)))

    def test_caller_that_wants_it_whole_gets_the_parts_joined(self):
        self.create("f")
        for event in ({"n": 0}, {"n": 700001, "part": 1009}, {"n": 6291556, "do": "room"}):
            answer = self.engine.invoke("f", event)
            self.assertFalse(answer.streamed or answer.function_error, answer.error_code)
            self.assertTrue(answer.payload == pattern(event["n"]), event)
        for event in ({"n": 6291557}, {"n": 6291557, "do": "room"}):
            answer = self.engine.invoke("f", event)
            self.assertEqual(answer.json["errorType"], "Function.ResponseSizeTooLarge")
        answer = self.engine.invoke("f", {"n": 10, "do": "fail"})
        self.assertEqual(answer.json["errorType"], "Stream.Broke")
        self.assertEqual(self.engine.invoke("f", {"n": 2}).payload, pattern(2))

    def test_function_that_does_not_stream_answers_at_once(self):
        self.create("f")
        begin, got, end = self.stream("f", {"do": "whole"})
        self.assertEqual((begin, got, end.payload), (None, b"", b'"whole"'))
        self.assertFalse(end.streamed)

    def test_content_types(self):
        self.create("f")
        begin, got, _ = self.stream("f", {"do": "http", "n": 4})
        self.assertEqual(
            begin.content_type, "application/vnd.awslambda.http-integration-response"
        )
        prelude, payload = got.split(b"\0" * 8)
        self.assertEqual(prelude, b'{"statusCode":201,"headers":{"content-type":"text/plain"}}')
        self.assertEqual(payload, pattern(4))
        self.assertEqual(
            self.stream("f", {"do": "default"})[0].content_type, "application/octet-stream"
        )
        begin, _, end = self.stream("f", {"do": "bad-type"})
        self.assertIsNone(begin)
        self.assertEqual(end.json["errorMessage"], "Invalid argument")

    def test_one_instance_serves_stream_after_stream_and_whole_answers_between(self):
        self.create("f")
        ends = []
        for size in (300000, 1, 500000):
            ends.append(self.stream("f", {"n": size})[2])
            self.assertEqual(self.engine.invoke("f", {"do": "whole"}).json, "whole")
        self.assertEqual([end.init_us > 0 for end in ends], [True, False, False])

    def test_sixteen_at_once_on_one_connection(self):
        self.create("f")
        with self.engine.connect() as connection:
            sizes = {
                connection.send_invoke("f", {"n": size, "part": 5000}, stream=True): size
                for size in range(400000, 400016)
            }
            got = {correlation: bytearray() for correlation in sizes}
            left = set(sizes)
            while left:
                answer = connection.receive()
                if answer.kind == STREAM_PART:
                    got[answer.correlation] += answer.payload
                elif answer.kind == INVOKE_RESULT:
                    self.assertTrue(answer.streamed and not answer.function_error, answer)
                    left.remove(answer.correlation)
        for correlation, size in sizes.items():
            self.assertTrue(got[correlation] == pattern(size), f"stream of {size} bytes")

    def test_slow_reader_holds_the_function_up_and_not_the_engine(self):
        self.create("f", Timeout=60)
        self.stream("f", {"n": MIB})
        rss_before = self.rss_bytes()
        with self.engine.connect() as connection:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.send_invoke("f", {"n": 64 * MIB}, stream=True)
            self.assertEqual(connection.receive().kind, STREAM_BEGIN)
            # Whoever else asks is answered, and nothing piles up meanwhile.
            for _ in range(3):
                self.assertEqual(self.engine.invoke("f", {"do": "whole"}).json, "whole")
            rss_peak = self.rss_bytes()
            got_bytes = 0
            while True:
                answer = connection.receive()
                if answer.kind != STREAM_PART:
                    break
                self.assertTrue(
                    answer.payload == pattern(len(answer.payload), got_bytes), got_bytes
                )
                got_bytes += len(answer.payload)
                if got_bytes % (8 * MIB) < len(answer.payload):
                    rss_peak = max(rss_peak, self.rss_bytes())
        self.assertEqual(got_bytes, 64 * MIB)
        self.assertFalse(answer.function_error, answer)
        self.assertLess(rss_peak - rss_before, 4 * MIB)

    def test_shipped_clients(self):
        self.create("f")
        done = self.engine.cli("invoke", "f", '{"n": 300000}', "--stream", "--tail")
        self.assertEqual((done.returncode, done.stdout), (0, pattern(300000)))
        self.assertIn(b"REPORT RequestId: ", done.stderr)
        done = self.engine.cli("invoke", "f", '{"n": 7, "do": "fail"}', "--stream")
        self.assertEqual((done.returncode, done.stdout), (1, pattern(7)))
        self.assertIn(b"function error: Stream.Broke: in the middle", done.stderr)
        done = self.engine.cli("invoke", "f", '{"do": "whole"}', "--stream")
        self.assertEqual((done.returncode, done.stdout), (0, b'"whole"'))
        done = self.engine.cli("invoke", "nobody", "--stream")
        self.assertEqual((done.returncode, done.stdout), (4, b""))
        sys.path.insert(0, os.path.join(SOURCE_ROOT, "tools", "python"))
        import hako
        with hako.Client(self.engine.socket_path) as client:
            stream = client.invoke_stream("f", {"n": 300000, "part": 1000})
            self.assertEqual(b"".join(stream), pattern(300000))
            self.assertEqual(stream.content_type, "text/plain")
            self.assertEqual(client.invoke("f", {"do": "whole"}).value, "whole")

    def rss_bytes(self) -> int:
        status = leaks.read_text(f"/proc/{self.engine.process.pid}/status")
        return 1024 * int(status.split("VmRSS:")[1].split()[0])


class BrokenStreams(StreamCase):
    settings = {"stream_bytes_max": 2 * MIB}

    def check_works(self, name):
        self.assertEqual(self.stream(name, {"n": 9})[1], pattern(9))

    def check_broken(self, streamed, wanted_bytes, error_type, outcome):
        begin, got, end = streamed
        self.assertIsNotNone(begin)
        self.assertTrue(end.streamed and end.function_error, end)
        self.assertEqual(end.json["errorType"], error_type)
        self.assertTrue(got == pattern(wanted_bytes), f"{len(got)} of {wanted_bytes} bytes")
        record = self.check_record(end, outcome)
        self.assertEqual(record.response_bytes, wanted_bytes + len(end.payload))
        return end

    def test_error_in_the_middle(self):
        self.create("f")
        event = {"n": 300001}
        end = self.check_broken(
            self.stream("f", event | {"do": "fail"}), 300001, "Stream.Broke", "function_error"
        )
        self.assertEqual(
            end.json,
            {"errorMessage": "in the middle", "errorType": "Stream.Broke", "stackTrace": []},
        )
        for do in ("status", "respond"):
            end = self.check_broken(
                self.stream("f", event | {"do": do}), 300001, "Runtime.HandlerError",
                "function_error",
            )
            self.assertEqual(end.init_us, 0, "the instance goes on after an error")

    def test_exit_in_the_middle(self):
        self.create("f")
        streamed = self.stream("f", {"n": 300002, "do": "exit"})
        self.check_broken(streamed, 300002, "Runtime.ExitError", "crash")
        self.check_works("f")

    def test_timeout_in_the_middle(self):
        self.create("f", Timeout=1)
        streamed = self.stream("f", {"n": 300003, "do": "pause"})
        end = self.check_broken(streamed, 300003, "Sandbox.Timedout", "timeout")
        self.assertIn("Task timed out after 1.00 seconds", end.log)
        self.assertGreaterEqual(end.duration_us, 1000000)
        self.check_works("f")

    def test_timeout_while_the_caller_does_not_read(self):
        self.create("f", Timeout=2)
        self.check_works("f")
        self.engine.settled_holdings()
        processes = leaks.descendants_of(self.engine.process.pid)
        with self.engine.connect() as connection:
            connection.send_invoke("f", {"n": 2 * MIB}, stream=True)
            self.assertEqual(connection.receive().kind, STREAM_BEGIN)
            # The sandbox ends in time, though nobody takes what it has put.
            leaks.eventually(
                lambda: processes - leaks.descendants_of(self.engine.process.pid),
                "the end of the function's processes"
            )
            self.assertEqual(self.engine.status()["InFlight"], 1)
            while (answer := connection.receive()).kind != INVOKE_RESULT:
                pass
        self.assertEqual(answer.json["errorType"], "Sandbox.Timedout")
        self.check_record(answer, "timeout")

    def test_too_large(self):
        self.create("f")
        self.assertEqual(len(self.stream("f", {"n": 2 * MIB})[1]), 2 * MIB)
        for do in ("write", "room"):
            _, got, end = self.stream("f", {"n": 2 * MIB + 1, "part": 1000, "do": do})
            self.assertTrue(end.streamed and end.function_error, end)
            self.assertEqual(
                end.json,
                {
                    "errorType": "Function.ResponseSizeTooLarge",
                    "errorMessage": "Response payload size exceeded maximum allowed payload size "
                                    "(2097152 bytes).",
                },
            )
            self.assertTrue(got == pattern(len(got)) and len(got) > 2 * MIB - 1000, len(got))
            self.check_record(end, "response_too_large")

    def test_client_that_leaves_ends_the_invocation(self):
        self.create("f", Timeout=60)
        for event in ({"n": 1, "do": "pause"}, {"n": 2 * MIB}):
            with self.engine.connect() as connection:
                connection.send_invoke("f", event, stream=True)
                self.assertEqual(connection.receive().kind, STREAM_BEGIN)
            leaks.eventually(
                lambda: self.engine.status()["InFlight"] == 0, "the end of what nobody wants"
            )
        outcomes = [record.outcome for record in read_ledger(self.engine.state)]
        self.assertEqual(outcomes[-2:], ["client_gone", "client_gone"])
        self.check_works("f")

    def test_worker_that_lies_is_ended(self):
        self.create("f", Timeout=20)
        for do in ("lie-put", "lie-rings", "lie-end"):
            with self.subTest(do=do):
                _, got, end = self.stream("f", {"n": 10, "do": do})
                self.assertEqual(end.json["errorType"], "Runtime.InvalidResponse", end)
                self.assertEqual(got, pattern(len(got)))
                self.check_record(end, "protocol_error")
                self.check_works("f")
        for do in ("lie-type", "lie-header"):
            with self.subTest(do=do):
                begin, _, end = self.stream("f", {"do": do})
                self.assertIsNone(begin)
                self.assertEqual(end.json["errorType"], "Runtime.InvalidResponse")

    def test_caller_that_wants_it_whole_is_not_streamed_at(self):
        self.create("f", Timeout=1)
        answer = self.engine.invoke("f", {"n": 10, "do": "lie-put"})
        self.assertEqual(answer.json["errorType"], "Sandbox.Timedout")


class SlowedStreams(StreamCase):
    settings = {"stream_burst_bytes": 100000, "stream_bytes_per_s": 200000}

    def test_rate_behind_the_burst(self):
        self.create("f", Timeout=10)
        end = self.stream("f", {"n": 100000})[2]
        self.assertLess(end.duration_us, 300000)
        _, got, end = self.stream("f", {"n": 200000})
        self.assertTrue(got == pattern(200000))
        self.assertGreaterEqual(end.duration_us, 150000)
