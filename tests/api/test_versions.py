"""Versions and aliases with real instances: who runs, what it is told, and moving under load."""
import collections
import json
import threading
import unittest

from support.engine import Engine, zip_of

ARN = "arn:aws:lambda:us-east-1:123456789012:function:"
TELLS = """
import os
def handler(event, context):
    return {{
        "code": {number},
        "version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
        "context_version": context.function_version,
        "arn": context.invoked_function_arn,
        "stream": os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
        "setting": os.environ.get("SETTING"),
        "pid": os.getpid(),
    }}
"""


def package(number: int) -> bytes:
    return zip_of({"main.py": TELLS.format(number=number)})


class Versions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine()
        cls.addClassCleanup(cls.engine.__exit__, None, None, None)
        cls.engine.__enter__()

    def ok(self, operation, request, blob=b"", status=200):
        answer = self.engine.control(operation, request, blob)
        self.assertEqual(answer.status, status, answer)
        return answer.json if answer.payload else None

    def call(self, name, qualifier=""):
        answer = self.engine.invoke(name, {}, qualifier=qualifier)
        self.assertEqual(answer.status, 200, answer)
        return answer, json.loads(answer.payload)

    def publish(self, name, number):
        """Code and environment of that number, as the version of that number."""
        self.ok("UpdateFunctionCode", {"FunctionName": name}, package(number))
        self.ok("UpdateFunctionConfiguration", {
            "FunctionName": name, "Environment": {"Variables": {"SETTING": str(number)}}})
        made = self.ok("PublishVersion", {"FunctionName": name}, status=201)
        self.assertEqual(made["Version"], str(number))

    def make(self, name, count):
        self.engine.create(name, {"main.py": TELLS.format(number=0)})
        for number in range(1, count + 1):
            self.publish(name, number)

    def test_what_a_version_is_told(self):
        self.make("told", 2)
        self.ok("CreateAlias", {"FunctionName": "told", "Name": "live", "FunctionVersion": "1"},
                status=201)
        for qualifier, version, code in (("", "$LATEST", 2), ("$LATEST", "$LATEST", 2),
                                         ("1", "1", 1), ("2", "2", 2), ("live", "1", 1)):
            with self.subTest(qualifier=qualifier):
                answer, said = self.call("told", qualifier)
                self.assertEqual(answer.version, version)
                self.assertEqual(said["version"], version)
                self.assertEqual(said["context_version"], version)
                self.assertEqual((said["code"], said["setting"]), (code, str(code)))
                suffix = f":{qualifier}" if qualifier else ""
                self.assertEqual(said["arn"], f"{ARN}told{suffix}")
                self.assertIn(f"[{version}]", said["stream"])
        # The qualifier may be part of the name; it is told in the same way.
        self.assertEqual(self.call("told:live")[1]["arn"], f"{ARN}told:live")
        # An alias shares the instances of its version.
        self.assertEqual(self.call("told", "live")[1]["pid"], self.call("told", "1")[1]["pid"])
        log = self.engine.invoke("told", {}, qualifier="2").log
        self.assertIn("Version: 2\n", log)
        self.engine.delete("told")
        self.assertEqual(self.engine.invoke("told", {}, qualifier="1").status, 404)

    def test_moving_an_alias_and_latest_under_load_loses_nothing(self):
        self.make("moving", 2)
        self.ok("CreateAlias", {"FunctionName": "moving", "Name": "live", "FunctionVersion": "1"},
                status=201)
        ending = threading.Event()
        seen = collections.defaultdict(set)  # (stream of the instance) -> what it said it was
        counts = collections.Counter()
        failures = []

        def load(qualifier):
            with self.engine.connect() as connection:
                while not ending.is_set():
                    answer = connection.invoke("moving", {}, qualifier=qualifier)
                    if answer.status != 200 or answer.error_code:
                        failures.append(answer)
                        return
                    said = json.loads(answer.payload)
                    counts[qualifier, said["version"]] += 1
                    seen[said["stream"]].add(
                        (answer.version, said["version"], said["code"], said["setting"]))

        threads = [threading.Thread(target=load, args=(qualifier,))
                   for qualifier in ("live", "live", "", "")]
        for thread in threads:
            thread.start()
        try:
            for turn in range(12):
                self.ok("UpdateAlias", {"FunctionName": "moving", "Name": "live",
                                        "FunctionVersion": str(1 + turn % 2)})
                self.ok("UpdateFunctionCode", {"FunctionName": "moving"}, package(10 + turn))
                before = sum(counts.values())
                while sum(counts.values()) < before + 20 and not failures:
                    ending.wait(0.005)
        finally:
            ending.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        for stream, said in seen.items():
            self.assertEqual(len(said), 1, f"instance {stream} answered as {said}")
        self.assertGreater(counts["live", "1"], 0)
        self.assertGreater(counts["live", "2"], 0)
        self.assertGreater(counts["", "$LATEST"], 0)
        self.assertEqual(set(counts), {("live", "1"), ("live", "2"), ("", "$LATEST")})
        self.engine.delete("moving")

    def test_a_weighted_alias_splits(self):
        self.make("split", 2)
        self.ok("CreateAlias", {
            "FunctionName": "split", "Name": "canary", "FunctionVersion": "1",
            "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.3}}}, status=201)
        counts = collections.Counter()
        for _ in range(400):
            answer, said = self.call("split", "canary")
            self.assertEqual(answer.version, said["version"])
            self.assertEqual(said["arn"], f"{ARN}split:canary")
            counts[answer.version] += 1
        # 400 draws of 0.3: the mean is 120, six standard deviations are 55.
        self.assertLess(abs(counts["2"] - 120), 56, counts)
        self.engine.delete("split")

    def test_reserved_concurrency_is_shared_by_versions(self):
        waits = "import threading\ndef handler(e, c):\n    threading.Event().wait(e['s'])\n"
        self.engine.create_python("shared", waits, Timeout=20)
        self.ok("PublishVersion", {"FunctionName": "shared"}, status=201)
        self.ok("PutFunctionConcurrency",
                {"FunctionName": "shared", "ReservedConcurrentExecutions": 1})
        with self.engine.connect() as connection:
            waiting = connection.send_invoke("shared", {"s": 1.5}, qualifier="1")
            # Frames of a connection are admitted in order, and refused at once.
            connection.send_invoke("shared", {"s": 0})
            other = connection.receive()
            self.assertEqual((other.status, other.error_code), (429, "TooManyRequestsException"))
            self.assertEqual(json.loads(other.payload)["Reason"],
                             "ReservedFunctionConcurrentInvocationLimitExceeded")
            answered = connection.receive()
            self.assertEqual((answered.correlation, answered.status), (waiting, 200))
        self.ok("PutFunctionConcurrency",
                {"FunctionName": "shared", "ReservedConcurrentExecutions": 0})
        self.assertEqual(self.engine.invoke("shared", {"s": 0}, qualifier="1").status, 429)
        self.engine.delete("shared")


if __name__ == "__main__":
    unittest.main()
