"""tools/tally on real meson runs of small projects: nothing is counted twice or lost."""
import os
import subprocess
import tempfile
import unittest

TALLY = os.path.join(os.environ["HAKO_SOURCE_ROOT"], "tools", "tally")

TAP = """print('1..3')
print('ok 1 - fine')
print('# because of this')
print('not ok 2 - bad')
print('ok 3 - left out # SKIP no root')
"""


class Tally(unittest.TestCase):
    def run_project(self, tests: str, files: dict[str, str]) -> tuple[int, list[str]]:
        """Makes a meson project of Python programs, runs its tests and tallies them."""
        with tempfile.TemporaryDirectory() as folder:
            head = "project('t')\npy = find_program('/usr/bin/python3')\n"
            for name, text in (files | {"meson.build": head + tests}).items():
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(text)
            build = os.path.join(folder, "build")
            quiet = {"check": True, "capture_output": True, "timeout": 60}
            subprocess.run(["meson", "setup", build, folder], **quiet)
            subprocess.run(
                ["meson", "test", "-C", build, "--no-rebuild"], **quiet | {"check": False}
            )
            log = os.path.join(build, "meson-logs", "testlog.json")
            done = subprocess.run(
                [TALLY, "--build-dir", build, log], capture_output=True, text=True, check=False,
                timeout=30,
            )
            return done.returncode, done.stdout.splitlines()

    def test_tap_cases_are_counted_one_by_one(self):
        status, lines = self.run_project(
            "test('tap', py, args: files('tap.py'), protocol: 'tap')\n", {"tap.py": TAP}
        )
        self.assertEqual(status, 1)
        self.assertEqual(lines[-1], "1 passed, 1 failed, 1 skipped")
        self.assertIn("skipped: tap left out: no root", lines)
        self.assertIn("FAILED: tap bad", lines)
        self.assertIn("    because of this", lines)

    def test_a_program_that_stops_early_or_crashes_has_failed(self):
        files = {
            "short.py": "print('1..2')\nprint('ok 1 - a')\n",
            "crash.py": "import os\nprint('1..2', flush=True)\nos.abort()\n",
            "slow.py": "import signal\nsignal.pause()\n",
        }
        status, lines = self.run_project(
            "test('short', py, args: files('short.py'), protocol: 'tap')\n"
            "test('crash', py, args: files('crash.py'), protocol: 'tap')\n"
            "test('slow', py, args: files('slow.py'), timeout: 1)\n",
            files,
        )
        self.assertEqual((status, lines[-1]), (1, "1 passed, 3 failed"))
        self.assertTrue(any("killed by signal 6" in line for line in lines), lines)
        self.assertTrue(any("timed out after 1 s" in line for line in lines), lines)

    def test_exit_status_77_is_a_skip_with_a_reason(self):
        status, lines = self.run_project(
            "test('skips', py, args: ['-c', 'print(\"needs a moon\"); raise SystemExit(77)'])\n"
            "test('passes', py, args: ['-c', ''])\n",
            {},
        )
        self.assertEqual(status, 0)
        self.assertEqual(
            lines, ["skipped: skips: needs a moon", "1 passed, 0 failed, 1 skipped"]
        )

    def test_without_skips_the_line_has_two_numbers(self):
        status, lines = self.run_project("test('passes', py, args: ['-c', ''])\n", {})
        self.assertEqual((status, lines), (0, ["1 passed, 0 failed"]))


if __name__ == "__main__":
    unittest.main()
