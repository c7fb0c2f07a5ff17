"""Which process is what below an engine, and what must not be there any more after a crash."""
import os
import signal
import time

from support import leaks
from support.engine import Engine

UID_BASE = 2_120_000_000
UIDS_COUNT = 1 << 18  # of workers and of inits
NAMESPACES = ("user", "pid", "mnt", "net", "ipc", "uts")
LEAF_PREFIX = "sb-"


def command_of(pid: int) -> str:
    return leaks.read_text(f"/proc/{pid}/cmdline").replace("\0", " ")


def status_field(pid: int, name: str) -> list[str]:
    for line in leaks.read_text(f"/proc/{pid}/status").splitlines():
        if line.startswith(name + ":"):
            return line.split()[1:]
    return []


class Machinery:
    """The processes of a running engine by their part, as they are now."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine.process.pid
        self.keepers = leaks.children_of(self.engine)
        self.spawners = [pid for keeper in self.keepers for pid in leaks.children_of(keeper)]
        self.helpers: list[int] = []
        self.native_zygotes: list[int] = []
        self.python_zygotes: list[int] = []
        self.inits: list[int] = []
        for pid in [pid for spawner in self.spawners for pid in leaks.children_of(spawner)]:
            self.part_of(pid, command_of(pid)).append(pid)
        self.all = {pid: leaks.identity(pid) for pid in leaks.descendants_of(self.engine)}
        self.all[self.engine] = leaks.identity(self.engine)
        self.seen_s = time.clock_gettime(time.CLOCK_BOOTTIME)

    def part_of(self, pid: int, command: str) -> list[int]:
        if len(status_field(pid, "NSpid")) > 1:
            return self.inits
        if "--namespace-helper" in command:
            return self.helpers
        return self.python_zygotes if "hako-zygote-python" in command else self.native_zygotes

    def namespaces(self) -> set[str]:
        """Those of its processes that are not ours, too."""
        return {link for pid in self.all for link in namespaces_of(pid)} - namespaces_of("self")


def namespaces_of(pid: int | str) -> set[str]:
    links = set()
    for kind in NAMESPACES:
        try:
            links.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass  # it has ended
    return links


def kill(pids: list[int]) -> None:
    """All of them at (nearly) once; one that has ended meanwhile is as good."""
    pidfds = []
    for pid in pids:
        try:
            pidfds.append(os.pidfd_open(pid))
        except ProcessLookupError:
            pass
    for pidfd in pidfds:
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.close(pidfd)


def strangers(engine: Engine, before: Machinery, old_namespaces: set[str]) -> list[str]:
    """Processes of sandboxes, or in namespaces of dead ones, that the engine does not have. Only
    those of before the kill: the kernel gives a namespace's number to a new one once it is free."""
    ticks_max = before.seen_s * os.sysconf("SC_CLK_TCK")
    ours = leaks.descendants_of(engine.process.pid)
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in ours:
            continue
        uids = status_field(int(name), "Uid")
        is_sandbox = bool(uids) and UID_BASE <= int(uids[0]) < UID_BASE + UIDS_COUNT
        state = leaks.stat_fields(int(name))[:1]
        if state in ([], ["Z"], ["X"]) or int(name) in leaks.descendants_of(engine.process.pid):
            continue
        is_old = int(leaks.identity(int(name)) or ticks_max + 1) <= ticks_max
        if is_sandbox or (is_old and namespaces_of(name) & old_namespaces):
            found.append(f"{name}: {command_of(int(name))}")
    return found


def hierarchies() -> list[str]:
    found = []
    for line in leaks.read_text("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in ("cgroup", "cgroup2"):
            found.append(left.split()[4])
    return found


def empty_leaves(name: str) -> list[str]:
    """Cgroups of sandboxes in which there is nobody."""
    found = []
    for mount in hierarchies():
        tree = os.path.join(mount, name)
        for leaf in os.listdir(tree) if os.path.isdir(tree) else []:
            path = os.path.join(tree, leaf)
            if leaf.startswith(LEAF_PREFIX) and os.path.isdir(path):
                if not leaks.read_text(os.path.join(path, "cgroup.procs")).strip():
                    found.append(path)
    return found


def odd_files(engine: Engine) -> list[str]:
    """Names in the state directory that nothing permanent has."""
    found = []
    names = set(os.listdir(os.path.join(engine.state, "code")))
    for name in names:
        # A package is a directory, and beside it the zip as it was uploaded; never the zip alone.
        package = name.removesuffix(".zip")
        if len(package) != 64 or set(package) - set("0123456789abcdef") or package not in names:
            found.append(f"code/{name}")
    found += [name for name in os.listdir(engine.scratch) if name not in (
        "state", "hako.sock", "http.sock", "hakod.log", "hako.toml", "notify.sock"
    )]
    return found
