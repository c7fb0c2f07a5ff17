"""Starts a real hakod in a directory of its own and stops it without leaving anything behind."""
import contextlib
import io
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import zipfile

from support import leaks
from support.frames import Answer, Connection
from support.http import HttpConnection

BUILD_ROOT = os.environ["HAKO_BUILD_ROOT"]
SOURCE_ROOT = os.environ["HAKO_SOURCE_ROOT"]
HAKOD = os.path.join(BUILD_ROOT, "engine", "hakod")
HAKO = os.path.join(BUILD_ROOT, "tools", "hako", "hako")
ROLE = "arn:aws:iam::123456789012:role/test"
START_SECONDS = 30.0
STOP_SECONDS = 30.0

# Small pools: a test engine shares two cores with three others.
SETTINGS = {
    "pool_native": 2,
    "pool_executable": 1,
    "pool_python": 1,
    "ledger_sync_ms": 50,
    "log_flush_ms": 20,
}

_numbers = iter(range(1, 1 << 30))
_numbers_lock = threading.Lock()


def unique_name() -> str:
    with _numbers_lock:
        return f"hako-api-{os.getpid()}-{next(_numbers)}"


def zip_of(files: dict[str, str | bytes]) -> bytes:
    """A deployment package; every file is readable and executable."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, date_time=(2017, 12, 14, 10, 0, 0))
            info.external_attr = 0o100755 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def built_function(name: str) -> bytes:
    with open(os.path.join(BUILD_ROOT, "tests", "api", "functions", name), "rb") as file:
        return file.read()


class Engine:
    """`with Engine(idle_timeout_s=1) as engine:`; settings are keys of the TOML file."""

    def __init__(self, *, state: str | None = None, arguments: tuple = (), **settings) -> None:
        self.name = unique_name()
        self.scratch = tempfile.mkdtemp(prefix=self.name + "-", dir="/tmp")
        os.chmod(self.scratch, 0o755)  # the engine's own user must reach the socket
        self.state = state or os.path.join(self.scratch, "state")
        self.socket_path = os.path.join(self.scratch, "hako.sock")
        self.http_path = os.path.join(self.scratch, "http.sock")
        self.log_path = os.path.join(self.scratch, "hakod.log")
        # Engines that run at the same time must not share user ids: limits count by user.
        ids = {"cgroup": self.name, "sandbox_uid_base": 10**9 + os.getpid() % 1000 * 10**6}
        self.settings = SETTINGS | ids | settings
        self.arguments = list(arguments)
        self.process: subprocess.Popen | None = None
        self.pidfd = -1
        self.seen_processes: dict[int, str] = {}

    def __enter__(self) -> "Engine":
        try:
            self.start()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, *_) -> None:
        try:
            if self.process is not None:
                self.stop()
        finally:
            self.destroy()

    # ---- starting and stopping ----

    def command(self) -> list[str]:
        config = os.path.join(self.scratch, "hako.toml")
        with open(config, "w", encoding="utf-8") as file:
            for key, value in self.settings.items():
                file.write(f"{key} = {json.dumps(value)}\n")
        return [HAKOD, "--config", config, "--state", self.state, "--socket", self.socket_path,
                *self.arguments]

    def spawn(self, **options) -> subprocess.Popen:
        """Only starts the process; `start` also waits until it serves."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
            )
        self.pidfd = os.pidfd_open(self.process.pid)
        return self.process

    def start(self) -> None:
        notify_path = os.path.join(self.scratch, "notify.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(notify_path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(notify_path)
            os.chmod(notify_path, 0o666)
            self.spawn(env=dict(os.environ, NOTIFY_SOCKET=notify_path))
            self.await_ready(notify)

    def await_ready(self, notify: socket.socket) -> bytes:
        """Waits for READY=1, or for the process to end, whichever is first."""
        poller = select.poll()
        poller.register(notify, select.POLLIN)
        poller.register(self.pidfd, select.POLLIN)
        while True:
            events = dict(poller.poll(START_SECONDS * leaks.TIME_SCALE * 1000))
            if notify.fileno() in events:
                message = notify.recv(4096)
                if b"READY=1" in message.split(b"\n"):
                    return message
            elif self.pidfd in events:
                raise AssertionError(f"hakod ended with {self.process.wait()}:\n{self.log()}")
            elif not events:
                raise AssertionError(f"hakod not ready in {START_SECONDS} s:\n{self.log()}")

    def note_processes(self) -> None:
        for pid in {self.process.pid} | leaks.descendants_of(self.process.pid):
            self.seen_processes[pid] = leaks.identity(pid)

    def signal(self, number: int) -> None:
        self.note_processes()
        signal.pidfd_send_signal(self.pidfd, number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        if not leaks.wait_for_exit(self.pidfd, seconds):
            raise AssertionError(f"hakod still runs after {seconds} s:\n{self.log()}")
        os.close(self.pidfd)
        status = self.process.wait()
        self.process, self.pidfd = None, -1
        return status

    def stop(self) -> None:
        """Drains, and checks that it ended well and left nothing behind."""
        self.signal(signal.SIGTERM)
        status = self.wait()
        assert status == 0, f"hakod ended with {status}:\n{self.log()}"
        self.assert_nothing_left()

    def kill(self) -> None:
        """kill -9; the spawner has to clean up by itself."""
        self.signal(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL
        self.assert_nothing_left()

    def assert_nothing_left(self) -> None:
        for what, rest in (
            ("processes", lambda: leaks.alive(self.seen_processes)),
            ("cgroups", lambda: leaks.cgroups_named(self.name)),
            ("mounts", lambda: leaks.mounts_below(self.scratch)),
        ):
            leaks.eventually(lambda rest=rest: not rest(), f"no {what} of the engine left")

    def destroy(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def log(self) -> str:
        return "\n".join(leaks.read_text(self.log_path).splitlines()[-40:])

    # ---- talking to it ----

    def connect(self) -> Connection:
        return Connection(self.socket_path)

    def http(self, address: str | tuple[str, int] | None = None) -> HttpConnection:
        """An HTTP client, on the Unix socket if nothing else is said."""
        return HttpConnection(address or self.http_path)

    def control(self, operation: str, request: dict | bytes, blob: bytes = b"") -> Answer:
        with self.connect() as connection:
            return connection.control(operation, request, blob)

    def create(
        self, name: str, files: dict[str, str | bytes], *, runtime: str = "python3.11",
        handler: str = "main.handler", **configuration,
    ) -> Answer:
        """CreateFunction; `configuration` has Lambda's member names (MemorySize=256)."""
        request = {"FunctionName": name, "Runtime": runtime, "Handler": handler, "Role": ROLE}
        answer = self.control("CreateFunction", request | configuration, zip_of(files))
        assert answer.status == 201, f"{answer.status} {answer.error_code} {answer.payload!r}"
        return answer

    def create_python(self, name: str, source: str, **configuration) -> Answer:
        return self.create(name, {"main.py": source}, **configuration)

    def create_probe(self, name: str, **configuration) -> Answer:
        """The native test function (functions/probe.c) as a shared object."""
        files = {"libprobe.so": built_function("libprobe.so")}
        return self.create(name, files, runtime="native", handler="libprobe.so", **configuration)

    def delete(self, name: str) -> None:
        answer = self.control("DeleteFunction", {"FunctionName": name})
        assert answer.status in (200, 204), answer

    def invoke(self, name: str, event=None, **options) -> Answer:
        with self.connect() as connection:
            return connection.invoke(name, event, **options)

    def result(self, name: str, event=None, **options):
        """The decoded answer of an invocation that must succeed."""
        answer = self.invoke(name, event, **options)
        assert answer.status == 200 and not answer.function_error, f"{answer}\n{self.log()}"
        return answer.json

    def status(self) -> dict:
        return self.control("GetEngineStatus", {}).json

    def cli(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess:
        return subprocess.run(
            [HAKO, "--socket", self.socket_path, *arguments],
            input=b"" if stdin is None else stdin, capture_output=True,
            timeout=60 * leaks.TIME_SCALE, check=False,
        )

    def bill(self, *arguments: str) -> dict:
        done = self.cli("bill", "--state", self.state, "--json", *arguments)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    # ---- what it holds ----

    def sandbox_ids(self) -> tuple[int, int]:
        """The user ids that its sandboxes have outside: first, and how many."""
        return self.settings["sandbox_uid_base"], 131072

    def holdings(self) -> dict:
        """Counts that a failed invocation must leave as they were."""
        pid = self.process.pid
        keepers = leaks.children_of(pid)
        spawners = [child for keeper in keepers for child in leaks.children_of(keeper)]
        return {
            "processes": len(leaks.descendants_of(pid)),
            "descriptors": leaks.fds_count(pid),
            "spawner descriptors": [leaks.fds_count(child) for child in keepers + spawners],
            "cgroups": len(leaks.cgroups_named(self.name)),
            "mounts": len(leaks.mounts_below(self.scratch)),
        }

    def warmed_holdings(self) -> dict:
        """Holdings at rest, once what is made at first use and then kept is there."""
        self.create_python("warm-python", "def handler(event, context):\n    return 1\n")
        self.create_probe("warm-probe")
        for name in ("warm-python", "warm-probe"):
            self.result(name, {})
            self.delete(name)
        return self.settled_holdings()

    def await_holdings(self, wanted: dict, seconds: float = 15.0) -> None:
        """Waits until the engine holds exactly `wanted` again."""
        try:
            leaks.eventually(lambda: self.holdings() == wanted, "", seconds)
        except AssertionError:
            text = f"not within {seconds} s: {wanted}, but {self.holdings()}"
            raise AssertionError(text) from None

    def settled_holdings(self) -> dict:
        """`holdings` once the pools are full again: the same twice in a row, 100 ms apart."""
        def unchanged():
            before = self.holdings()
            select.poll().poll(100)
            return before if before == self.holdings() else None
        return leaks.eventually(unchanged, "the pools at rest", 20)
