"""Each bad input gets one clear error that names field and limit, and the engine serves on."""
import io
import os
import struct
import subprocess
import tempfile
import unittest
import zipfile

from support import frames
from support.engine import ROLE, Engine, zip_of

ECHO = "def handler(event, context):\n    return event\n"
MAX_PAYLOAD = 6_291_456


class SharedEngine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine()
        cls.addClassCleanup(cls.engine.__exit__, None, None, None)
        cls.engine.__enter__()
        cls.engine.create_python("echo", ECHO)

    def tearDown(self):
        self.assertEqual(self.engine.result("echo", {"still": "up"}), {"still": "up"})

    def check_error(self, answer, status, code, *words):
        self.assertEqual((answer.status, answer.error_code), (status, code), answer.payload)
        for word in words:
            self.assertIn(word, answer.message)


class Invocations(SharedEngine):
    ARN = "arn:aws:lambda:us-east-1:123456789012:function:"

    def test_unknown_function(self):
        answer = self.engine.invoke("nobody", {})
        self.check_error(answer, 404, "ResourceNotFoundException")
        self.assertTrue(answer.message.startswith(f"Function not found: {self.ARN}nobody"), answer)

    def test_unknown_qualifier(self):
        answer = self.engine.invoke("echo", {}, qualifier="7")
        self.check_error(answer, 404, "ResourceNotFoundException", f"{self.ARN}echo:7")

    def test_every_form_of_name(self):
        names = ("echo", "echo:$LATEST", "123456789012:function:echo", self.ARN + "echo",
                 self.ARN + "echo:$LATEST")
        for name in names:
            with self.subTest(name):
                self.assertEqual(self.engine.result(name, 1), 1)

    def test_bad_names(self):
        cases = {
            "a b": (400, "ValidationException"),
            "x" * 65: (400, "InvalidParameterValueException"),
            self.ARN.replace("us-east", "eu-west") + "echo": (404, "ResourceNotFoundException"),
            self.ARN.replace("123456789012", "210987654321") + "echo": (
                403, "AccessDeniedException"
            ),
        }
        for name, (status, code) in cases.items():
            with self.subTest(name):
                self.check_error(self.engine.invoke(name, {}), status, code)

    def test_payload_that_is_not_json(self):
        for payload in (b"{", b"nope", b'{"a":1}}', b'"\xff"', b"1 2", b'{"a":01}'):
            with self.subTest(payload):
                answer = self.engine.invoke("echo", raw=payload)
                self.check_error(
                    answer, 400, "InvalidRequestContentException",
                    "Could not parse request body into json: Could not parse payload into json: ",
                )
                self.assertEqual(answer.message.count("request body"), 1)

    def test_client_context_that_is_not_json(self):
        answer = self.engine.invoke("echo", {}, client_context=b"{nope")
        self.check_error(
            answer, 400, "InvalidRequestContentException",
            "Client context must be a valid Base64-encoded JSON object.",
        )

    def test_an_empty_payload_is_an_empty_object(self):
        answer = self.engine.invoke("echo", raw=b"")
        self.assertEqual((answer.status, answer.payload), (200, b"{}"))

    def test_the_largest_payload(self):
        payload = b'"' + b"x" * (MAX_PAYLOAD - 2) + b'"'
        answer = self.engine.invoke("echo", raw=payload, tail=False)
        self.assertEqual((answer.status, answer.payload == payload), (200, True))

    def test_payload_over_6_mib(self):
        payload = b'"' + b"x" * (MAX_PAYLOAD - 1) + b'"'
        with self.engine.connect() as connection:
            connection.send(frames.encode_invoke(1, "echo", payload))
            self.check_error(
                connection.receive(), 413, "RequestEntityTooLargeException", str(MAX_PAYLOAD)
            )
            self.assertEqual(connection.ping().kind, frames.PONG, "the connection goes on")

    def test_client_context_over_its_limit(self):
        with self.engine.connect() as connection:
            connection.send_invoke("echo", {}, client_context=b'"' + b"c" * 4000 + b'"')
            answer = connection.receive()
        self.assertTrue(answer.kind == frames.ERROR or answer.status == 400, answer)
        self.assertIn("3583", answer.message)


class BadFrames(SharedEngine):
    """A connection whose framing cannot be trusted gets one Error frame and is closed."""

    def check_closed(self, data, *words):
        with self.engine.connect() as connection:
            connection.send(data)
            answer = connection.receive()
            self.assertEqual(answer.kind, frames.ERROR, answer)
            for word in words:
                self.assertIn(word, answer.payload.decode())
            try:
                rest = connection.socket.recv(1)
            except ConnectionResetError:  # closed before it had read all we sent
                rest = b""
            self.assertEqual(rest, b"", "closed after the error")

    def header(self, **changes):
        fields = {"magic": frames.MAGIC, "kind": frames.PING, "flags": 0, "correlation": 1,
                  "meta_bytes": 0, "payload_bytes": 0, "status": 0, "reserved": 0}
        return frames.HEADER.pack(*(fields | changes).values())

    def test_headers(self):
        cases = {
            "magic": ({"magic": 0x12345678}, "magic"),
            "version": ({"magic": 0x324F4B48}, "version 1"),
            "type 0": ({"kind": 0}, "type"),
            "type 99": ({"kind": 99}, "type"),
            "an answer as request": ({"kind": frames.PONG}, "type"),
            "reserved": ({"reserved": 1}, "reserved"),
            "meta length": ({"kind": frames.INVOKE, "meta_bytes": 65537}, "65536"),
            "payload length": ({"kind": frames.INVOKE, "meta_bytes": 8,
                                "payload_bytes": 0xFFFFFFFF}, "52428800"),
            "a ping with a body": ({"payload_bytes": 4}, "Ping"),
        }
        for title, (changes, word) in cases.items():
            with self.subTest(title):
                self.check_closed(self.header(**changes) + b"\0" * 64, word)

    def test_meta_data_that_does_not_add_up(self):
        good = frames.encode_invoke(1, "echo", b"{}")
        meta_at = frames.HEADER.size
        for title, offset, value in (
            ("name longer than meta", 2, 500), ("qualifier longer", 4, 500),
            ("invocation type", 0, 9), ("log type", 1, 9),
        ):
            with self.subTest(title):
                broken = bytearray(good)
                if offset < 2:
                    broken[meta_at + offset] = value
                else:
                    struct.pack_into("<H", broken, meta_at + offset, value)
                with self.engine.connect() as connection:
                    connection.send(bytes(broken))
                    answer = connection.receive()
                self.assertEqual(answer.status, 400, answer)
                self.assertIn("meta data", answer.message)

    def test_noise_never_ends_the_engine(self):
        noise = b"".join(struct.pack("<Q", (i * 0x9E3779B97F4A7C15) % 2**64) for i in range(512))
        for length in (1, 31, 32, 33, 4096):
            with self.engine.connect() as connection:
                connection.send(noise[:length])

    def test_a_good_frame_in_single_bytes(self):
        with self.engine.connect() as connection:
            for byte in frames.encode_invoke(5, "echo", b'{"slow":1}'):
                connection.send(bytes([byte]))
            self.assertEqual(connection.receive().json, {"slow": 1})


class Packages(SharedEngine):
    def create(self, package, **changes):
        request = {"FunctionName": "new", "Runtime": "python3.11", "Handler": "main.handler",
                   "Role": ROLE}
        return self.engine.control("CreateFunction", request | changes, package)

    def check_refused(self, answer, *words, status=400, code="InvalidParameterValueException"):
        self.check_error(answer, status, code, *words)
        self.check_nothing_made()

    def check_nothing_made(self):
        listed = self.engine.control("ListFunctions", {}).json["Functions"]
        self.assertEqual([item["FunctionName"] for item in listed], ["echo"])
        code = os.path.join(self.engine.state, "code")
        self.assertEqual(len(os.listdir(code)), 2, "only echo's package and zip are on disk")

    def test_not_a_zip(self):
        for package in (b"not a zip", b"PK\x03\x04 broken", zip_of({"main.py": ECHO})[:-8]):
            with self.subTest(package[:10]):
                self.check_refused(self.create(package), "Could not unzip uploaded file")

    def test_no_code_at_all(self):
        answer = self.create(b"")
        self.assertEqual(answer.status, 400, answer)
        self.assertIn("ode", answer.message)
        self.check_nothing_made()

    def test_zip_slip(self):
        for name in ("../escaped.py", "/tmp/escaped.py", "a/../../escaped.py"):
            with self.subTest(name):
                self.check_refused(
                    self.create(zip_of({"main.py": ECHO, name: "x"})),
                    "Could not unzip uploaded file", "escaped",
                )
        self.assertFalse(os.path.exists("/tmp/escaped.py"))

    def test_zip_bomb(self):
        with tempfile.TemporaryFile() as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                with archive.open("zeros", "w", force_zip64=True) as member:
                    block = bytes(1 << 20)
                    for _ in range(251):
                        member.write(block)
            file.seek(0)
            package = file.read()
        self.assertLess(len(package), 1 << 20)
        self.check_refused(
            self.create(package), "Unzipped size must be smaller than 262144000 bytes"
        )

    def test_a_link_out_of_the_package(self):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("main.py", ECHO)
            link = zipfile.ZipInfo("passwd")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "../../../../etc/passwd")
        answer = self.create(buffer.getvalue())
        if answer.status == 201:
            self.engine.delete("new")
            self.fail("a symlink that leaves the package was accepted")
        self.check_refused(answer, "Could not unzip uploaded file")

    def test_configuration_out_of_range(self):
        package = zip_of({"main.py": ECHO})
        cases = (
            ({"MemorySize": 127}, "'127' at 'memorySize'", "greater than or equal to 128"),
            ({"MemorySize": 99999}, "'99999' at 'memorySize'", "less than or equal to"),
            ({"Timeout": 0}, "'0' at 'timeout'", "greater than or equal to 1"),
            ({"Timeout": 901}, "'901' at 'timeout'", "less than or equal to"),
            ({"Handler": None}, "andler"),
            ({"Handler": "two words"}, "'two words' at 'handler'"),
        )
        for changes, *words in cases:
            with self.subTest(changes):
                answer = self.create(package, **changes)
                self.assertEqual(answer.status, 400, answer)
                for word in words:
                    self.assertIn(word, answer.message)
                self.check_nothing_made()

    def test_unknown_runtime(self):
        answer = self.create(zip_of({"main.py": ECHO}), Runtime="cobol85")
        self.check_refused(answer, "Value cobol85 at 'runtime'", "python3.11")

    def test_broken_request_json(self):
        for body in (b"", b"{", b"[]", b'{"FunctionName": 7}', b'"\xff"'):
            with self.subTest(body):
                answer = self.engine.control("CreateFunction", body)
                self.assertEqual(answer.status, 400, answer)
                self.assertTrue(answer.message)

    def test_unknown_operation(self):
        answer = self.engine.control("MakeCoffee", {})
        self.assertGreaterEqual(answer.status, 400)
        self.assertIn("MakeCoffee", answer.message)

    def test_the_same_name_twice(self):
        request = {"FunctionName": "echo", "Runtime": "python3.11", "Handler": "main.handler",
                   "Role": ROLE}
        answer = self.engine.control("CreateFunction", request, zip_of({"main.py": ECHO}))
        self.check_error(
            answer, 409, "ResourceConflictException", "Function already exist: echo"
        )

    def test_too_large_an_environment(self):
        variables = {"Variables": {f"KEY{i}": "v" * 100 for i in range(50)}}
        answer = self.create(zip_of({"main.py": ECHO}), Environment=variables)
        self.check_refused(answer, "4KB limit")

    def test_reserved_environment_keys(self):
        answer = self.create(
            zip_of({"main.py": ECHO}), Environment={"Variables": {"AWS_REGION": "x"}}
        )
        self.check_refused(answer, "Reserved keys used in this request: AWS_REGION")


class BadStarts(unittest.TestCase):
    """The process cannot start: one line, and no state half made."""

    def start_fails(self, engine, *words):
        process = engine.spawn()
        status = process.wait(timeout=20)
        os.close(engine.pidfd)
        engine.process, engine.pidfd = None, -1
        text = engine.log()
        self.assertNotEqual(status, 0, text)
        self.assertGreater(status, 0, f"killed by a signal: {text}")
        for word in words:
            self.assertIn(word, text)
        self.assertLessEqual(len(text.splitlines()), 3, f"one clear error: {text}")
        engine.assert_nothing_left()

    def prepared(self, **options):
        engine = Engine(**options)
        self.addCleanup(engine.destroy)
        return engine

    def test_state_directory_not_writable(self):
        self.start_fails(self.prepared(state="/proc/hako-state"), "/proc/hako-state")

    def test_state_directory_is_a_file(self):
        engine = self.prepared()
        with open(engine.state, "w", encoding="ascii") as file:
            file.write("no directory")
        self.start_fails(engine, engine.state)

    def test_state_directory_of_someone_else(self):
        engine = self.prepared()
        os.mkdir(engine.state)
        with open(os.path.join(engine.state, "letters.txt"), "w", encoding="ascii") as file:
            file.write("dear")
        self.start_fails(engine, engine.state)
        self.assertEqual(os.listdir(engine.state), ["letters.txt"])

    def test_state_directory_in_use(self):
        with Engine() as first:
            second = self.prepared(state=first.state)
            self.start_fails(second, first.state)
            first.create_python("echo", ECHO)
            self.assertEqual(first.result("echo", 1), 1)

    def test_socket_in_use(self):
        with Engine() as first:
            second = self.prepared()
            second.socket_path = first.socket_path
            self.start_fails(second, first.socket_path)
            first.create_python("echo", ECHO)
            self.assertEqual(first.result("echo", 1), 1)

    def test_a_stale_socket_is_no_obstacle(self):
        with Engine() as engine:
            engine.kill()
            self.assertTrue(os.path.exists(engine.socket_path))
            engine.start()

    def test_socket_path_too_long(self):
        engine = self.prepared()
        engine.socket_path = "/tmp/" + "s" * 120
        self.start_fails(engine, "107")

    def test_unknown_setting(self):
        self.start_fails(self.prepared(colour="red"), "colour")

    def test_setting_out_of_range(self):
        self.start_fails(self.prepared(billing_increment_ms=0), "billing")

    def test_unknown_flag(self):
        self.start_fails(self.prepared(arguments=("--colour",)), "--colour")

    def test_config_file_that_is_no_toml(self):
        engine = self.prepared()
        path = os.path.join(engine.scratch, "bad.toml")
        with open(path, "w", encoding="ascii") as file:
            file.write("state = \n")
        command = engine.command()
        command[command.index("--config") + 1] = path
        done = subprocess.run(command, capture_output=True, timeout=20, check=False, text=True)
        self.assertGreater(done.returncode, 0)
        self.assertIn("bad.toml", done.stderr)


if __name__ == "__main__":
    unittest.main()
