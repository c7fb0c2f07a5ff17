#!/usr/bin/python3
"""hako_load against frame_echo: it measures what it should and notices what it must.

usage: load_generator_test.py HAKO_LOAD FRAME_ECHO
"""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

HAKO_LOAD, FRAME_ECHO = sys.argv[1:3]
RUN_S = 60


class Echo:
    """A running frame_echo."""

    def __init__(self, *arguments):
        self._directory = tempfile.TemporaryDirectory(prefix="hako-load-test-")
        self.path = pathlib.Path(self._directory.name) / "echo.sock"
        self._process = subprocess.Popen(
            [FRAME_ECHO, "--socket", self.path, "--announce", *arguments], stdout=subprocess.PIPE
        )
        assert self._process.stdout.readline() == b"ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(RUN_S)
        self._process.stdout.close()
        self._directory.cleanup()
        assert status == 0, f"frame_echo ended with {status}"

    def load(self, mode, *arguments):
        return subprocess.run(
            [HAKO_LOAD, mode, "--socket", self.path, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=RUN_S,
        )


class LoadGenerator(unittest.TestCase):
    def measured(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        line = json.loads(done.stdout)
        self.assertEqual(line["errors"], 0)
        self.assertLessEqual(line["min_us"], line["p50_us"])
        self.assertLessEqual(line["p50_us"], line["p999_us"])
        self.assertLessEqual(line["p999_us"], line["max_us"])
        return line

    def test_closed_loop_measures_exactly_the_count(self):
        with Echo() as echo:
            for connections, in_flight in ((1, 1), (1, 32), (4, 8)):
                done = echo.load(
                    "warm", "--function", "f", "--count", 5000, "--warmup", 100,
                    "--connections", connections, "--in-flight", in_flight,
                )
                self.assertEqual(self.measured(done)["n"], 5000)

    def test_answers_in_another_order_are_matched(self):
        with Echo("--reverse") as echo:
            done = echo.load("warm", "--function", "f", "--count", 5000, "--in-flight", 32)
            self.assertEqual(self.measured(done)["n"], 5000)

    def test_payload_sizes_from_the_smallest_to_six_mebibytes(self):
        with Echo() as echo:
            for size in (3, 16, 64, 4096, 1 << 20, 6 << 20):
                done = echo.load(
                    "warm", "--function", "f", "--count", 8, "--in-flight", 4,
                    "--payload-bytes", size,
                )
                self.assertEqual(self.measured(done)["payload_bytes"], size)

    def test_spoilt_echo_is_an_error_and_not_a_latency(self):
        with Echo("--corrupt-every", "100") as echo:
            done = echo.load("warm", "--function", "f", "--count", 1000)
            self.assertEqual(done.returncode, 1)
            line = json.loads(done.stdout)
            self.assertEqual((line["errors"], line["n"]), (10, 990))
            self.assertIn("10 wrong answers", done.stderr)

    def test_open_loop_keeps_its_rate(self):
        with Echo() as echo:
            done = echo.load("warm", "--function", "f", "--count", 2000, "--rate", 4000,
                             "--in-flight", 1000)
            line = self.measured(done)
            self.assertEqual(line["mode"], "open")
            # 2000 requests at 4000 a second cannot be sent in less; a loaded machine takes longer.
            self.assertGreaterEqual(line["seconds"], 0.499)

    def test_open_loop_counts_a_stall_in_every_request_it_delays(self):
        # With one request outstanding at most and 50 ms for each answer, request i waits for i
        # others: a closed loop would report 50 ms for all, coordinated omission hides the queue.
        with Echo("--delay-ms", "50") as echo:
            done = echo.load("warm", "--function", "f", "--count", 10, "--rate", 1000,
                             "--in-flight", 1)
            line = self.measured(done)
            self.assertGreaterEqual(line["min_us"], 50_000 * 0.99)
            self.assertGreaterEqual(line["max_us"], 10 * 50_000 - 10_000)

    def test_cold_mode_calls_each_function_once(self):
        with Echo() as echo, tempfile.NamedTemporaryFile() as package:
            package.write(b"code")
            package.flush()
            done = echo.load(
                "cold", "--package", package.name, "--create-json", '{"FunctionName":"@NAME@"}',
                "--count", 60, "--gap-ms", 0,
            )
            line = self.measured(done)
            self.assertEqual((line["n"], line["cold_count"]), (60, 60))

    def test_dead_server_is_an_error(self):
        with tempfile.TemporaryDirectory() as directory:
            done = subprocess.run(
                [HAKO_LOAD, "warm", "--socket", f"{directory}/none", "--function", "f",
                 "--count", "1"],
                capture_output=True, text=True, timeout=RUN_S,
            )
            self.assertEqual(done.returncode, 2)
            self.assertIn("connect", done.stderr)

    def test_silent_server_is_a_timeout(self):
        with Echo("--delay-ms", "3000") as echo:
            done = echo.load("warm", "--function", "f", "--count", 1, "--stall-ms", 100)
            self.assertEqual(done.returncode, 2)
            self.assertIn("--stall-ms", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
