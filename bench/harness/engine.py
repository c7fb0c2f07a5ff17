"""Starts a real hakod in a scratch directory, talks to it, and reads what the kernel says of it."""

import io
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import zipfile

HEADER = struct.Struct("<IHHQIIII")
CONTROL_META = struct.Struct("<HHI")
MAGIC = 0x314F4B48
CONTROL, CONTROL_RESULT = 5, 6
READY_S = 60
STOP_S = 40
# Apart from the default range: an engine in use on this machine must not share user ids.
UID_BASE = 10**9


class EngineError(Exception):
    """The engine did not start, refused a request or died."""


def package(path):
    """A zip with one file at its root, as CreateFunction takes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(path.name)
        info.external_attr = 0o755 << 16
        archive.writestr(info, path.read_bytes())
    return buffer.getvalue()


class Engine:
    """One hakod; a context manager. `cpu` pins it and everything it starts to one processor."""

    def __init__(self, hakod, cpu=None, arguments=()):
        self._hakod = hakod
        self._cpu = cpu
        self._arguments = [str(argument) for argument in arguments]
        self._process = None
        self._correlation = 0
        self.directory = None
        self.socket_path = None

    def __enter__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="hako-bench-"))
        self.directory.chmod(0o755)  # the engine gives up root and must still get in
        self.socket_path = self.directory / "hako.sock"
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self):
        return self._process.pid

    def _start(self):
        notify_path = self.directory / "notify.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(notify_path))
            notify_path.chmod(0o666)
            with open(self.directory / "hakod.log", "wb") as log:
                self._process = subprocess.Popen(
                    [
                        str(self._hakod),
                        "--state",
                        str(self.directory / "state"),
                        "--socket",
                        str(self.socket_path),
                        "--sandbox-uid-base",
                        str(UID_BASE + os.getpid() % 1000 * 10**6),
                        *self._arguments,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "NOTIFY_SOCKET": str(notify_path)},
                    preexec_fn=self._pin,
                )
            self._await_ready(notify)
        await_quiet(self.pid)

    def _pin(self):
        if self._cpu is not None:
            os.sched_setaffinity(0, {self._cpu})

    def _await_ready(self, notify):
        notify.settimeout(0.2)
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise EngineError(f"hakod ended with {self._process.returncode}: {self.log_tail()}")
            try:
                if b"READY=1" in notify.recv(4096).split(b"\n"):
                    return
            except TimeoutError:
                continue
        raise EngineError(f"hakod was not ready within {READY_S} s: {self.log_tail()}")

    def log_tail(self):
        text = (self.directory / "hakod.log").read_text(errors="replace")
        return " | ".join(text.splitlines()[-5:])

    def control(self, operation, request, code=b""):
        """One Control frame on its own connection; the answer's JSON."""
        text = json.dumps(request).encode()
        name = operation.encode()
        meta = CONTROL_META.pack(len(name), 0, len(text)) + name + text
        self._correlation += 1
        head = HEADER.pack(MAGIC, CONTROL, 0, self._correlation, len(meta), len(code), 0, 0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(60)
            connection.connect(str(self.socket_path))
            connection.sendall(head + meta + code)
            stream = connection.makefile("rb")
            answer = stream.read(HEADER.size)
            if len(answer) < HEADER.size:
                raise EngineError(f"{operation}: the engine closed the connection")
            _, kind, _, _, meta_bytes, payload_bytes, status, _ = HEADER.unpack(answer)
            stream.read(meta_bytes)
            payload = stream.read(payload_bytes)
        if kind != CONTROL_RESULT or status >= 400:
            raise EngineError(f"{operation}: status {status}: {payload[:300].decode()}")
        return json.loads(payload or b"null")

    def create(self, name, function):
        request = {"FunctionName": name, **function.request}
        self.control("CreateFunction", request, package(function.path))


def task_directories(pid):
    return list(pathlib.Path(f"/proc/{pid}/task").iterdir())


def switch_count(pid):
    """Voluntary and other context switches of all threads so far."""
    total = 0
    for task in task_directories(pid):
        for line in (task / "status").read_text().splitlines():
            if "ctxt_switches" in line:
                total += int(line.split()[1])
    return total


def cpu_ns(pid):
    """CPU time of all threads so far, to the nanosecond."""
    return sum(
        int((task / "schedstat").read_text().split()[0]) for task in task_directories(pid)
    )


def rss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise EngineError(f"process {pid} has no VmRSS")


def process_tree(pid):
    """`pid` and all its living descendants: the spawner and what runs in the sandboxes."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # ended meanwhile
        children.setdefault(int(fields[1]), []).append(int(entry.name))
    tree = [pid]
    for parent in tree:
        tree.extend(children.get(parent, []))
    return tree


def tree_cpu_ns(pid):
    total = 0
    for member in process_tree(pid):
        try:
            total += cpu_ns(member)
        except OSError:
            continue  # ended meanwhile
    return total


def tree_switch_count(pid):
    total = 0
    for member in process_tree(pid):
        try:
            total += switch_count(member)
        except OSError:
            continue  # ended meanwhile
    return total


def await_quiet(pid, seconds_max=15.0, quiet_s=0.3):
    """Waits until `pid` and its descendants have not run for `quiet_s`: the pools are full.

    Gives up after `seconds_max`: what is measured then shows it.
    """
    deadline = time.monotonic() + seconds_max
    before = tree_switch_count(pid)
    while time.monotonic() < deadline:
        time.sleep(quiet_s)
        now = tree_switch_count(pid)
        if now == before:
            return
        before = now
