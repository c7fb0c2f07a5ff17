"""The `hako` command line as hako(1) describes it: quick start, outputs, exit statuses."""
import json
import os
import subprocess
import tempfile
import unittest

from support.engine import HAKO, Engine
from support.ledger import read_ledger

HELLO = """
def handler(event, context):
    if event.get("fail"):
        raise RuntimeError("asked to")
    print("greeting", event.get("name"))
    return {"hello": event.get("name", "world")}
"""
OK, FUNCTION_ERROR, USAGE, UNREACHABLE, API_ERROR, SERVICE_ERROR, THROTTLED = range(7)


class CommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine()
        cls.addClassCleanup(cls.engine.__exit__, None, None, None)
        cls.engine.__enter__()
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.source = os.path.join(cls.folder.name, "hello.py")
        with open(cls.source, "w", encoding="utf-8") as file:
            file.write(HELLO)

    def run_cli(self, *arguments, status=OK, stdin=None):
        done = self.engine.cli(*arguments, stdin=stdin)
        self.assertEqual(done.returncode, status, f"{arguments}: {done.stdout}{done.stderr}")
        return done

    def create(self, name, *options):
        self.run_cli("create", name, "--runtime", "python3.11", "--handler", "hello.handler",
                     "--code", self.source, *options)
        self.addCleanup(self.engine.cli, "delete", name)

    def test_quick_start(self):
        self.create("hello", "--memory", "192", "--timeout", "5", "--env", "COLOUR=red")
        done = self.run_cli("invoke", "hello", '{"name": "reader"}', "--tail")
        self.assertEqual(json.loads(done.stdout), {"hello": "reader"})
        log = done.stderr.decode()
        self.assertIn("START RequestId: ", log)
        self.assertIn("greeting reader\n", log)
        self.assertIn("\tMemory Size: 192 MB\t", log)
        self.assertIn(b"hello", self.run_cli("list").stdout)
        got = json.loads(self.run_cli("get", "hello", "--json").stdout)["Configuration"]
        self.assertEqual((got["MemorySize"], got["Timeout"]), (192, 5))
        self.assertEqual(got["Environment"], {"Variables": {"COLOUR": "red"}})
        self.run_cli("update", "hello", "--memory", "256")
        got = json.loads(self.run_cli("get", "hello", "--json").stdout)["Configuration"]
        self.assertEqual((got["MemorySize"], got["Timeout"]), (256, 5))
        self.run_cli("delete", "hello")
        self.assertNotIn(b"hello", self.run_cli("list", "--names").stdout.split())

    def test_payload_from_argument_file_and_standard_input(self):
        self.create("payloads")
        path = os.path.join(self.folder.name, "event.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"name": "file"}')
        for arguments, stdin, name in (
            (['{"name": "argument"}'], None, "argument"),
            (["--payload-file", path], None, "file"),
            (["-"], b'{"name": "stdin"}', "stdin"),
            ([], None, "world"),
        ):
            with self.subTest(name):
                done = self.run_cli("invoke", "payloads", *arguments, stdin=stdin)
                self.assertEqual(json.loads(done.stdout), {"hello": name})

    def test_exit_statuses(self):
        self.create("exits")
        done = self.run_cli("invoke", "exits", '{"fail": true}', status=FUNCTION_ERROR)
        self.assertEqual(json.loads(done.stdout)["errorType"], "RuntimeError")
        done = self.run_cli("invoke", "nobody", status=API_ERROR)
        self.assertIn(b"Function not found: arn:aws:lambda:", done.stderr)
        self.assertEqual(done.stdout, b"")
        self.run_cli("invoke", "exits", "{", status=API_ERROR)
        self.run_cli("invoke", status=USAGE)
        self.run_cli("fly", status=USAGE)
        self.run_cli("invoke", "exits", "--payload-file", "/no/such/file", status=USAGE)
        self.run_cli("create", "x", "--runtime", "native", "--handler", "h",
                     "--code", "/no/such/file", status=USAGE)
        gone = subprocess.run(
            [HAKO, "--socket", "/no/such/socket", "ping"], capture_output=True, check=False
        )
        self.assertEqual(gone.returncode, UNREACHABLE, gone.stderr)
        self.run_cli("update", "exits", "--reserved-concurrency", "0")
        done = self.run_cli("invoke", "exits", status=THROTTLED)
        self.assertIn(b"Rate Exceeded.", done.stderr)

    def test_json_output_of_an_invocation(self):
        self.create("numbers")
        told = json.loads(self.run_cli("invoke", "numbers", "{}", "--json", "--tail").stdout)
        text = json.dumps(told)
        record = read_ledger(self.engine.state)[-1]
        self.assertIn(record.request_id, text)
        self.assertIn(str(record.duration_us), text)

    def test_bill_and_logs(self):
        self.create("billed")
        for _ in range(3):
            self.run_cli("invoke", "billed", "{}")
        records = [r for r in read_ledger(self.engine.state) if r.function == "billed"]
        bill = self.engine.bill("--function", "billed")
        self.assertEqual([row["Invocations"] for row in bill["Rows"]], [3])
        self.assertEqual(bill["Rows"][0]["DurationUs"], sum(r.duration_us for r in records))
        table = self.run_cli("bill", "--state", self.engine.state).stdout.decode()
        self.assertIn("billed", table)
        lines = self.run_cli(
            "bill", "--state", self.engine.state, "--records", "--function", "billed"
        ).stdout.splitlines()
        self.assertEqual(
            [json.loads(line)["RequestId"] for line in lines], [r.request_id for r in records]
        )

    def test_ping_version_help(self):
        self.assertIn(str(self.engine.process.pid).encode(), self.run_cli("ping").stdout)
        self.assertIn(b"0.1.0", self.run_cli("version").stdout)
        for command in ("create", "invoke", "bill", "serve"):
            self.assertTrue(self.run_cli("help", command).stdout)

    def test_no_colour_when_not_on_a_terminal(self):
        for arguments in (("list",), ("ping",), ("bill", "--state", self.engine.state)):
            self.assertNotIn(b"\x1b", self.run_cli(*arguments).stdout)


if __name__ == "__main__":
    unittest.main()
