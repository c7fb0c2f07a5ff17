"""What an engine holds of the machine: processes, descriptors, cgroups, mounts."""
import os
import select
import time

# Emulated machines (tests/vm) are many times slower and say so; what is tested stays the same.
TIME_SCALE = float(os.environ.get("HAKO_TEST_TIME_SCALE", "1"))


def read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children_of(pid: int) -> list[int]:
    found = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return found
    for thread in threads:
        found += [int(child) for child in read_text(f"/proc/{pid}/task/{thread}/children").split()]
    return found


def descendants_of(pid: int) -> set[int]:
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in children_of(waiting.pop()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def stat_fields(pid: int) -> list[str]:
    """/proc/PID/stat from its third field on; empty if there is no such process."""
    return read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()


def identity(pid: int) -> str:
    """The start time: together with the pid it names one process for good."""
    return "".join(stat_fields(pid)[19:20])


def alive(processes: dict[int, str]) -> list[int]:
    """Those of `processes` (pid -> start time) that still run; zombies are as good as gone."""
    return [
        pid for pid, started in processes.items()
        if started and identity(pid) == started and stat_fields(pid)[:1] not in (["Z"], ["X"])
    ]


def fds_count(pid: int) -> int:
    """Open descriptors, without the user namespaces that the spawner keeps for each of its slots
    once one was used."""
    count = 0
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += not os.readlink(f"/proc/{pid}/fd/{descriptor}").startswith("user:")
        except FileNotFoundError:
            pass  # closed meanwhile
    return count


def rss_kib(pid: int) -> int:
    for line in read_text(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no VmRSS")


def cgroups_named(name: str) -> list[str]:
    """Directories of that name in any cgroup hierarchy, with their subdirectories."""
    found = []
    for line in read_text("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] not in ("cgroup", "cgroup2"):
            continue
        for where, folders, _ in os.walk(left.split()[4]):
            found += [os.path.join(where, folder) for folder in folders if folder == name]
            if os.path.basename(where) == name:
                found += [os.path.join(where, folder) for folder in folders]
    return sorted(found)


def mounts_below(path: str) -> list[str]:
    points = [line.split()[4] for line in read_text("/proc/self/mountinfo").splitlines()]
    return sorted(point for point in points if point == path or point.startswith(path + "/"))


def wait_for_exit(pidfd: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(seconds * TIME_SCALE * 1000))


def eventually(condition, what: str, seconds: float = 10.0):
    """The first true value of `condition()`. /proc and cgroupfs announce nothing, so it looks again
    every 10 ms; each use has another process as the one who makes it true."""
    deadline = time.monotonic() + seconds * TIME_SCALE
    nothing = select.poll()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {value!r}")
        nothing.poll(10)
