"""Plain HTTP for the tests: requests over TCP or a Unix socket, and a real nginx in between."""
import dataclasses
import http.client
import os
import shutil
import socket
import subprocess

from support import leaks

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection to a socket in the file system."""

    def __init__(self, path: str, timeout: float = 30.0) -> None:
        super().__init__("localhost", timeout=timeout * leaks.TIME_SCALE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


@dataclasses.dataclass
class Page:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, self.headers
        return values[0] if values else None

    def cookies(self) -> list[str]:
        return [value for key, value in self.headers if key.lower() == "set-cookie"]


def ask(
    connection, method: str, path: str, body: bytes | None = None, /, **headers: str
) -> Page:
    """One request; `x_a='1'` sends `x-a: 1`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers=named)
    answer = connection.getresponse()
    return Page(answer.status, answer.getheaders(), answer.read())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    """nginx in the foreground in a directory of its own, its files given."""

    def __init__(self, folder: str, files: dict[str, str], port: int) -> None:
        self.folder, self.port = folder, port
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, "nginx.conf")
        for name, content in files.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(content)
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Nginx":
        command = [NGINX, "-p", self.folder, "-c", self.path, "-e", self.log_path()]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        leaks.eventually(self.listens, "nginx listens", 15)
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait(15 * leaks.TIME_SCALE)

    def log_path(self) -> str:
        return os.path.join(self.folder, "error.log")

    def log(self) -> str:
        return leaks.read_text(self.log_path())

    def listens(self) -> bool:
        assert self.process.poll() is None, self.log()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=30 * leaks.TIME_SCALE
        )
