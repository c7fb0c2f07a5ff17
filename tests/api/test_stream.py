"""Answers that come in parts: whole, slow, broken off from either side, and what they cost."""
import base64
import http.client
import json
import os
import socket
import sys

from botocore.eventstream import EventStreamBuffer

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


GENERATOR = """
def handler(event, context):
    if event.get("type"):
        context.response_content_type = event["type"]
    if event.get("http"):
        context.http_response = event["http"]
    if event.get("early"):
        raise KeyError("early")
    for part in range(event.get("parts", 0)):
        yield "%07d\\n" % part
    yield bytes(event.get("n", 0))
    if event.get("raise"):
        raise ValueError("in the middle")
    if event.get("exit"):
        import os
        os._exit(3)
"""


class PythonStreams(StreamCase):
    settings = {"stream_bytes_max": 2 * MIB}

    def test_generators(self):
        self.engine.create_python("g", GENERATOR)
        begin, got, end = self.stream("g", {"parts": 50000, "type": "text/plain"})
        self.assertEqual(begin.content_type, "text/plain")
        self.assertTrue(got == b"".join(b"%07d\n" % part for part in range(50000)))
        self.assertTrue(end.streamed and not end.function_error, end)
        begin, got, _ = self.stream("g", {"http": {"statusCode": 202}, "n": 3})
        self.assertEqual(
            begin.content_type, "application/vnd.awslambda.http-integration-response"
        )
        self.assertEqual(got, b'{"statusCode": 202}' + bytes(8) + bytes(3))
        begin, got, end = self.stream("g")
        self.assertEqual((begin.content_type, got), ("application/octet-stream", b""))
        self.assertEqual(self.engine.invoke("g", {"parts": 2}).payload, b"0000000\n0000001\n")

    def test_errors(self):
        self.engine.create_python("g", GENERATOR)
        begin, _, end = self.stream("g", {"early": 1})
        self.assertIsNone(begin)
        self.assertEqual(end.json["errorType"], "KeyError")
        _, got, end = self.stream("g", {"n": 300000, "raise": 1})
        self.assertEqual(got, bytes(300000))
        self.assertEqual((end.json["errorType"], end.init_us), ("ValueError", 0))
        self.assertIn("[ERROR] ValueError: in the middle", end.log)
        _, got, end = self.stream("g", {"n": 2 * MIB + 1})
        self.assertEqual(end.json["errorType"], "Function.ResponseSizeTooLarge")
        _, got, end = self.stream("g", {"n": 9, "exit": 1})
        self.assertEqual((got, end.json["errorType"]), (bytes(9), "Runtime.ExitError"))
        self.check_record(end, "crash")


class HttpStreams(StreamCase):
    """InvokeWithResponseStream; botocore reads what comes."""

    def request(self, name, event, *, connection=None, **headers):
        connection = connection or self.connect()
        path = f"/2021-11-15/functions/{name}/response-streaming-invocations"
        connection.request("POST", path, json.dumps(event), headers)
        return connection.getresponse()

    def connect(self):
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(60)
        connection.sock.connect(os.path.join(self.engine.scratch, "http.sock"))
        self.connections.append(connection)
        return connection

    def setUp(self):
        self.connections = []

    def tearDown(self):
        for connection in self.connections:
            connection.close()
        super().tearDown()

    def events_of(self, response):
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-type"], "application/vnd.amazon.eventstream")
        self.assertEqual(response.headers["X-Amz-Executed-Version"], "$LATEST")
        buffer = EventStreamBuffer()
        while data := response.read1(65536):
            buffer.add_data(data)
            yield from buffer

    def stream_http(self, *arguments, **headers):
        """The bytes of the PayloadChunks, the members of InvokeComplete, the response."""
        response = self.request(*arguments, **headers)
        *chunks, complete = self.events_of(response)
        self.assertEqual(complete.headers[":event-type"], "InvokeComplete")
        self.assertEqual(complete.headers[":content-type"], "application/json")
        for chunk in chunks:
            self.assertEqual(chunk.headers[":event-type"], "PayloadChunk")
            self.assertEqual(chunk.headers[":message-type"], "event")
        return b"".join(chunk.payload for chunk in chunks), json.loads(complete.payload), response

    def test_events_and_headers(self):
        self.create("f")
        connection = self.connect()
        for event in ({"n": 0}, {"n": 1000001}, {"n": 20, "do": "default"}):
            got, complete, response = self.stream_http("f", event, connection=connection)
            self.assertTrue(got == pattern(event["n"]), len(got))
            self.assertEqual(complete, {})
            self.assertEqual(
                response.headers["X-Amzn-Remapped-Content-Type"],
                "application/octet-stream" if event.get("do") else "text/plain",
            )
        got, complete, _ = self.stream_http("f", {"n": 1}, **{"X-Amz-Log-Type": "Tail"})
        self.assertIn("REPORT RequestId: ", base64.b64decode(complete["LogResult"]).decode())
        got, complete, _ = self.stream_http("f", {"do": "whole"})
        self.assertEqual((got, complete), (b'"whole"', {}))

    def test_errors_before_and_in_the_middle(self):
        self.create("f", Timeout=1)
        for event, count, error_type in (
            ({"n": 100000, "do": "fail"}, 100000, "Stream.Broke"),
            ({"n": 100000, "do": "exit"}, 100000, "Runtime.ExitError"),
            ({"n": 100000, "do": "pause"}, 100000, "Sandbox.Timedout"),
            ({"do": "bad-type"}, 0, "Stream.Errno"),
        ):
            with self.subTest(event=event):
                got, complete, _ = self.stream_http("f", event)
                self.assertEqual(len(got), count)
                self.assertEqual(complete["ErrorCode"], "Unhandled")
                self.assertEqual(json.loads(complete["ErrorDetails"])["errorType"], error_type)

    def test_refusals_are_no_streams(self):
        self.create("f")
        for name, event, headers, status in (
            ("nobody", {}, {}, 404),
            ("f", {}, {"X-Amz-Invocation-Type": "Event"}, 400),
            ("f", {}, {"X-Amz-Invocation-Type": "DryRun"}, 204),
        ):
            response = self.request(name, event, **headers)
            self.assertEqual(response.status, status)
            response.read()

    def test_slow_client_and_one_that_leaves(self):
        self.create("f", Timeout=60)
        response = self.request("f", {"n": 16 * MIB})
        events = self.events_of(response)
        first = next(events)
        got = first.payload + b"".join(
            event.payload for event in events if event.headers[":event-type"] == "PayloadChunk"
        )
        self.assertTrue(got == pattern(16 * MIB))
        connection = self.connect()
        response = self.request("f", {"n": 1, "do": "pause"}, connection=connection)
        self.assertEqual(next(self.events_of(response)).payload, pattern(1))
        response.close()
        connection.close()
        leaks.eventually(
            lambda: self.engine.status()["InFlight"] == 0, "the end of what nobody wants"
        )
        self.assertEqual(read_ledger(self.engine.state)[-1].outcome, "client_gone")


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
