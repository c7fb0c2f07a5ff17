"""HTTP/1.1 on raw sockets, written from RFC 9112 and apart from any client library."""
import dataclasses
import json
import socket

SECONDS = 30.0
HOST = "Host: localhost"


@dataclasses.dataclass
class Response:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    interim: list[int]  # 1xx that came before

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error_type(self) -> str:
        return self.headers.get("x-amzn-errortype", "")

    @property
    def message(self) -> str:
        members = self.json
        return members.get("message", members.get("Message"))


def request_bytes(method: str, target: str, body: bytes | None = None, *headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", HOST, *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def invoke_path(name: str) -> str:
    return f"/2015-03-31/functions/{name}/invocations"


def invoke_bytes(name: str, event: bytes, *headers: str) -> bytes:
    return request_bytes("POST", invoke_path(name), event, *headers)


class HttpConnection:
    """A client on a Unix socket (a path) or on TCP (a host and a port)."""

    def __init__(self, address: str | tuple[str, int]) -> None:
        family = socket.AF_UNIX
        if not isinstance(address, str):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(SECONDS)
        self.socket.connect(address)
        self.received = b""

    def __enter__(self) -> "HttpConnection":
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"closed after {self.received!r}")
        self.received += data

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.received:
            self._more()
        found, self.received = self.received.split(mark, 1)
        return found

    def _bytes(self, count: int) -> bytes:
        while len(self.received) < count:
            self._more()
        found, self.received = self.received[:count], self.received[count:]
        return found

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self._bytes(size)
            assert self._bytes(2) == b"\r\n"
        assert self._bytes(2) == b"\r\n"
        return body

    def receive(self, method: str = "POST") -> Response:
        interim = []
        while True:
            head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            version, status, _ = head[0].split(" ", 2)
            assert version == "HTTP/1.1", head[0]
            if not status.startswith("1"):
                break
            interim.append(int(status))
        headers = {}
        for line in head[1:]:
            name, value = line.split(": ", 1)
            assert name.lower() not in headers, head
            headers[name.lower()] = value
        body = b""
        if method != "HEAD":
            if headers.get("transfer-encoding") == "chunked":
                body = self._chunks()
            else:
                body = self._bytes(int(headers.get("content-length", "0")))
        return Response(int(status), headers, body, interim)

    def ask(self, method: str, target: str, body: bytes | None = None, *headers: str) -> Response:
        self.send(request_bytes(method, target, body, *headers))
        return self.receive(method)

    def invoke(self, name: str, event: bytes, *headers: str) -> Response:
        self.send(invoke_bytes(name, event, *headers))
        return self.receive()

    def read_to_end(self) -> bytes:
        """Everything until the engine closes."""
        try:
            while True:
                self._more()
        except (EOFError, ConnectionResetError):
            return self.received
