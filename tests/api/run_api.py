#!/usr/bin/python3
"""Runs test_*.py of this folder, each class in a process of its own, and reports in TAP.

run_api.py [--folder NAME] [--jobs N] [PATTERN...]: only classes or tests whose id has PATTERN.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
CLASS_SECONDS = 150 * float(os.environ.get("HAKO_TEST_TIME_SCALE", "1"))


class JsonResult(unittest.TestResult):
    """Writes one JSON line per finished test, so that a crash loses nothing before it."""

    def emit(self, test, outcome: str, text: str = "") -> None:
        print(json.dumps({"id": test.id(), "outcome": outcome, "text": text}), flush=True)

    def addSuccess(self, test) -> None:
        super().addSuccess(test)
        self.emit(test, "passed")

    def addFailure(self, test, err) -> None:
        super().addFailure(test, err)
        self.emit(test, "failed", self.failures[-1][1])

    def addError(self, test, err) -> None:
        super().addError(test, err)
        self.emit(test, "failed", self.errors[-1][1])

    def addSkip(self, test, reason) -> None:
        super().addSkip(test, reason)
        self.emit(test, "skipped", reason)

    def addSubTest(self, test, subtest, err) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            source = self.failures if issubclass(err[0], test.failureException) else self.errors
            self.emit(subtest, "failed", source[-1][1])

    def addExpectedFailure(self, test, err) -> None:
        self.emit(test, "failed", "expected failures are not allowed")

    def addUnexpectedSuccess(self, test) -> None:
        self.emit(test, "failed", "expected failures are not allowed")


def tests_in(suite) -> list[unittest.TestCase]:
    found = []
    for item in suite:
        found += tests_in(item) if isinstance(item, unittest.TestSuite) else [item]
    return found


def load(folder: str) -> list[unittest.TestCase]:
    loader = unittest.TestLoader()
    found = tests_in(loader.discover(folder, pattern="test_*.py", top_level_dir=folder))
    if loader.errors:
        raise SystemExit("\n".join(loader.errors))
    return found


def wanted(test: unittest.TestCase, patterns: list[str]) -> bool:
    return not patterns or any(pattern in test.id() for pattern in patterns)


def class_id(test: unittest.TestCase) -> str:
    return test.id().rpartition(".")[0]


def run_class(folder: str, name: str, ids: list[str]) -> list[dict]:
    """Runs one class in a child that leads its own process group, and reads what it reports."""
    command = [sys.executable, os.path.abspath(__file__), "--folder", folder, "--child", *ids]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, text=True,
    ) as child:
        try:
            out, err = child.communicate(timeout=CLASS_SECONDS)
            ending = "" if child.returncode == 0 else f"exit status {child.returncode}"
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            ending = f"over {CLASS_SECONDS:.0f} s"
    results = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    reported = {result["id"] for result in results}
    if ending or not reported.issuperset(ids):
        missing = [test for test in ids if test not in reported]
        broken = any(result["outcome"] == "failed" for result in results)
        if ending or (missing and not broken):
            text = f"{ending}; not finished: {', '.join(missing)}\n{err}"
            results.append({"id": name, "outcome": "failed", "text": text})
    return results


def print_tap(number: int, result: dict) -> None:
    if result["outcome"] == "failed":
        for line in result["text"].rstrip().splitlines()[-40:]:
            print(f"# {line}")
    word = "not ok" if result["outcome"] == "failed" else "ok"
    title = result["id"].replace("#", "_").replace("\n", " ")
    skip = f" # SKIP {result['text']}" if result["outcome"] == "skipped" else ""
    print(f"{word} {number} - {title}{skip}", flush=True)


def run_all(options: argparse.Namespace, folder: str) -> int:
    classes = collections.defaultdict(list)
    for test in load(folder):
        if wanted(test, options.patterns):
            classes[class_id(test)].append(test.id())
    count, failed = 0, False
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = [pool.submit(run_class, options.folder, *item) for item in classes.items()]
        for run in concurrent.futures.as_completed(runs):
            for result in run.result():
                count += 1
                failed = failed or result["outcome"] == "failed"
                print_tap(count, result)
    print(f"1..{count}")
    return 1 if failed else 0


def run_child(options: argparse.Namespace, folder: str) -> int:
    suite = unittest.TestSuite(test for test in load(folder) if test.id() in options.patterns)
    suite.run(JsonResult())
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default=".", help="below tests/api")
    parser.add_argument("--jobs", type=int, default=4, help="classes at the same time")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("patterns", nargs="*")
    options = parser.parse_args()
    folder = os.path.normpath(os.path.join(HERE, options.folder))
    sys.path[:0] = [HERE, folder]
    return run_child(options, folder) if options.child else run_all(options, folder)


if __name__ == "__main__":
    sys.exit(main())
