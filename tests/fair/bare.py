"""The floor of the attack table: the same neighbour and attacker without hako, as bare processes in
bare cgroups with the same weights and limits."""
import os
import select
import signal
import socket
import subprocess

import scene
from attacks import Attack, Repeater
from support.engine import BUILD_ROOT
from support import leaks

PROGRAM = os.path.join(BUILD_ROOT, "tests", "fair", "functions", "bare")
CONTROLLERS = ("cpu", "memory", "pids")
PIDS_MAX = 1032
TIMEOUT_S = 1.0
UID = scene.UID_BASE - 1


class BareCgroup:
    """One cgroup in each hierarchy (v1), or one (v2), beside those of hako."""

    def __init__(self, name: str, memory_mib: int) -> None:
        self.is_v1 = scene.is_v1()
        mounts = [f"/sys/fs/cgroup/{each}" for each in CONTROLLERS] if self.is_v1 else [
            "/sys/fs/cgroup"
        ]
        top = f"hako-bare-{os.getpid()}"
        self.tops = [f"{mount}/{top}" for mount in mounts]
        self.paths = [f"{each}/{name}" for each in self.tops]
        for path in self.paths:
            os.makedirs(path, exist_ok=True)
        if not self.is_v1:
            scene.write(f"{self.tops[0]}/cgroup.subtree_control", "+cpu +memory +pids")
        self._limit(memory_mib)

    def _limit(self, memory_mib: int) -> None:
        bytes_max = str(memory_mib << 20)
        cpu, memory, pids = self.paths if self.is_v1 else self.paths * 3
        if self.is_v1:
            scene.write(f"{cpu}/cpu.shares", str(memory_mib))
            scene.write(f"{memory}/memory.limit_in_bytes", bytes_max)
        else:
            scene.write(f"{memory}/memory.max", bytes_max)
            scene.write(f"{memory}/memory.swap.max", "0")
        scene.write(f"{pids}/pids.max", str(PIDS_MAX))

    def join_files(self) -> list[str]:
        return [f"{path}/{'tasks' if self.is_v1 else 'cgroup.procs'}" for path in self.paths]

    def remove(self) -> None:
        for path in self.paths:
            leaks.eventually(lambda path=path: self._gone(path), f"{path} can be removed")
        for top in self.tops:
            if not any(entry.is_dir() for entry in os.scandir(top)):
                os.rmdir(top)

    @staticmethod
    def _gone(path: str) -> bool:
        try:
            os.rmdir(path)
        except OSError:
            return False
        return True


def start(cgroup: BareCgroup, arguments: list[str], **options) -> subprocess.Popen:
    return subprocess.Popen(
        [PROGRAM, str(UID), *cgroup.join_files(), "--", *arguments], **options
    )


class BareNeighbour:
    """Answers a byte; `ask` is what Watcher calls."""

    def __init__(self) -> None:
        self.cgroup = BareCgroup("near", 256)
        self.socket, theirs = socket.socketpair()
        self.process = start(
            self.cgroup, ["echo", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()

    def ask(self) -> None:
        self.socket.send(b"x")
        assert self.socket.recv(1) == b"x"

    def close(self) -> None:
        self.socket.close()
        self.process.wait()
        self.cgroup.remove()


class BareAssault(Repeater):
    """The attack in a process that is killed with all it made after a second, as a function's
    timeout would."""

    def __init__(self, cgroup: BareCgroup, attack: Attack, seconds: float) -> None:
        super().__init__(0.1 if attack.name == "idlebell" else 0)
        self.cgroup, self.attack, self.seconds = cgroup, attack, seconds

    def once(self) -> None:
        process = start(
            self.cgroup, ["attack", self.attack.name, str(int(self.seconds * 1000))],
            stdout=subprocess.DEVNULL,
        )
        pidfd = os.pidfd_open(process.pid)
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        if not poller.poll(TIMEOUT_S * 1000):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)  # takes its pid namespace along
        process.wait()
        os.close(pidfd)
