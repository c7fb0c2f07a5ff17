"""`hako doctor` with spawners that are played by a script: cli_doctor_test.py HAKO."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

HAKO = sys.argv.pop(1)
GOOD = {"root": True, "user_namespace": True, "new_thing": True, "landlock_abi": 3,
        "cgroup_version": 2, "cgroup_controllers": "cpu,memory", "missing": None}


class Doctor(unittest.TestCase):
    def run_doctor(self, text: str, *flags: str) -> subprocess.CompletedProcess:
        with tempfile.TemporaryDirectory() as folder:
            spawner = os.path.join(folder, "spawner")
            with open(spawner, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\n[ \"$1\" = --probe ] || exit 9\ncat <<'X'\n{text}\nX\n")
            os.chmod(spawner, 0o700)
            return subprocess.run([HAKO, "doctor", *flags], capture_output=True, text=True,
                                  timeout=60, env=dict(os.environ, HAKO_SPAWNER=spawner))

    def test_can_run_if_all_that_is_needed_is_there(self) -> None:
        done = self.run_doctor(json.dumps(GOOD), "--json")
        report = json.loads(done.stdout)
        checks = {check["name"]: check for check in report["checks"]}
        missing = [name for name, check in checks.items() if check["needed"] and not check["there"]]
        self.assertEqual(report["can_run"], not missing, report["reason"])
        self.assertEqual(done.returncode, 1 if missing else 0)
        self.assertEqual(checks["Landlock"]["value"], "ABI 3")
        self.assertTrue(checks["new_thing"]["there"])
        self.assertFalse(checks["cgroup pids"]["there"])
        self.assertIn("io_uring", checks)
        self.assertIn("vm.max_map_count", checks)

    def test_says_what_the_kernel_lacks(self) -> None:
        done = self.run_doctor(json.dumps(GOOD | {"user_namespace": False,
                                                  "missing": "user_namespace"}))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.splitlines()[-1],
                         "hako cannot run: the kernel lacks user_namespace.")
        self.assertRegex(done.stdout, r"user namespaces +MISSING")

    def test_without_root_and_user_namespaces_says_so(self) -> None:
        done = self.run_doctor(json.dumps(GOOD | {"root": False, "missing": "user_namespace"}))
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot run: without root this machine refuses user_namespace", done.stdout)

    def test_names_the_missing_walls(self) -> None:
        probe = json.dumps(GOOD | {"root": False, "walls_missing": ["own-ids", "cpu-time", "new"]})
        walls = json.loads(self.run_doctor(probe, "--json").stdout)["walls_missing"]
        self.assertEqual([(wall["name"], wall["is_wall"]) for wall in walls],
                         [("own-ids", True), ("cpu-time", False)])
        done = self.run_doctor(probe)
        if done.returncode == 0:  # where all that hako needs is there
            self.assertIn("  own-ids: no user ids of their own for sandboxes;", done.stdout)
            self.assertTrue(done.stdout.endswith("hakod --allow-missing-walls own-ids\n"))

    def test_a_spawner_that_prints_no_json(self) -> None:
        done = self.run_doctor("hello")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--probe does not work: it prints no JSON", done.stdout)


if __name__ == "__main__":
    unittest.main()
