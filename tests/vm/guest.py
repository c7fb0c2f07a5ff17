#!/usr/bin/python3
"""What tests/vm/run runs in its guest: the sandbox and API suites on cgroup v2, reported in TAP.

guest.py [PATTERN...]: only cases whose name has a PATTERN, out of all. Without one it runs the
short form below, or everything with HAKO_VM_FULL=1.
"""
import json
import os
import re
import subprocess
import sys
import time

BUILD = os.environ["HAKO_BUILD_ROOT"]
SOURCE = os.environ["HAKO_SOURCE_ROOT"]
CGROUPS = "/sys/fs/cgroup"
SPAWNER = os.path.join(BUILD, "sandbox", "hako-spawner")

# gtest filters by program. The short form leaves out what is long and says little about cgroups.
SANDBOX_SUITE = ("life", "spawner", "engine_filter", "inside", "walls")
PROGRAMS = ["vm/cgroup_v2_test"] + [f"sandbox/sandbox_{name}_test" for name in SANDBOX_SUITE]
PROGRAMS.append("ring/ring_test")  # io_uring as of 6.1: no futex operations
SANDBOX_ALL = dict.fromkeys(PROGRAMS, "*")
SANDBOX_SHORT = SANDBOX_ALL | {
    # Of the real runtimes Python; Java alone takes most of a minute.
    "sandbox/sandbox_inside_test": "Inside.*:*RunsUnderThePolicy/0",
}
# In order of what they say about version 2; each line is one run of run_api.py: folder, patterns.
API_SHORT = [
    (".", ["Freeze", "Timeouts", "Exits.test_crash", "OutOfMemory", "Accounting.test_ledger",
           "Accounting.test_cpu", "CommandLine.test_quick_start", "Draining.test_sigterm",
           "Restart.test_a_start_cleans_up"]),
    ("../fair", ["Shares.test_one_to_two", "Memory"]),
    (".", ["test_examples", "survives_kill_9", "Retirement.test_idle", "Draining.test_the_drain"]),
]
# Under attack a neighbour's latency says nothing where every instruction is emulated.
API_FULL = [(".", []), ("../fair", ["Shares", "Cap", "Memory", "Answers"])]

SLOW_MS = 3000
GTEST_END = re.compile(r"^\[\s+(OK|FAILED|SKIPPED)\s+\] (\S+)(?:, where .*)? \((\d+) ms\)$")
GTEST_RUN = re.compile(r"^\[ RUN      \] (\S+)$")
TAP_END = re.compile(r"^(not )?ok \d+ - (.*?)(?: # SKIP (.*))?$")


class Report:
    """TAP lines, each as soon as its case has ended, so that a stopped guest loses none."""

    def __init__(self) -> None:
        self.count = 0
        self.failed = False

    def case(self, name: str, failure: str = "", skip: str = "") -> None:
        self.count += 1
        for line in failure.rstrip().splitlines()[-40:]:
            self.note(line)
        self.failed = self.failed or bool(failure)
        word = "not ok" if failure else "ok"
        print(f"{word} {self.count} - {name}{f' # SKIP {skip}' if skip else ''}", flush=True)

    def note(self, line: str) -> None:
        print(f"# {line}", flush=True)

    def took(self, what: str, started_s: float) -> None:
        self.note(f"{what} took {time.monotonic() - started_s:.1f} s")


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def check_kernel(report: Report) -> None:
    """The guest is what it is for: cgroup v2 alone, and a kernel older than the host's may be."""
    mounts = [line.rpartition(" - ")[2].split()[0] for line in open("/proc/self/mountinfo")]
    wrong = "" if mounts.count("cgroup2") == 1 and "cgroup" not in mounts else f"mounts: {mounts}"
    report.case("kernel.OnlyCgroupV2IsMounted", wrong)
    done = subprocess.run([SPAWNER, "--probe", "--json"], capture_output=True, text=True)
    report.note(f"{os.uname().release}: {done.stdout.strip()}")
    try:
        features = json.loads(done.stdout)
        good = features["cgroup_version"] == 2 and features["missing"] is None
        have = set(features["cgroup_controllers"].split(","))
        good = good and {"cpu", "memory", "pids", "freezer"} <= have
    except ValueError:
        good = False
    report.case("kernel.ProbeFindsAllOfVersion2", "" if good else done.stdout + done.stderr)


def lines_of(command: list[str], environment: dict):
    """Lines of a program's output as they come; its exit status is the last item."""
    with subprocess.Popen(
        command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as program:
        yield from (line.rstrip("\n") for line in program.stdout)
        yield program.wait()


def run_gtest(report: Report, program: str, gtest_filter: str) -> None:
    started_s = time.monotonic()
    tests = os.path.join(BUILD, "tests")
    environment = {
        "HAKO_ESCAPE_TABLE": os.path.join(SOURCE, "tests", "escape", "attempts.txt"),
        "HAKO_SPAWNER": SPAWNER, "HAKO_PROBE_ZYGOTE": os.path.join(tests, "sandbox/probe_zygote"),
    }
    suite, name = program.split("/")
    command = [os.path.join(tests, program), "--gtest_color=no", f"--gtest_filter={gtest_filter}"]
    notes, running, failed, status = [], "", False, 0
    for line in lines_of(command, environment):
        if isinstance(line, int):
            status = line
        elif started := GTEST_RUN.match(line):
            running, notes = started.group(1), []
        elif running and (ended := GTEST_END.match(line)):
            word, text = ended.group(1), "\n".join(notes)
            failed = failed or word == "FAILED"
            report.case(
                f"{suite}.{ended.group(2)}", text or "failed" if word == "FAILED" else "",
                notes[-1] if word == "SKIPPED" and notes else "",
            )
            if int(ended.group(3)) >= SLOW_MS:
                report.note(f"it took {int(ended.group(3)) / 1000:.1f} s")
            running = ""
        else:
            notes.append(line)
    if status != 0 and not failed:
        report.case(f"{suite}.{running or name}", "\n".join(notes) + f"\nexit status {status}")
    report.took(name, started_s)


def run_api(report: Report, folder: str, patterns: list[str]) -> None:
    name = os.path.basename(os.path.normpath(os.path.join("api", folder)))
    started_s = time.monotonic()
    program = os.path.join(SOURCE, "tests", "api", "run_api.py")
    notes, failed, status = [], False, 0
    command = [sys.executable, program, "--folder", folder, "--jobs", "2", *patterns]
    for line in lines_of(command, {}):
        if isinstance(line, int):
            status = line
        elif ended := TAP_END.match(line):
            bad, title, skip = ended.groups()
            failed = failed or bool(bad)
            report.case(f"{name}.{title}", "\n".join(notes) or "failed" if bad else "", skip or "")
            notes = []
        elif not line.startswith("1.."):
            notes.append(line.removeprefix("# "))
    if status != 0 and not failed:
        report.case(name, "\n".join(notes) + f"\nexit status {status}")
    report.took(name, started_s)


def run_escape(report: Report) -> None:
    """Every attempt to get out, against the walls as version 2 makes them."""
    started_s = time.monotonic()
    program = os.path.join(SOURCE, "tests", "escape", "run")
    notes, status = [], 0
    for line in lines_of([sys.executable, program], {}):
        if isinstance(line, int):
            status = line
        elif ended := TAP_END.match(line):
            bad, title, skip = ended.groups()
            report.case(f"escape.{title}", "\n".join(notes) or "failed" if bad else "", skip or "")
            notes = []
        elif not line.startswith("1.."):
            notes.append(line.removeprefix("# "))
    report.case("escape.ends", f"exit status {status}" if status else "")
    report.took("escape", started_s)


def check_nothing_left(report: Report) -> None:
    left = [name for name in os.listdir(CGROUPS) if os.path.isdir(os.path.join(CGROUPS, name))]
    report.case("kernel.NoCgroupIsLeft", f"left in {CGROUPS}: {left}" if left else "")


def main() -> int:
    patterns, full = sys.argv[1:], bool(os.environ.get("HAKO_VM_FULL"))
    report = Report()
    check_kernel(report)
    sandbox, api = (SANDBOX_ALL, API_FULL) if full else (SANDBOX_SHORT, API_SHORT)
    if patterns:
        sandbox = dict.fromkeys(PROGRAMS, ":".join(f"*{pattern}*" for pattern in patterns))
        api = [(".", patterns), ("../fair", patterns)]
    # A part is begun only while there is time to end it; on a machine at rest there always is.
    begin_before_s = time.monotonic() + float(os.environ["HAKO_VM_SECONDS"]) * 0.6
    parts = [(name, lambda name=name: run_gtest(report, name, sandbox[name])) for name in PROGRAMS]
    calls = [
        (f"api {folder} {' '.join(names)}", lambda item=(folder, names): run_api(report, *item))
        for folder, names in api
    ]
    if full and not patterns:
        calls.append(("escape", lambda: run_escape(report)))
    for name, run in parts[:2] + calls[:2] + parts[2:] + calls[2:]:
        if time.monotonic() < begin_before_s:
            run()
        else:
            report.case(name, skip="the machine is too busy: no time left to run this part")
    check_nothing_left(report)
    print(f"1..{report.count}", flush=True)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
