"""The `hako` command, run as a program against an engine played by a thread.

The first argument is the built program, the second one writes a ledger for `hako bill`.
"""

import json
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

from scripted_engine import ScriptedEngine, frame, read_frame, result

HAKO = sys.argv.pop(1)
MAKE_LEDGER = sys.argv.pop(1)

CONFIGURATION = (
    b'{"FunctionName":"greet","Runtime":"python3.11","Handler":"app.handler","MemorySize":256,'
    b'"Timeout":5,"CodeSize":2048,"LastModified":"2017-12-14T10:00:00.123+0000"}'
)


def run(*arguments, env=None, stdin=b""):
    """Exit code, standard output, standard error of one run."""
    done = subprocess.run(
        [HAKO, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env={"PATH": os.environ["PATH"], **(env or {})},
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Engine(ScriptedEngine):
    """Answers operations from a table and remembers what was asked."""

    def __init__(self, answers):
        self.asked = []
        self._answers = answers
        super().__init__(self._serve)

    def _serve(self, sock):
        while True:
            kind, correlation, meta, payload = read_frame(sock)
            if kind == 1:
                sock.sendall(frame(2, correlation))
                continue
            if kind == 3:
                self.asked.append(("Invoke", meta, payload))
                sock.sendall(result(correlation, **self._answers["Invoke"]))
                continue
            name_bytes, _, _ = struct.unpack("<HHI", meta[:8])
            operation = meta[8 : 8 + name_bytes].decode()
            self.asked.append((operation, json.loads(meta[8 + name_bytes :]), payload))
            answer = self._answers[operation]
            status, code, body = answer if isinstance(answer, tuple) else (200, b"", answer)
            sock.sendall(frame(6, correlation, code, body, status))


class CliTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def engine(self, **answers):
        engine = Engine(answers)
        self.addCleanup(engine.close)
        return engine

    def write(self, name, text, mode=0o644):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path


class UsageTest(CliTest):
    def test_help_version_and_completion(self):
        for arguments in (["--help"], ["help"], ["invoke", "--help"], ["help", "create"]):
            code, out, err = run(*arguments)
            self.assertEqual((code, err), (0, ""), arguments)
            self.assertIn("Usage: hako", out)
        self.assertIn("Exit codes: 0 fine", run("help")[1])
        for command in "create update delete list get invoke serve ping bill logs".split():
            self.assertIn(command, run("help")[1])
        self.assertEqual(run("version")[1], "hako 0.1.0\n")
        self.assertEqual(run("--version")[1], "hako 0.1.0\n")
        self.assertEqual(json.loads(run("version", "--json")[1]), {"Version": "0.1.0"})

    def test_completion_is_valid_bash_and_completes(self):
        script = run("completion", "bash")[1]
        asked = script + '\nCOMP_WORDS=(hako inv); COMP_CWORD=1; _hako; echo "${COMPREPLY[@]}"'
        asked += '\nCOMP_WORDS=(hako invoke f --ta); COMP_CWORD=3; _hako; echo "${COMPREPLY[@]}"'
        done = subprocess.run(
            ["/bin/bash", "-c", asked], capture_output=True, timeout=30, check=True
        )
        self.assertEqual(done.stdout.decode().split(), ["invoke", "--tail"])

    def test_bad_arguments_exit_2_and_name_the_field(self):
        code = self.write("app.py", "x")
        base = ["create", "f", "--runtime", "python3.11", "--handler", "a.b", "--code", code]
        cases = [
            ([], "a command is required"),
            (["frobnicate"], "frobnicate"),
            (["create", "f"], "--runtime is required"),
            (["invoke"], "name is required"),
            ([*base, "--memory", "lots"], "--memory"),
            ([*base, "--timeout", "1.5"], "--timeout"),
            ([*base, "--env", "NOEQUALS"], '--env: must be KEY=VALUE, not "NOEQUALS"'),
            ([*base, "--env", "=x"], "--env: must be KEY=VALUE"),
            ([*base[:-1], self.folder / "missing"], "--code: "),
            (["update", "f"], "nothing to update"),
            (["update", "f", "--env", "A=b", "--clear-env"], "--clear-env"),
            (["invoke", "f", "--type", "Later"], '--type: must be RequestResponse, Event or'),
            (["invoke", "f", "{}", "--payload-file", code], "--payload-file"),
            (["invoke", "f", "--payload-file", "/nonexistent/x"], "--payload-file: /nonexistent/x"),
            (["invoke", "f", "--client-context", "{"], "--client-context: not JSON"),
            (["logs", "../x", "--state", self.folder], "name: "),
            (["logs", "x", "--state", self.folder], "no log of this function"),
            (["bill", "--state", self.folder, "--from", "yesterday"], "--from: must be"),
            (["bill", "--state", self.folder, "--version", "1x"], "--version: must be"),
            (["bill", "--state", self.folder / "no"], "ledger "),
            (["help", "frobnicate"], 'no command "frobnicate"'),
            (["completion", "fish"], "shell: must be bash"),
        ]
        for arguments, text in cases:
            with self.subTest(arguments):
                exit_code, out, err = run(*arguments, env={"HAKO_SOCKET": "/nonexistent/s"})
                self.assertEqual((exit_code, out), (2, ""), err)
                self.assertIn(text, err)
                self.assertTrue(err.startswith("hako: "), err)
                self.assertEqual(err.count("\n"), 1, err)


class ConnectionTest(CliTest):
    def test_engine_not_there_exits_3_with_the_path(self):
        for arguments in (["list"], ["ping"], ["invoke", "f"], ["get", "f"], ["delete", "f"]):
            code, out, err = run("--socket", "/nonexistent/hako.sock", *arguments)
            self.assertEqual((code, out), (3, ""))
            self.assertEqual(
                err,
                "hako: no engine at the socket /nonexistent/hako.sock: No such file or directory "
                "(is hakod running?)\n",
            )

    def test_socket_comes_from_option_environment_or_runtime_directory(self):
        def path_named(arguments, env):
            return run(*arguments, "list", env=env)[2].split("socket ")[1].split(": ")[0]

        env = {"HAKO_SOCKET": "/nonexistent/e", "XDG_RUNTIME_DIR": "/nonexistent/x"}
        self.assertEqual(path_named(["--socket", "/nonexistent/o"], env), "/nonexistent/o")
        self.assertEqual(path_named([], env), "/nonexistent/e")
        del env["HAKO_SOCKET"]
        own = "/nonexistent/x/hako/hako.sock" if os.geteuid() else "/run/hako/hako.sock"
        self.assertEqual(path_named([], env), own)

    def test_engine_that_goes_away_or_is_late_exits_3(self):
        for script, text in [
            (lambda sock: read_frame(sock), "the engine closed the connection"),
            (lambda sock: sock.sendall(b"SSH-2.0-OpenSSH_9.2 and some more bytes here"), "magic"),
        ]:
            engine = ScriptedEngine(script)
            self.addCleanup(engine.close)
            code, out, err = run("--socket", engine.path, "invoke", "f")
            self.assertEqual((code, out), (3, ""))
            self.assertIn(text, err)

        def never_answer(sock):
            while True:
                read_frame(sock)

        engine = ScriptedEngine(never_answer)
        self.addCleanup(engine.close)
        code, _, err = run("--socket", engine.path, "--wait", "0.05", "invoke", "f")
        self.assertEqual((code, err), (3, "hako: time ran out while waiting for an answer\n"))


class InvokeTest(CliTest):
    def invoke(self, answer, *arguments, stdin=b""):
        engine = self.engine(Invoke=answer)
        outcome = run("--socket", engine.path, "invoke", *arguments, stdin=stdin)
        return outcome, engine.asked

    def test_output_is_the_payload_and_nothing_else(self):
        payload = b'{"a": [1, 2]}'
        outcome, asked = self.invoke({"payload": payload}, "f", "[1,2,3]")
        self.assertEqual(outcome, (0, payload.decode(), ""))
        meta = struct.pack("<BBHHH", 0, 0, 1, 0, 0) + b"f"
        self.assertEqual(asked, [("Invoke", meta, b"[1,2,3]")])

    def test_payload_from_argument_file_and_standard_input(self):
        path = self.write("event.json", '{"from":"file"}')
        for arguments, stdin, expected in [
            (["f"], b"ignored", b""),
            (["f", ""], b"", b""),
            (["f", '"text with spaces"'], b"", b'"text with spaces"'),
            (["f", "-"], b'{"in":1}', b'{"in":1}'),
            (["f", "--payload-file", path], b"", b'{"from":"file"}'),
            (["f", "--payload-file", "-"], b"[0]", b"[0]"),
        ]:
            with self.subTest(arguments):
                outcome, asked = self.invoke({}, *arguments, stdin=stdin)
                self.assertEqual(outcome[0], 0, outcome)
                self.assertEqual(asked[0][2], expected)

    def test_options_reach_the_engine(self):
        options = ["--tail", "--qualifier", "live", "--type", "Event"]
        _, asked = self.invoke({}, "f", *options, "--client-context", '{"a":1}')
        self.assertEqual(asked[0][1], struct.pack("<BBHHH", 1, 1, 1, 4, 7) + b'flive{"a":1}')

    def test_tail_goes_to_standard_error(self):
        outcome, _ = self.invoke({"payload": b"1", "log": b"START\nREPORT x\n"}, "f", "--tail")
        self.assertEqual(outcome, (0, "1", "START\nREPORT x\n"))

    def test_function_error_exits_1(self):
        body = b'{"errorType":"ValueError","errorMessage":"bad"}'
        outcome, _ = self.invoke({"payload": body, "flags": 1, "code": b"Unhandled"}, "f")
        self.assertEqual(outcome, (1, body.decode(), "hako: function error: ValueError: bad\n"))

    def test_api_errors_exit_4_5_and_6(self):
        for status, code, body, expected in [
            (404, b"ResourceNotFoundException", b'{"Type":"User","Message":"no such"}', 4),
            (413, b"RequestTooLargeException", b'{"message":"too large"}', 4),
            (429, b"TooManyRequestsException", b'{"message":"Rate Exceeded."}', 6),
            (500, b"ServiceException", b"", 5),
            (502, b"InvalidZipFileException", b'{"message":"x"}', 5),
        ]:
            answer = {"payload": body, "status": status, "code": code}
            (exit_code, out, err), _ = self.invoke(answer, "f")
            self.assertEqual((exit_code, out), (expected, ""))
            self.assertTrue(err.startswith(f"hako: {code.decode()} ({status}): "), err)
            (exit_code, out, err), _ = self.invoke(answer, "f", "--json")
            self.assertEqual((exit_code, out), (expected, ""))
            self.assertEqual(json.loads(err)["code"], code.decode())
            self.assertEqual(json.loads(err)["status"], status)

    def test_json_gives_the_whole_result(self):
        answer = {"payload": b'{"a":1}', "log": b'say "hi"\tand \x1b bye\n'}
        (exit_code, out, err), _ = self.invoke(answer, "f", "--tail", "--json")
        self.assertEqual((exit_code, err), (0, ""))
        self.assertEqual(
            json.loads(out),
            {
                "StatusCode": 200,
                "ExecutedVersion": "$LATEST",
                "RequestId": "6bc28136-abcd-4365-b021-0ce6b2e64ab0",
                "DurationUs": 1234,
                "BilledUs": 100000,
                "InitUs": 2500,
                "CpuUs": 900,
                "MemorySize": 128,
                "MemoryPeakBytes": 7 << 20,
                "LogTail": 'say "hi"\tand \x1b bye\n',
                "Payload": {"a": 1},
            },
        )

    def test_six_mebibytes_from_standard_input(self):
        payload = b'"' + b"x" * 6291454 + b'"'
        outcome, asked = self.invoke({"payload": payload}, "f", "-", stdin=payload)
        self.assertEqual(outcome[0], 0)
        self.assertEqual(outcome[1].encode(), payload)
        self.assertEqual(asked[0][2], payload)


class FunctionTest(CliTest):
    def create(self, engine, code, *options):
        return run(
            "--socket", engine.path, "create", "greet", "--runtime", "python3.11", "--handler",
            "app.handler", "--code", code, *options,
        )  # fmt: skip

    def package(self, code):
        """The zip that `create` sends for `code`, as a path."""
        engine = self.engine(CreateFunction=CONFIGURATION)
        exit_code, _, err = self.create(engine, code)
        self.assertEqual((exit_code, err), (0, ""))
        path = self.folder / f"sent{len(list(self.folder.glob('sent*')))}"
        path.write_bytes(engine.asked[0][2])
        return path

    def test_create_sends_lambdas_request(self):
        engine = self.engine(
            CreateFunction=CONFIGURATION,
            PutFunctionConcurrency=b"{}",
            PutProvisionedConcurrencyConfig=b"{}",
        )
        outcome = self.create(
            engine, self.write("app.py", "x"), "--memory", "256", "--timeout", "5", "--env", "A=1",
            "--env", "B=x=y", "--description", 'say "hi"', "--ephemeral-storage", "1024",
            "--role", "arn:aws:iam::1:role/r", "--provisioned", "2", "--reserved-concurrency", "7",
        )  # fmt: skip
        self.assertEqual(
            outcome, (0, "created greet (python3.11, 256 MB, 5 s, code 2.0 KiB)\n", "")
        )
        self.assertEqual(
            engine.asked[0][:2],
            (
                "CreateFunction",
                {
                    "FunctionName": "greet",
                    "Runtime": "python3.11",
                    "Handler": "app.handler",
                    "Role": "arn:aws:iam::1:role/r",
                    "Description": 'say "hi"',
                    "MemorySize": 256,
                    "Timeout": 5,
                    "EphemeralStorage": {"Size": 1024},
                    "Environment": {"Variables": {"A": "1", "B": "x=y"}},
                },
            ),
        )
        self.assertEqual(
            [asked[:2] for asked in engine.asked[1:]],
            [
                (
                    "PutFunctionConcurrency",
                    {"FunctionName": "greet", "ReservedConcurrentExecutions": 7},
                ),
                (
                    "PutProvisionedConcurrencyConfig",
                    {
                        "FunctionName": "greet",
                        "Qualifier": "$LATEST",
                        "ProvisionedConcurrentExecutions": 2,
                    },
                ),
            ],
        )

    def test_absent_options_are_not_sent(self):
        engine = self.engine(CreateFunction=CONFIGURATION)
        outcome = self.create(engine, self.write("app.py", "x"), "--json")
        self.assertEqual(outcome, (0, CONFIGURATION.decode() + "\n", ""))
        self.assertEqual(
            set(engine.asked[0][1]), {"FunctionName", "Runtime", "Handler", "Role"}
        )

    def test_half_done_create_says_so(self):
        engine = self.engine(
            CreateFunction=CONFIGURATION,
            PutFunctionConcurrency=(400, b"InvalidParameterValueException", b'{"message":"below"}'),
        )
        code, out, err = self.create(
            engine, self.write("app.py", "x"), "--reserved-concurrency", "999"
        )
        self.assertEqual((code, out), (4, ""))
        self.assertIn("the function was created, but its concurrency was not set", err)
        self.assertIn("below", err)

    def test_package_is_the_same_for_the_same_files(self):
        packages = []
        for attempt, names in enumerate((["a.py", "lib/b.py"], ["lib/b.py", "a.py"])):
            for name in names:
                self.write(f"code{attempt}/{name}", name, 0o600)
            self.write(f"code{attempt}/run", "#!/bin/sh\n", 0o700 + attempt)
            (self.folder / f"code{attempt}/link").symlink_to("lib/b.py")
            (self.folder / f"code{attempt}/empty").mkdir()
            os.utime(self.folder / f"code{attempt}/a.py", (10**9 + attempt, 10**9 + attempt))
            packages.append(self.package(self.folder / f"code{attempt}"))
        self.assertEqual(packages[0].read_bytes(), packages[1].read_bytes())
        with zipfile.ZipFile(packages[0]) as archive:
            self.assertIsNone(archive.testzip())
            modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
            self.assertEqual(
                modes,
                {
                    "a.py": 0o100644,
                    "empty/": 0o040755,
                    "lib/": 0o040755,
                    "lib/b.py": 0o100644,
                    "link": 0o120777,
                    "run": 0o100755,
                },
            )
            self.assertEqual(list(modes), sorted(modes))
            self.assertEqual(archive.read("link"), b"lib/b.py")
            self.assertEqual(archive.read("lib/b.py"), b"lib/b.py")
            times = {info.date_time for info in archive.infolist()}
            self.assertEqual(times, {(1980, 1, 1, 0, 0, 0)})

    def test_zip_is_sent_as_it_is_and_a_file_is_packed(self):
        self.write("app.py", "print()")
        with zipfile.ZipFile(self.folder / "code.zip", "w") as archive:
            archive.writestr("app.py", "print()")
        given = (self.folder / "code.zip").read_bytes()
        self.assertEqual(self.package(self.folder / "code.zip").read_bytes(), given)
        with zipfile.ZipFile(self.package(self.folder / "app.py")) as archive:
            self.assertEqual(archive.namelist(), ["app.py"])
            self.assertEqual(archive.read("app.py"), b"print()")

    def test_code_that_cannot_be_packed(self):
        (self.folder / "none").mkdir()
        (self.folder / "special").mkdir()
        os.mkfifo(self.folder / "special/pipe")
        (self.folder / "large").mkdir()
        with open(self.folder / "large/data", "wb") as file:
            file.truncate(262144001)
        with open(self.folder / "large.zip", "wb") as file:
            file.truncate(52428801)
        engine = self.engine()
        for name, text in [
            ("none", "is empty"),
            ("special", "special/pipe is neither a file, a directory nor a symbolic link"),
            ("large", "the files have 262144001 bytes, at most 262144000"),
            ("large.zip", "the zip has 52428801 bytes, at most 52428800"),
        ]:
            code, _, err = self.create(engine, self.folder / name)
            self.assertEqual(code, 2)
            self.assertIn("--code: ", err)
            self.assertIn(text, err)

    def test_update_delete_get_and_list(self):
        engine = self.engine(
            UpdateFunctionCode=CONFIGURATION, UpdateFunctionConfiguration=CONFIGURATION
        )
        outcome = run(
            "--socket", engine.path, "update", "greet", "--code", self.write("a.py", "x"),
            "--memory", "512", "--clear-env",
        )  # fmt: skip
        self.assertEqual(outcome[0], 0, outcome)
        self.assertEqual(
            [asked[:2] for asked in engine.asked],
            [
                ("UpdateFunctionCode", {"FunctionName": "greet"}),
                (
                    "UpdateFunctionConfiguration",
                    {
                        "FunctionName": "greet",
                        "MemorySize": 512,
                        "Environment": {"Variables": {}},
                    },
                ),
            ],
        )
        engine = self.engine(DeleteFunction=b"")
        outcome = run("--socket", engine.path, "delete", "greet", "--qualifier", "3")
        self.assertEqual(outcome, (0, "deleted greet:3\n", ""))
        self.assertEqual(engine.asked[0][1], {"FunctionName": "greet", "Qualifier": "3"})
        answer = b'{"Configuration":' + CONFIGURATION + b',"Code":{"Location":"x"}}'
        engine = self.engine(GetFunction=answer)
        code, out, _ = run("--socket", engine.path, "get", "greet")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"(?m)^Handler +app\.handler$")
        self.assertRegex(out, r"(?m)^Code\.Location +x$")

    def test_list_prints_all_pages(self):
        def pages(sock):
            for marker, name, more in [(None, "a", "m"), ("m", "b", None)]:
                _, correlation, meta, _ = read_frame(sock)
                request = json.loads(meta[8 + 13 :])
                assert request.get("Marker") == marker, request
                body = {"Functions": [{"FunctionName": name, "MemorySize": 128, "CodeSize": 5}]}
                if more:
                    body["NextMarker"] = more
                sock.sendall(frame(6, correlation, payload=json.dumps(body).encode()))

        def first_words(out):
            return [line.split()[0] for line in out.splitlines()]

        def json_names(out):
            return [function["FunctionName"] for function in json.loads(out)["Functions"]]

        for options, read, expected in [
            ([], first_words, ["NAME", "a", "b"]),
            (["--names"], str.splitlines, ["a", "b"]),
            (["--json"], json_names, ["a", "b"]),
        ]:
            engine = ScriptedEngine(pages)
            self.addCleanup(engine.close)
            code, out, err = run("--socket", engine.path, "list", *options)
            self.assertEqual((code, err), (0, ""))
            self.assertEqual(read(out), expected)

    def test_ping(self):
        status = b'{"Pid":42,"Version":"0.1.0","Counts":{"Functions":3}}'
        engine = self.engine(GetEngineStatus=status)
        code, out, err = run("--socket", engine.path, "ping")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("round trip 0.", out)
        self.assertRegex(out, r"(?m)^Counts\.Functions +3$")
        engine = self.engine(GetEngineStatus=status)
        answer = json.loads(run("--json", "--socket", engine.path, "ping")[1])
        self.assertEqual(answer["Engine"]["Pid"], 42)
        self.assertGreaterEqual(answer["RoundTripUs"], 0)


class LocalTest(CliTest):
    def test_serve_becomes_the_engine_with_the_flags(self):
        engine = self.write("hakod", '#!/bin/sh\nfor a in "$@"; do echo "$a"; done\nexit 7\n', 0o755)
        code, out, err = run(
            "--socket", "/s", "serve", "--state", "/d", "--json", "--help", "x y",
            env={"HAKO_HAKOD": str(engine)},
        )  # fmt: skip
        self.assertEqual((code, err), (7, ""))
        passed = ["--socket", "/s", "--state", "/d", "--json", "--help", "x y"]
        self.assertEqual(out.splitlines(), passed)
        code, _, err = run("serve", env={"HAKO_HAKOD": "/nonexistent/hakod"})
        self.assertEqual((code, err), (3, "hako: /nonexistent/hakod: No such file or directory\n"))

    def test_logs_in_order(self):
        for name, text in [
            ("2017-12-13.log", "first\n"),
            ("2017-12-14.log.2", "second\n"),
            ("2017-12-14.log.1", "third\n"),
            ("2017-12-14.log", "fourth\n"),
            ("notes.txt", "never\n"),
        ]:
            self.write(f"log/greet/{name}", text)
        logs = ["logs", "greet", "--state", self.folder]
        self.assertEqual(run(*logs), (0, "second\nthird\nfourth\n", ""))
        self.assertEqual(run(*logs, "--all"), (0, "first\nsecond\nthird\nfourth\n", ""))
        self.assertEqual(run(*logs, "--day", "2017-12-13"), (0, "first\n", ""))
        self.assertEqual(run(*logs, "--day", "2016-01-01")[0], 2)
        self.assertEqual(run(*logs[:2], env={"HAKO_STATE": str(self.folder)})[0], 0)

    def test_logs_follow_through_rotation_and_midnight(self):
        log = self.write("log/greet/2017-12-14.log", "one\n")
        program = subprocess.Popen(
            [HAKO, "logs", "greet", "--follow", "--state", str(self.folder)],
            stdout=subprocess.PIPE,
        )
        self.addCleanup(program.wait)
        self.addCleanup(program.stdout.close)
        self.addCleanup(program.kill)

        def next_line():
            line = b""
            while not line.endswith(b"\n"):
                ready, _, _ = select.select([program.stdout], [], [], 20)
                self.assertTrue(ready, f"nothing came after {line!r}")
                line += os.read(program.stdout.fileno(), 1)
            return line

        self.assertEqual(next_line(), b"one\n")
        with open(log, "a", encoding="ascii") as file:
            file.write("two\n")
        self.assertEqual(next_line(), b"two\n")
        log.rename(log.with_suffix(".log.1"))
        log.write_text("three\n")
        self.assertEqual(next_line(), b"three\n")
        (log.parent / "2017-12-15.log").write_text("four\n")
        self.assertEqual(next_line(), b"four\n")

    def test_bill_of_an_empty_ledger(self):
        (self.folder / "ledger").mkdir()
        code, out, err = run("bill", "--state", self.folder)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out.splitlines()[-1].split()[:2], ["total", "0"])
        bill = json.loads(run("bill", "--state", self.folder, "--json")[1])
        self.assertEqual(bill["Rows"], [])

    def test_bill_sums_to_the_microsecond(self):
        subprocess.run([MAKE_LEDGER, self.folder / "ledger"], timeout=30, check=True)
        bill = ["bill", "--state", self.folder]

        def sums(*options):
            answer = json.loads(run(*bill, "--json", *options)[1])
            return [
                (row["FunctionName"], row["Version"], row["Invocations"], row["DurationUs"])
                for row in answer["Rows"]
            ]

        self.assertEqual(
            sums(),
            [
                ("greet", "$LATEST", 3, 101006),
                ("greet", "2", 1, 50000),
                ("resize", "$LATEST", 1, 250007),
            ],
        )
        self.assertEqual(sums("--function", "resize"), [("resize", "$LATEST", 1, 250007)])
        self.assertEqual(sums("--version", "2"), [("greet", "2", 1, 50000)])
        self.assertEqual(
            sums("--from", "2017-12-14T11:00:00Z", "--until", "2017-12-14T13:00:00Z"),
            [("greet", "$LATEST", 2, 100005)],
        )
        self.assertEqual(sums("--until", "2017-12-14"), [])
        code, out, err = run(*bill)
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"(?m)^greet +\$LATEST +3 +1 +0 +101\.006 ms +400\.000 ms")
        self.assertRegex(out, r"(?m)^total +5 +2 +0 +401\.013 ms +800\.000 ms")
        records = [json.loads(line) for line in run(*bill, "--records")[1].splitlines()]
        self.assertEqual(len(records), 5)

    def test_colour_only_on_a_terminal(self):
        def list_on_terminal(*options, env=None):
            engine = self.engine(ListFunctions=b'{"Functions":[]}')
            ours, theirs = pty.openpty()
            with open(ours, "rb", buffering=0) as reader:
                subprocess.run(
                    [HAKO, "--socket", engine.path, *options, "list"],
                    stdout=theirs,
                    env={"TERM": "xterm", **(env or {})},
                    timeout=30,
                    check=True,
                )
                out = reader.read(4096)
                os.close(theirs)
            return out

        self.assertIn(b"\x1b[1m", list_on_terminal())
        self.assertNotIn(b"\x1b", list_on_terminal("--no-color"))
        self.assertNotIn(b"\x1b", list_on_terminal(env={"NO_COLOR": "1"}))
        engine = self.engine(ListFunctions=b'{"Functions":[]}')
        self.assertNotIn("\x1b", run("--socket", engine.path, "list")[1])


if __name__ == "__main__":
    unittest.main()
