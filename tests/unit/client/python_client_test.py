"""The Python client against an engine played by a thread."""

import json
import os
import random
import re
import struct
import tempfile
import unittest
import zipfile
from pathlib import Path

import hako
from hako import protocol
from scripted_engine import REQUEST_ID, ScriptedEngine, echo, frame, read_frame, result

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "frame-protocol.md"


class ClientTest(unittest.TestCase):
    def connect(self, script, timeout=20):
        engine = ScriptedEngine(script)
        self.addCleanup(engine.close)
        client = hako.Client(engine.path, timeout=timeout)
        self.addCleanup(client.close)
        return client

    def test_invoke_carries_every_field(self):
        seen = []

        def script(sock):
            seen.append(read_frame(sock))
            sock.sendall(result(seen[0][1], b'{"b":2}', log=b"START\n"))

        client = self.connect(script)
        answer = client.invoke(
            "resize", {"a": 1}, tail=True, qualifier="live", client_context={"custom": {}}
        )
        kind, _, meta, payload = seen[0]
        self.assertEqual(kind, 3)
        self.assertEqual(
            meta, struct.pack("<BBHHH", 0, 1, 6, 4, 13) + b'resizelive{"custom":{}}'
        )
        self.assertEqual(payload, b'{"a":1}')
        self.assertEqual(answer.value, {"b": 2})
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.version, "$LATEST")
        self.assertEqual(answer.request_id, REQUEST_ID.decode())
        self.assertEqual(answer.log_tail, "START\n")
        self.assertEqual(
            (answer.duration_us, answer.billed_us, answer.init_us, answer.cpu_us),
            (1234, 100000, 2500, 900),
        )
        self.assertEqual((answer.memory_mib, answer.memory_peak_bytes), (128, 7 << 20))
        self.assertTrue(answer.is_cold)
        self.assertFalse(answer.function_error)

    def test_payload_none_is_empty_and_bytes_are_untouched(self):
        client = self.connect(echo)
        self.assertEqual(client.invoke("f").payload, b"")
        self.assertIsNone(client.invoke("f").value)
        self.assertEqual(client.invoke("f", b" [1] ").payload, b" [1] ")

    def test_answer_byte_by_byte(self):
        def script(sock):
            for byte in result(read_frame(sock)[1], b"[1,2,3]"):
                sock.sendall(bytes([byte]))

        self.assertEqual(self.connect(script).invoke("f").value, [1, 2, 3])

    def test_six_mebibytes_both_ways(self):
        payload = random.Random(1).randbytes(6291456)
        self.assertEqual(self.connect(echo).invoke("f", payload).payload, payload)

    def test_function_error(self):
        body = b'{"errorType":"ValueError","errorMessage":"bad","stackTrace":["line 1"]}'

        def script(sock):
            for _ in range(2):
                sock.sendall(result(read_frame(sock)[1], body, flags=1, code=b"Unhandled"))

        client = self.connect(script)
        with self.assertRaises(hako.FunctionError) as caught:
            client.invoke("f")
        self.assertEqual(str(caught.exception), "ValueError: bad")
        self.assertEqual(caught.exception.stack_trace, ["line 1"])
        self.assertEqual(caught.exception.result.error_code, "Unhandled")
        self.assertTrue(client.invoke("f", raise_function_error=False).function_error)

    def test_api_errors_have_code_and_message(self):
        answers = [
            (404, b"ResourceNotFoundException", b'{"Type":"User","Message":"Function not found"}'),
            (429, b"TooManyRequestsException", b'{"Type":"User","message":"Rate Exceeded."}'),
            (500, b"ServiceException", b"not json"),
        ]

        def script(sock):
            for status, code, body in answers:
                sock.sendall(result(read_frame(sock)[1], body, status=status, code=code))

        client = self.connect(script)
        kinds = [hako.ApiError, hako.ThrottlingError, hako.ServiceError]
        messages = ["Function not found", "Rate Exceeded.", "not json"]
        for kind, message, (status, code, _) in zip(kinds, messages, answers):
            with self.assertRaises(kind) as caught:
                client.invoke("f")
            self.assertEqual(caught.exception.message, message)
            self.assertEqual(caught.exception.status, status)
            self.assertEqual(caught.exception.code, code.decode())

    def test_invoke_many_keeps_order_and_the_window(self):
        most = [0]

        def script(sock):
            waiting = []
            for _ in range(100):
                waiting.append(read_frame(sock))
                most[0] = max(most[0], len(waiting))
                if len(waiting) == 8 or _ == 99:
                    for _, correlation, _, payload in reversed(waiting):
                        sock.sendall(result(correlation, payload))
                    waiting.clear()

        client = self.connect(script)
        values = [answer.value for answer in client.invoke_many("f", range(100), in_flight=8)]
        self.assertEqual(values, list(range(100)))
        self.assertLessEqual(most[0], 8)

    def test_invoke_many_with_large_payloads_does_not_deadlock(self):
        payloads = [bytes([65 + i]) * 1500000 for i in range(16)]
        client = self.connect(echo)
        answers = [a.payload for a in client.invoke_many("f", payloads, in_flight=16)]
        self.assertEqual(answers, payloads)

    def test_invoke_many_returns_or_raises_errors(self):
        def script(sock):
            while True:
                _, correlation, _, payload = read_frame(sock)
                bad = payload == b"1"
                sock.sendall(result(correlation, payload, flags=int(bad)))

        client = self.connect(script)
        answers = list(client.invoke_many("f", range(3), return_errors=True))
        self.assertIsInstance(answers[1], hako.FunctionError)
        self.assertEqual([answers[0].value, answers[2].value], [0, 2])
        with self.assertRaises(hako.FunctionError):
            list(client.invoke_many("f", range(3)))
        self.assertEqual(client.invoke("f", 7).value, 7)  # the rest's late answers are dropped

    def test_time_runs_out_and_the_late_answer_is_dropped(self):
        def script(sock):
            late = read_frame(sock)[1]
            good = read_frame(sock)[1]
            sock.sendall(result(late, b'"late"') + result(good, b'"good"'))
            read_frame(sock)

        client = self.connect(script, timeout=0.05)
        with self.assertRaisesRegex(hako.ConnectionFailed, "time ran out while waiting"):
            client.invoke("f")
        client.timeout = 20
        self.assertEqual(client.invoke("f").value, "good")

    def test_closing_in_the_middle(self):
        def script(sock):
            sock.sendall(result(read_frame(sock)[1], b"[1,2]")[:-2])

        client = self.connect(script)
        with self.assertRaisesRegex(hako.ConnectionFailed, "in the middle of a frame"):
            client.invoke("f")
        with self.assertRaisesRegex(hako.ConnectionFailed, "broke earlier"):
            client.ping()

    def test_error_frame_and_garbage(self):
        cases = {
            frame(7, 0, payload=b'{"message":"magic: wrong"}', status=400): "magic: wrong",
            b"HTTP/1.1 400 Bad Request\r\n\r\n      ": "magic",
            frame(3, 1): "type: 3",
            frame(10, 1): "type: 10",
            frame(4, 1, b"short"): "too short",
            result(1)[:20] + struct.pack("<I", 52428801) + result(1)[24:]: "payload_bytes",
            result(1)[:16] + struct.pack("<I", 65537) + result(1)[20:]: "meta_bytes",
            frame(6, 1): "another type",
        }
        for data, text in cases.items():

            def script(sock, data=data):
                read_frame(sock)
                sock.sendall(data)

            with self.subTest(text), self.assertRaisesRegex(hako.ProtocolError, text):
                self.connect(script).invoke("f")

    def test_random_answers_only_raise_our_errors(self):
        generator = random.Random(20171214)
        for _ in range(2000):
            data = bytearray(result(1, b"{}", code=b"Unhandled", log=b"log"))
            for _ in range(generator.randrange(1, 4)):
                data[generator.randrange(len(data))] = generator.randrange(256)
            try:
                header = protocol.decode_header(bytes(data[:32]))
                meta = bytes(data[32 : 32 + header.meta_bytes])
                protocol.decode_invoke_result(protocol.Frame(header, meta, b""))
            except hako.ProtocolError:
                pass

    def test_control(self):
        seen = []

        def script(sock):
            replies = [
                b'{"FunctionName":"f"}',
                b'{"Functions":[{"FunctionName":"a"}],"NextMarker":"m"}',
                b'{"Functions":[{"FunctionName":"b"}]}',
                b"",
            ]
            for reply in replies:
                kind, correlation, meta, payload = read_frame(sock)
                name_bytes, zero, json_bytes = struct.unpack("<HHI", meta[:8])
                self.assertEqual((kind, zero, 8 + name_bytes + json_bytes), (5, 0, len(meta)))
                request = json.loads(meta[8 + name_bytes :])
                seen.append((meta[8 : 8 + name_bytes].decode(), request, payload))
                sock.sendall(frame(6, correlation, payload=reply))

        client = self.connect(script)
        created = client.create_function(
            "f", runtime="python3.11", handler="app.handler", code=b"PK", memory_mb=256,
            timeout_s=5, environment={"A": "b"}, EphemeralStorage={"Size": 1024},
        )
        self.assertEqual(created, {"FunctionName": "f"})
        self.assertEqual([f["FunctionName"] for f in client.list_functions()], ["a", "b"])
        client.delete_function("f")
        self.assertEqual(seen[0], (
            "CreateFunction",
            {"FunctionName": "f", "Runtime": "python3.11", "Handler": "app.handler",
             "Role": "arn:aws:iam::123456789012:role/hako", "MemorySize": 256, "Timeout": 5,
             "Environment": {"Variables": {"A": "b"}}, "EphemeralStorage": {"Size": 1024}},
            b"PK",
        ))
        self.assertEqual(seen[2][:2], ("ListFunctions", {"Marker": "m"}))
        self.assertEqual(seen[3][:2], ("DeleteFunction", {"FunctionName": "f"}))

    def test_arguments_name_the_field(self):
        client = self.connect(lambda sock: None)
        for arguments, text in [
            ({"name": ""}, "function name"),
            ({"name": "n" * 257}, "function name"),
            ({"name": "f", "qualifier": "q" * 257}, "qualifier"),
            ({"name": "f", "client_context": "c" * 3584}, "client_context"),
            ({"name": "f", "invocation_type": "Later"}, "invocation_type"),
            ({"name": "f", "payload": b"x" * 52428801}, "payload"),
        ]:
            with self.assertRaisesRegex(ValueError, text):
                client.invoke(**arguments)
        with self.assertRaisesRegex(ValueError, "request"):
            client.control("ListFunctions", {"x": "y" * 65536})

    def test_engine_not_there(self):
        with self.assertRaisesRegex(hako.ConnectionFailed, "/nonexistent/x: No such file"):
            hako.Client("/nonexistent/x")

    def test_document_examples(self):
        text = DOCUMENT.read_text()
        examples = {
            name: bytes.fromhex(body)
            for name, body in re.findall(r"```hex ([a-z-]+)\n(.*?)```", text, re.S)
        }
        self.assertEqual(protocol.encode_ping(1), examples["ping"])
        self.assertEqual(
            protocol.encode_invoke(2, "echo", 7, tail=True) + b'{"a":1}', examples["invoke"]
        )
        self.assertEqual(
            protocol.encode_control(3, "ListFunctions", b"{}", 0), examples["control"]
        )
        data = examples["invoke-result"]
        header = protocol.decode_header(data[:32])
        meta_end = 32 + header.meta_bytes
        answer = protocol.decode_invoke_result(
            protocol.Frame(header, data[32:meta_end], data[meta_end:])
        )
        self.assertEqual((answer.value, answer.log_tail), ({"a": 1}, "ok\n"))
        self.assertEqual(
            protocol.encode_invoke(4, "echo", 2, stream=True) + b"{}", examples["invoke-stream"]
        )
        data = examples["stream-begin"]
        begin = protocol.Frame(protocol.decode_header(data[:32]), data[32:], b"")
        self.assertEqual(protocol.decode_stream_begin(begin), "text/plain")


class StreamTest(unittest.TestCase):
    def begin(self, correlation, content_type=b"text/plain"):
        meta = struct.pack("<36sHH", REQUEST_ID, 7, len(content_type)) + b"$LATEST" + content_type
        return frame(8, correlation, meta)

    def client_of(self, script):
        engine = ScriptedEngine(script)
        self.addCleanup(engine.close)
        client = hako.Client(engine.path, timeout=20)
        self.addCleanup(client.close)
        return client

    def test_parts_come_one_by_one_then_the_result(self):
        def script(sock):
            _, correlation, _, _ = read_frame(sock)
            sock.sendall(self.begin(correlation) + frame(9, correlation, b"", b"one"))
            read_frame(sock)  # a ping: the first part has been taken by then
            sock.sendall(frame(9, correlation, b"", b"two") + frame(2, 2))
            sock.sendall(result(correlation, b"", flags=2, log=b"log"))

        client = self.client_of(script)
        with client.invoke_stream("f", {"a": 1}, tail=True) as stream:
            self.assertEqual(next(stream), b"one")
            self.assertEqual(stream.content_type, "text/plain")
            client.ping()
            self.assertEqual(list(stream), [b"two"])
        self.assertEqual((stream.result.log_tail, stream.result.payload), ("log", b""))

    def test_whole_answer_is_one_part(self):
        def script(sock):
            _, correlation, _, _ = read_frame(sock)
            sock.sendall(result(correlation, b"whole"))

        stream = self.client_of(script).invoke_stream("f")
        self.assertEqual(list(stream), [b"whole"])
        self.assertIsNone(stream.content_type)

    def test_error_in_the_middle_and_one_that_is_left(self):
        def script(sock):
            _, correlation, _, _ = read_frame(sock)
            sock.sendall(self.begin(correlation) + frame(9, correlation, b"", b"one"))
            sock.sendall(result(correlation, b'{"errorType":"E"}', flags=3, code=b"Unhandled"))
            _, correlation, _, _ = read_frame(sock)
            sock.sendall(self.begin(correlation) + frame(9, correlation, b"", b"one"))
            _, other, _, _ = read_frame(sock)
            sock.sendall(frame(9, correlation, b"", b"two") + result(correlation, b"", flags=2))
            sock.sendall(result(other, b"5"))

        client = self.client_of(script)
        got = []
        with self.assertRaises(hako.FunctionError):
            got.extend(client.invoke_stream("f"))
        with client.invoke_stream("f") as stream:
            self.assertEqual(next(stream), b"one")
        self.assertEqual(list(stream), [])
        self.assertEqual(client.invoke("f").value, 5)


class PackageTest(unittest.TestCase):
    def test_same_files_same_zip(self):
        packages = []
        for order in (("b.py", "a.py"), ("a.py", "b.py")):
            with tempfile.TemporaryDirectory() as folder:
                for name in order:
                    Path(folder, name).write_text(name)
                Path(folder, "run").write_text("#!/bin/sh\n")
                os.chmod(Path(folder, "run"), 0o700)
                Path(folder, "sub").mkdir()
                Path(folder, "sub", "link").symlink_to("../a.py")
                packages.append(hako.make_package(folder))
        self.assertEqual(packages[0], packages[1])
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "p.zip").write_bytes(packages[0])
            self.assertEqual(hako.make_package(Path(folder, "p.zip")), packages[0])
            with zipfile.ZipFile(Path(folder, "p.zip")) as archive:
                modes = {i.filename: i.external_attr >> 16 for i in archive.infolist()}
                self.assertEqual(archive.read("sub/link"), b"../a.py")
        self.assertEqual(list(modes), ["a.py", "b.py", "run", "sub/", "sub/link"])
        self.assertEqual(modes["run"], 0o100755)
        self.assertEqual(modes["a.py"], 0o100644)
        self.assertEqual(modes["sub/link"], 0o120777)

    def test_single_file(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "app.py").write_text("x")
            package = hako.make_package(Path(folder, "app.py"))
            Path(folder, "p.zip").write_bytes(package)
            with zipfile.ZipFile(Path(folder, "p.zip")) as archive:
                self.assertEqual(archive.namelist(), ["app.py"])

    def test_special_file_is_refused_by_name(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkfifo(Path(folder, "pipe"))
            with self.assertRaisesRegex(ValueError, "pipe is neither"):
                hako.make_package(folder)


if __name__ == "__main__":
    unittest.main()
