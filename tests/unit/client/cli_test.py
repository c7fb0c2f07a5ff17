"""The `hako` command: usage, connecting and invoking. Arguments: see cli_harness.py."""

import json
import os
import struct
import subprocess
import unittest

from cli_harness import CliTest, run
from scripted_engine import ScriptedEngine, read_frame


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
            (["invoke", "f", "--stream", "--json"], "--stream: not with --json"),
            (["invoke", "f", "--stream", "--type", "DryRun"], "--stream: not with --json or"),
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


if __name__ == "__main__":
    unittest.main()
