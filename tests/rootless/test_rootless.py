"""The engine without root: which walls it says are missing, and that all others hold."""
import itertools
import json
import os
import signal
import subprocess
import unittest

from support import leaks
from support.engine import SOURCE_ROOT, Engine, built_function
from support.ordinary import (
    HAS_SUBORDINATE_IDS, WITHOUT_CGROUPS, DelegatedCgroups, OrdinaryEngine, v1_mounts,
)

# Users that own nothing, with as many ids above each for its sandboxes.
_uids = itertools.count(300_000_000 + os.getpid() % 4000 * 300_000, 1)
WHO = """
import os
def handler(event, context):
    with open("/dev/null", "w") as null:
        null.write("x")
    with open("/proc/self/status") as file:
        status = dict(line.split(":\\t", 1) for line in file.read().splitlines())
    caps = {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    return {"uid": os.getuid(), "groups": os.getgroups(), "caps": caps,
            "seccomp": status["Seccomp"], "no_new_privs": status["NoNewPrivs"],
            "pids": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
            "root": sorted(os.listdir("/")), "host_name": os.uname().nodename,
            "interfaces": [line.split(":")[0].strip() for line in open("/proc/net/dev")][2:]
            if os.path.exists("/proc/net/dev") else []}
"""
TICKER = """
import os, threading, time
ticks = 0
def tick():
    global ticks
    pause = threading.Event()
    while True:
        ticks += 1
        pause.wait(0.001)
threading.Thread(target=tick, daemon=True).start()
def handler(event, context):
    return ticks
"""
ID = r"[0-9a-f-]{36}"


def inner_processes(engine: Engine, inner_pid: int) -> list[int]:
    """Those with that number in a pid namespace below the engine: 2 is where a function runs."""
    found = []
    for pid in leaks.descendants_of(engine.process.pid):
        for line in leaks.read_text(f"/proc/{pid}/status").splitlines():
            if line.startswith("NSpid:") and line.split()[2:] == [str(inner_pid)]:
                found.append(pid)
    return found


def uid_of(pid: int) -> int:
    lines = leaks.read_text(f"/proc/{pid}/status").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Uid:"))


def run_forbidden(command: list[str], environment: dict) -> subprocess.CompletedProcess:
    """In a user namespace of the test's that has all ids, and in which there may be no other."""
    # Twice a shell: only an exec with the ids mapped gives it root's capabilities.
    outer = 'echo && read go && exec sh -c "$0" sh "$@"'
    inner = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"'
    with subprocess.Popen(
        ["unshare", "--user", "sh", "-c", outer, inner, *command], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | environment,
    ) as process:
        process.stdout.readline()  # it is in there
        for kind in ("uid", "gid"):
            with open(f"/proc/{process.pid}/{kind}_map", "w", encoding="ascii") as file:
                file.write("0 0 4294967295")
        out, err = process.communicate("go\n", timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


class OrdinaryCase(unittest.TestCase):
    """One engine per class; `walls` is what it has to report as missing."""

    walls: list[str] = []
    settings: dict = {}

    @classmethod
    def options(cls) -> dict:
        return {}

    @classmethod
    def setUpClass(cls):
        settings = dict(cls.settings)
        walls = [name for name in cls.walls if name != "cpu-time"]
        if walls:
            settings["allow_missing_walls"] = ",".join(walls)
        cls.uid = next(_uids)
        cls.engine = OrdinaryEngine(uid=cls.uid, **cls.options(), **settings)
        cls.addClassCleanup(cls.engine.__exit__, None, None, None)
        cls.engine.__enter__()


class Running:
    """What holds in every form: for classes that are an OrdinaryCase, too."""

    def test_the_missing_walls_are_reported(self):
        self.assertEqual(self.engine.walls_missing(), self.walls)
        self.assertEqual(self.engine.status()["User"], "ordinary")
        log = leaks.read_text(self.engine.log_path).partition("engine ready")[0]
        for name in self.walls:
            self.assertEqual(log.count(f"={name}: "), 1, log)
        self.assertEqual(log.count(" walls "), len(self.walls), log)
        for process in leaks.descendants_of(self.engine.process.pid):
            self.assertNotEqual(uid_of(process), 0, "no process of it is root outside")

    def test_all_runtimes_run(self):
        self.engine.create_python("who", WHO)
        who = self.engine.result("who", {})
        self.assertEqual(who["uid"], 993)
        self.assertEqual(set(who["caps"].values()), {"0" * 16})
        self.assertEqual((who["seccomp"], who["no_new_privs"]), ("2", "1"))
        self.assertEqual(who["pids"], [1, 2])
        self.assertEqual(who["host_name"], "sandbox")
        self.assertNotIn("boot", who["root"])
        self.engine.create_probe("native")
        self.assertEqual(self.engine.result("native", {"do": "echo"}), {"do": "echo"})
        files = {"probe": built_function("probe")}
        self.engine.create("exe", files, runtime="executable", handler="probe")
        self.assertEqual(self.engine.result("exe", {})["count"], 1)
        self.assertEqual(self.engine.result("exe", {})["count"], 2)

    def test_failures_are_answered_as_ever(self):
        self.engine.create_probe("bad", Timeout=1)
        for event, error_type in (
            ({"a": "child", "do": "pause"}, "Sandbox.Timedout"),
            ({"do": "segv"}, "Runtime.ExitError"),
            ({"do": "exit", "n": 7}, "Runtime.ExitError"),
        ):
            with self.subTest(event):
                answer = self.engine.invoke("bad", event)
                self.assertEqual(answer.json["errorType"], error_type, answer)
                self.assertRegex(answer.log, rf"REPORT RequestId: {ID}\t.*Status: (timeout|error)")
                self.assertEqual(self.engine.result("bad", {})["count"], 1)

    def test_a_log_line_by_dev_stdout_arrives(self):
        self.engine.create_python(
            "out", "def handler(e, c):\n    open('/dev/stdout', 'w').write('by its name\\n')\n"
        )
        answer = self.engine.invoke("out", {})
        self.assertEqual(answer.status, 200)
        self.assertIn("by its name", self.engine.invoke("out", {}).log + answer.log)

    def test_sandboxes_have_ids_of_their_own_or_it_is_said(self):
        self.engine.create_python("one", "def handler(e, c):\n    return 1\n")
        self.engine.create_python("two", "def handler(e, c):\n    return 2\n")
        self.engine.result("one", {})
        self.engine.result("two", {})
        ids = [uid_of(pid) for pid in inner_processes(self.engine, 2)]
        self.assertGreaterEqual(len(ids), 2)
        if "own-ids" in self.walls:
            self.assertEqual(set(ids), {self.uid})
        else:
            self.assertEqual(len(set(ids)), len(ids))
            self.assertGreaterEqual(min(ids), self.engine.first_id)
            self.assertLess(max(ids), self.engine.first_id + self.engine.ids_count)

    def test_kill_9_of_the_spawner_leaves_nothing_of_it(self):
        self.engine.create_probe("again", Timeout=5)
        self.engine.result("again", {})
        engine_pid = self.engine.process.pid
        keeper = leaks.children_of(engine_pid)[0]
        spawner = leaks.children_of(keeper)[0]
        old = {pid: leaks.identity(pid) for pid in leaks.descendants_of(spawner) | {spawner}}
        number = self.engine.status()["SpawnerNumber"]
        os.kill(spawner, signal.SIGKILL)
        leaks.eventually(lambda: not leaks.alive(old), "all of the dead spawner gone")
        leaks.eventually(lambda: self.engine.status()["SpawnerNumber"] > number, "another spawner")
        self.assertEqual(self.engine.result("again", {})["count"], 1)
        self.assertEqual(self.engine.walls_missing(), self.walls)

    def test_kill_9_of_all_at_once_leaves_nothing(self):
        self.engine.create_probe("victim", Timeout=5)
        self.engine.result("victim", {})
        self.engine.note_processes()
        engine_pid = self.engine.process.pid
        keeper = leaks.children_of(engine_pid)[0]
        for pid in (engine_pid, keeper, leaks.children_of(keeper)[0]):
            os.kill(pid, signal.SIGKILL)
        self.engine.wait()
        old = dict(self.engine.seen_processes)
        if "freezer" in self.walls:  # else the frozen ones die when the next start thaws them
            leaks.eventually(lambda: not leaks.alive(old), "no process left")
        self.engine.start()
        leaks.eventually(lambda: not leaks.alive(old), "no process left")
        self.assertEqual(self.engine.result("victim", {})["count"], 1)

    def test_doctor_says_the_same(self):
        environment = {"HAKO_SPAWNER": os.path.join(self.engine.programs, "sandbox/hako-spawner")}
        hako = os.path.join(self.engine.programs, "tools/hako/hako")
        command = [*self.engine.outer_command(), *self.engine.as_user(), *self.engine.prefix]
        done = subprocess.run(
            [*command, hako, "doctor", "--json"], capture_output=True, text=True,
            env=os.environ | environment, check=False,
        )
        names = [wall["name"] for wall in json.loads(done.stdout)["walls_missing"]]
        wanted = self.walls
        if self.engine.settings["cgroup"] != self.engine.name:
            # Named in settings that doctor does not read.
            wanted = [name for name in wanted if name not in WITHOUT_CGROUPS] + WITHOUT_CGROUPS
        self.assertEqual(names, wanted, done.stderr)


class UserNamespaceOnly(Running, OrdinaryCase):
    walls = ["own-ids", *WITHOUT_CGROUPS]
    settings = {"freeze_grace_ms": 0}

    def test_what_is_not_known_reads_as_zero(self):
        self.engine.create_probe("measured")
        answer = self.engine.invoke("measured", {})
        self.assertIn("\tMemory Size: 128 MB\tMax Memory Used: 0 MB\t", answer.log)
        self.assertEqual((answer.cpu_us, answer.memory_peak_bytes), (0, 0))

    def test_nothing_is_frozen_but_an_instance_ends_as_a_whole(self):
        self.engine.create_python("ticker", TICKER)
        before = self.engine.result("ticker", {})
        leaks.eventually(lambda: self.engine.result("ticker", {}) > before + 20, "it ticks on")
        self.assertEqual(self.engine.status()["FrozenInstances"], 0)
        self.engine.create_probe("parent")
        self.engine.result("parent", {"a": "child"})
        children = {pid: leaks.identity(pid) for pid in inner_processes(self.engine, 3)}
        self.assertTrue(children)
        self.engine.delete("parent")
        leaks.eventually(lambda: not leaks.alive(children), "the child ended with its instance")


class UnshareR(Running, OrdinaryCase):
    """An engine that finds itself root of a user namespace of one id."""

    walls = ["own-ids", *WITHOUT_CGROUPS]

    @classmethod
    def options(cls):
        return {"prefix": ("unshare", "-r")}


class Groups(OrdinaryCase):
    walls = ["own-ids", "groups", *WITHOUT_CGROUPS]

    @classmethod
    def options(cls):
        return {"groups": (cls.uid + 1,)}

    def test_groups_that_cannot_be_left_are_said(self):
        self.assertEqual(self.engine.walls_missing(), self.walls)


@unittest.skipUnless(set(v1_mounts()) >= {"memory", "cpu", "pids", "freezer", "cpuacct"},
                     "needs the cgroup v1 controllers")
class DelegatedV1(Running, OrdinaryCase):
    """Put into directories of its own in every hierarchy."""

    walls = ["own-ids"]

    @classmethod
    def options(cls):
        cls.cgroups = DelegatedCgroups(f"hako-delegated-{cls.uid}", cls.uid)
        cls.addClassCleanup(cls.cgroups.__exit__, None, None, None)
        cls.cgroups.__enter__()
        return {"inside": cls.cgroups}

    def test_a_function_over_its_memory_is_killed(self):
        self.engine.create_probe("greedy", MemorySize=128, Timeout=20)
        answer = self.engine.invoke("greedy", {"do": "memory", "n": 512})
        self.assertEqual(answer.json["errorType"], "Runtime.OutOfMemory", answer)
        self.assertIn("Max Memory Used: 128 MB", answer.log)

    def test_memory_and_cpu_are_measured(self):
        self.engine.create_probe("measured", MemorySize=256)
        answer = self.engine.invoke("measured", {"do": "memory", "n": 64})
        self.assertGreaterEqual(answer.memory_peak_bytes, 64 << 20)
        self.assertGreater(answer.cpu_us, 0)

    def test_an_idle_instance_is_frozen(self):
        self.engine.create_python("idle", TICKER)
        self.engine.result("idle", {})
        leaks.eventually(lambda: self.engine.status()["FrozenInstances"] >= 1, "frozen")
        self.assertGreater(self.engine.result("idle", {}), 0)


@unittest.skipUnless({"memory", "pids"} <= set(v1_mounts()), "needs the cgroup v1 controllers")
class NamedV1(Running, OrdinaryCase):
    """Only some hierarchies, by their name in the settings."""

    walls = ["own-ids", "cpu-share", "freezer", "cpu-time"]

    @classmethod
    def options(cls):
        name = f"hako-named-{cls.uid}"
        cls.cgroups = DelegatedCgroups(name, cls.uid, ("memory", "pids"))
        cls.addClassCleanup(cls.cgroups.__exit__, None, None, None)
        cls.cgroups.__enter__()
        return {"cgroup": f"{name}/engine"}

    def test_the_tree_goes_with_the_engine(self):
        for path in self.cgroups.paths:
            self.assertTrue(os.path.isdir(f"{path}/engine"), path)

    def test_a_function_over_its_memory_is_killed(self):
        self.engine.create_probe("greedy", MemorySize=128, Timeout=20)
        answer = self.engine.invoke("greedy", {"do": "memory", "n": 512})
        self.assertEqual(answer.json["errorType"], "Runtime.OutOfMemory", answer)


@unittest.skipUnless(HAS_SUBORDINATE_IDS, "needs newuidmap and newgidmap (package uidmap)")
class SubordinateIds(Running, OrdinaryCase):
    """Ids of its own for every sandbox, and nothing else."""

    walls = WITHOUT_CGROUPS

    @classmethod
    def options(cls):
        return {"with_ids": True, "groups": (cls.uid + 1,)}


@unittest.skipUnless(HAS_SUBORDINATE_IDS, "needs newuidmap and newgidmap (package uidmap)")
class AllWalls(DelegatedV1):
    """With ids and cgroups there is nothing to accept: no setting, no word in the log."""

    walls = []

    @classmethod
    def options(cls):
        return super().options() | {"with_ids": True}


class Refusal(unittest.TestCase):
    def refused(self, **settings) -> str:
        engine = OrdinaryEngine(uid=next(_uids), **settings)
        try:
            engine.spawn()
            self.assertEqual(engine.wait(), 7, engine.log())
            return leaks.read_text(engine.log_path)
        finally:
            engine.destroy()

    def test_missing_walls_are_refused_by_name(self):
        log = self.refused()
        names = "own-ids,memory-limit,cpu-share,process-count,freezer"
        self.assertIn(f"refusing to run functions without these walls: {names}. ", log)
        self.assertIn(f"--allow-missing-walls {names} ", log)
        self.assertIn("error walls missing=memory-limit: no memory limit; ", log)

    def test_only_those_accepted_are_accepted(self):
        log = self.refused(allow_missing_walls="own-ids,memory-limit,freezer")
        self.assertIn("without these walls: cpu-share,process-count. ", log)
        self.assertIn("warning walls missing=own-ids: ", log)

    def test_a_name_that_is_none_is_refused(self):
        engine = OrdinaryEngine(uid=next(_uids), allow_missing_walls="moat")
        try:
            engine.spawn()
            self.assertEqual(engine.wait(), 2)
            self.assertIn("allow_missing_walls: 'moat' is not 'all' or some of not-root,own-ids",
                          engine.log())
        finally:
            engine.destroy()

    def test_root_of_a_user_namespace_that_root_made(self):
        """The one id is root's outside: that is a missing wall of its own."""
        engine = Engine(allow_missing_walls="own-ids")
        command = engine.command
        engine.command = lambda: ["unshare", "-r", *command()]
        try:
            engine.spawn()
            self.assertEqual(engine.wait(), 7, engine.log())
            self.assertIn("without these walls: not-root", engine.log())
        finally:
            engine.destroy()


class Forbidden(unittest.TestCase):
    def test_no_user_namespaces_is_an_exit_code_of_its_own(self):
        uid = next(_uids)
        engine = OrdinaryEngine(uid=uid, allow_missing_walls="all")
        done = run_forbidden(engine.command(), {})
        engine.destroy()
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertIn("this machine lets an ordinary user make no user namespace", done.stderr)
        self.assertIn("user.max_user_namespaces = 0", done.stderr)
        self.assertIn("forbids user namespaces to ordinary users", done.stderr)

    def test_doctor_says_why(self):
        uid = next(_uids)
        engine = OrdinaryEngine(uid=uid)
        hako = os.path.join(engine.programs, "tools/hako/hako")
        spawner = os.path.join(engine.programs, "sandbox/hako-spawner")
        done = run_forbidden([*engine.as_user(), hako, "doctor"], {"HAKO_SPAWNER": spawner})
        engine.destroy()
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("hako cannot run: without root this machine refuses user_namespace",
                      done.stdout)


class RootIsAsBefore(unittest.TestCase):
    def test_no_wall_is_missing_and_no_setting_is_needed(self):
        with Engine() as engine:
            self.assertEqual(engine.status()["WallsMissing"], [])
            self.assertEqual(engine.status()["User"], "root")

    def test_the_names_are_documented(self):
        with open(os.path.join(SOURCE_ROOT, "docs", "security.md"), encoding="utf-8") as file:
            text = file.read()
        for name in ("not-root", "own-ids", "groups", "core-handler", *WITHOUT_CGROUPS):
            self.assertTrue(f"| `{name}` |" in text, f"{name} is not in docs/security.md")
