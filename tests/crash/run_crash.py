#!/usr/bin/python3
"""kill -9 of each part of a running engine, at random instants under load; reports in TAP.

run_crash.py [--rounds N] [--seed N] [--kinds KIND,...]: N rounds (HAKO_CRASH_ROUNDS, 200) go
through the kinds of kill in random order. After each: the engine serves again, every answer was
right or an error, and nothing of what was killed is left.
"""
import argparse
import collections
import contextlib
import os
import random
import signal
import statistics
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "api")]
# pylint: disable=wrong-import-position
from machinery import Machinery, UID_BASE, empty_leaves, kill, odd_files, strangers  # noqa: E402
from storm import GONE, PYTHON, Storm  # noqa: E402
from support import leaks  # noqa: E402
from support.engine import Engine  # noqa: E402
from support.ledger import read_ledger  # noqa: E402

RECOVERY_S = 30.0
QUIET_ROUNDS = 3  # of the last test, which compares holdings

# Kind -> which processes are killed. Those of `RESTARTED` take the engine along, those of
# `RESPAWNED` only the spawner.
KINDS = {
    "engine": lambda parts, _: [parts.engine],
    "spawner": lambda parts, _: parts.spawners,
    "engine and spawner": lambda parts, _: [parts.engine, *parts.spawners],
    "engine, keeper and spawner": lambda parts, _: [parts.engine, *parts.keepers, *parts.spawners],
    "keeper": lambda parts, _: parts.keepers,
    "native zygote": lambda parts, _: parts.native_zygotes,
    "python zygote": lambda parts, _: parts.python_zygotes,
    "namespace helper": lambda parts, _: parts.helpers,
    "init": lambda parts, generator: [generator.choice(parts.inits)] if parts.inits else [],
}
KILLED_ENGINE = ("engine", "engine and spawner", "engine, keeper and spawner")
RESPAWNED = ("spawner", "namespace helper")
RESTARTED = (*KILLED_ENGINE, "keeper")


class Tap:
    def __init__(self) -> None:
        self.count = 0
        self.failed = False

    def case(self, title: str, problems: list[str]) -> None:
        self.count += 1
        self.failed = self.failed or bool(problems)
        for problem in problems[:20]:
            for line in problem.rstrip().splitlines()[-30:]:
                print(f"# {line}")
        print(f"{'not ok' if problems else 'ok'} {self.count} - {title}", flush=True)

    def check(self, title: str, engine: Engine, check, *arguments) -> None:
        try:
            self.case(title, check(engine, *arguments))
        except (AssertionError, OSError, EOFError):
            self.case(title, [f"{traceback.format_exc()}\n{engine.log()}"])

    def end(self) -> int:
        print(f"1..{self.count}")
        return 1 if self.failed else 0


def note(text: str) -> None:
    print(f"# {text}", flush=True)


class Crash:
    def __init__(self, engine: Engine, storm: Storm, generator: random.Random) -> None:
        self.engine = engine
        self.storm = storm
        self.generator = generator
        self.problems: dict[str, list[str]] = collections.defaultdict(list)
        self.recovery_ms: dict[str, list[float]] = collections.defaultdict(list)
        self.errors_count: dict[str, list[int]] = collections.defaultdict(list)

    def round(self, number: int, kind: str) -> None:
        try:
            for problem in self.run_round(kind):
                self.problems[kind].append(f"round {number}: {problem}")
        except Exception:  # told below; the next rounds need an engine
            text = f"round {number}:\n{traceback.format_exc()}\n{self.engine.log()}"
            self.problems[kind].append(text)
            self.restore()

    def restore(self) -> None:
        """A working engine again, whatever this one is like."""
        if self.engine.process is not None:
            self.engine.signal(signal.SIGKILL)
            self.engine.wait()
        self.engine.start()

    def run_round(self, kind: str) -> list[str]:
        self.storm.begin_round()
        threading.Event().wait(self.generator.uniform(0.05, 0.35))  # the random instant
        before = Machinery(self.engine)
        victims = KINDS[kind](before, self.generator)
        doomed = self.doomed(kind, before, victims)
        old_namespaces = before.namespaces() if kind in RESTARTED else set()
        number = self.engine.status()["SpawnerNumber"]
        begun_s = time.monotonic()
        kill(victims)
        problems = self.await_engine(kind)
        if kind in RESPAWNED:  # else a sandbox that lives for another moment could answer
            self.await_spawner(number)
        self.await_service()
        self.recovery_ms[kind].append((time.monotonic() - begun_s) * 1000)
        seen = self.storm.end_round()
        self.errors_count[kind].append(len(seen.service_errors) + len(seen.function_errors))
        problems += self.check_answers(kind, seen)
        return problems + self.check_rest(before, doomed, old_namespaces)

    def doomed(self, kind: str, before: Machinery, victims: list[int]) -> dict[int, str]:
        """What must be dead afterwards: a sandbox's init with its worker, a spawner with all."""
        dead = set(victims)
        if kind in RESTARTED:
            dead = set(before.all)
        elif kind in RESPAWNED:
            dead = set(before.all) - {before.engine, *before.keepers}
        elif kind == "init":
            dead |= {pid for victim in victims for pid in leaks.descendants_of(victim)}
        return {pid: before.all[pid] for pid in dead if pid in before.all}

    def await_engine(self, kind: str) -> list[str]:
        """Starts it again where it ended, at once: the old spawner may still be cleaning up."""
        if kind not in RESTARTED:
            return []
        status = self.engine.wait()
        self.engine.start()
        wanted = -signal.SIGKILL if kind in KILLED_ENGINE else 1
        return [] if status == wanted else [f"the engine ended with {status}, not {wanted}"]

    def await_spawner(self, number: int) -> None:
        leaks.eventually(
            lambda: self.engine.status()["SpawnerNumber"] > number, "another spawner", RECOVERY_S
        )

    def await_service(self) -> None:
        """A call of each kind of function gets its right answer, over a new connection."""
        deadline_s = time.monotonic() + RECOVERY_S
        for name in ("native", "python"):
            event = {"do": "echo", "probe": f"{self.generator.getrandbits(64):x}"}
            answer = None
            while True:
                with contextlib.suppress(*GONE):
                    answer = self.engine.invoke(name, event)
                    if answer.status == 200 and not answer.function_error:
                        break
                assert time.monotonic() < deadline_s, f"{name} does not come back: {answer}"
                threading.Event().wait(0.005)
            assert answer.json == event, f"{name}: wrong answer {answer}"

    def check_answers(self, kind: str, seen) -> list[str]:
        problems = [f"wrong answer: {text}" for text in seen.wrong]
        # Only the call in the killed sandbox may blame the function; all else is the service's.
        allowed = 1 if kind == "init" else 0
        if len(seen.function_errors) > allowed:
            problems += [f"blamed on the function: {text}" for text in seen.function_errors]
        if kind not in RESTARTED and seen.connections_lost > 0:
            problems.append(f"{seen.connections_lost} connections lost although the engine lives")
        return problems

    def check_rest(
        self, before: Machinery, doomed: dict[int, str], old_namespaces: set[str]
    ) -> list[str]:
        problems = []
        for what, rest in (
            ("old processes", lambda: leaks.alive(doomed)),
            ("processes of no engine", lambda: strangers(self.engine, before, old_namespaces)),
            ("cgroups without processes", lambda: empty_leaves(self.engine.name)),
            ("mounts", lambda: leaks.mounts_below(self.engine.scratch)),
            ("temporary files", lambda: odd_files(self.engine)),
        ):
            try:
                leaks.eventually(lambda rest=rest: not rest(), what, 15)
            except AssertionError:
                problems.append(f"{what} left: {rest()}")
        return problems


def check_ledger(engine: Engine, storm: Storm) -> list[str]:
    """Each answer that a client has got is in the ledger, once, and says the same."""
    records = collections.defaultdict(list)
    for record in read_ledger(engine.state):
        records[record.request_id].append(record)
    problems = []
    for request_id, function_error in storm.acknowledged.items():
        found = records[request_id]
        if len(found) != 1:
            problems.append(f"{request_id}: {len(found)} ledger records")
        elif (found[0].outcome == "ok") == function_error:
            problems.append(f"{request_id}: answer and record differ: {found[0]}")
    note(f"{len(storm.acknowledged)} answers, {sum(map(len, records.values()))} ledger records")
    return problems


def check_holdings(engine: Engine) -> list[str]:
    """Spawner after spawner, engine and spawner hold what they held before."""
    def at_rest():
        try:
            leaks.eventually(lambda: engine.status()["Instances"] == 1, "", 20)
        except AssertionError:
            raise AssertionError(f"not one instance only: {engine.status()}") from None
        return engine.settled_holdings()
    engine.control("PutProvisionedConcurrencyConfig", {
        "FunctionName": "native", "Qualifier": "$LATEST", "ProvisionedConcurrentExecutions": 1,
    })
    before = at_rest()
    for _ in range(QUIET_ROUNDS):
        number = engine.status()["SpawnerNumber"]
        kill(Machinery(engine).spawners)
        leaks.eventually(lambda: engine.status()["SpawnerNumber"] > number, "another spawner", 20)
        # Nobody calls: the provisioned instance comes back by itself.
        leaks.eventually(lambda: ready_count(engine) == 1, "the provisioned instance", 20)
    after = at_rest()
    return [] if after == before else [f"held {before}, now {after}"]


def ready_count(engine: Engine) -> int:
    request = {"FunctionName": "native", "Qualifier": "$LATEST"}
    answer = engine.control("GetProvisionedConcurrencyConfig", request)
    return answer.json.get("AvailableProvisionedConcurrentExecutions", 0)


def check_giving_up(engine: Engine) -> list[str]:
    """A spawner that dies at once again and again: the keeper gives up, the engine drains."""
    deadline_s = time.monotonic() + 60
    while not leaks.wait_for_exit(engine.pidfd, 0.002):
        if time.monotonic() > deadline_s:
            return [f"still there after 60 s:\n{engine.log()}"]
        kill(Machinery(engine).spawners)
    engine.note_processes()
    status = engine.wait()
    log = leaks.read_text(engine.log_path)
    problems = [] if status == 1 else [f"exit status {status}"]
    return problems if "giving up" in log else [*problems, f"no reason in the log:\n{log[-2000:]}"]


def say_figures(crash: Crash) -> None:
    for kind, times in sorted(crash.recovery_ms.items()):
        note(
            f"{kind}: {len(times)} kills, back after {min(times):.0f} / "
            f"{statistics.median(times):.0f} / {max(times):.0f} ms (least, median, most), "
            f"{sum(crash.errors_count[kind])} calls ended with an error"
        )


def run(options: argparse.Namespace) -> int:
    tap = Tap()
    generator = random.Random(options.seed)
    note(f"seed {options.seed}, {options.rounds} rounds")
    kinds = options.kinds.split(",") if options.kinds else list(KINDS)
    order = [kinds[number % len(kinds)] for number in range(options.rounds)]
    generator.shuffle(order)
    with Engine(sandbox_uid_base=UID_BASE, idle_timeout_s=1, pool_executable=0) as engine:
        engine.create_python("python", PYTHON, Timeout=20)
        engine.create_probe("native", Timeout=20)
        with Storm(engine, options.seed) as storm:
            crash = Crash(engine, storm, generator)
            for number, kind in enumerate(order, 1):
                crash.round(number, kind)
        for kind in kinds:
            tap.case(f"kill -9 of {kind}", crash.problems[kind])
        say_figures(crash)
        note(f"{storm.calls_count} calls")
        tap.check("every answer has its ledger record", engine, check_ledger, storm)
        tap.check("spawners come and go without a leak", engine, check_holdings)
        tap.check("a spawner that never stays up", engine, check_giving_up)
        engine.assert_nothing_left()
        engine.start()
    tap.case("nothing left after the last stop", [])
    return tap.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    rounds = int(os.environ.get("HAKO_CRASH_ROUNDS", "200"))
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--kinds", default="", help="only these, separated by commas")
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
