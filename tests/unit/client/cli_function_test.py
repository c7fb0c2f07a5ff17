"""The `hako` command: functions, packages, serve, bill and logs. Arguments: see cli_harness.py."""

import json
import os
import pty
import select
import subprocess
import zipfile
import unittest

from cli_harness import CONFIGURATION, HAKO, MAKE_LEDGER, CliTest, Engine, run
from scripted_engine import ScriptedEngine, frame, read_frame


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
        script = '#!/bin/sh\nfor a in "$@"; do echo "$a"; done\nexit 7\n'
        engine = self.write("hakod", script, 0o755)
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
