"""HTTP to an engine, signed with AWS Signature Version 4 as its documentation says, and not as the
engine's code does."""
import contextlib
import ctypes
import datetime
import fcntl
import hashlib
import hmac
import http.client
import json
import os
import socket
import struct
import urllib.parse

from support.engine import Engine

PORT = 9000
CLONE_NEWNET = 0x40000000
SIOCSIFADDR, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x8913, 0x8914, 1
# TEST-NET-1: no address of loopback, and nobody's.
FAR_ADDRESS = "192.0.2.1"
LIBC = ctypes.CDLL(None, use_errno=True)


class Key:
    def __init__(self, key_id: str, secret: str, token: str = "") -> None:
        self.key_id, self.secret, self.token = key_id, secret, token


def hmac_of(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def sign(
    method: str, target: str, headers: dict[str, str], body: bytes, key: Key, *,
    region: str = "us-east-1", service: str = "lambda", shift_s: int = 0,
) -> dict[str, str]:
    """The headers and what signs them."""
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=shift_s)
    time, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = headers | {"X-Amz-Date": time}
    if key.token:
        headers["X-Amz-Security-Token"] = key.token
    names = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    listed = ";".join(sorted(names))
    path, _, query = target.partition("?")
    pairs = sorted(
        (urllib.parse.quote(name, safe="-_.~"), urllib.parse.quote(value, safe="-_.~"))
        for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True)
    )
    canonical = "\n".join([
        method, urllib.parse.quote(path, safe="/-_.~"), "&".join(f"{n}={v}" for n, v in pairs),
        *(f"{name}:{names[name]}" for name in sorted(names)), "", listed,
        hashlib.sha256(body).hexdigest(),
    ])
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join([
        "AWS4-HMAC-SHA256", time, scope, hashlib.sha256(canonical.encode()).hexdigest(),
    ])
    secret = ("AWS4" + key.secret).encode()
    for part in (day, region, service, "aws4_request"):
        secret = hmac_of(secret, part)
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={key.key_id}/{scope}, SignedHeaders={listed}, "
        f"Signature={hmac_of(secret, text).hex()}"
    )
    return headers


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


class Reply:
    def __init__(self, status: int, code: str, body: bytes) -> None:
        self.status, self.code, self.body = status, code, body

    @property
    def message(self) -> str:
        body = json.loads(self.body)
        return body.get("message") or body.get("Message") or ""

    def __repr__(self) -> str:
        return f"{self.status} {self.code} {self.body!r}"


def request(
    where: tuple[str, int] | str, method: str, target: str, *, body: bytes = b"",
    key: Key | None = None, headers: dict[str, str] | None = None, **signing,
) -> Reply:
    """`where` is an address and port, or the path of a Unix socket."""
    is_unix = isinstance(where, str)
    connection = (
        UnixConnection(where) if is_unix else http.client.HTTPConnection(*where, timeout=30)
    )
    host = "localhost" if is_unix else f"{where[0]}:{where[1]}"
    headers = {"Host": host} | (headers or {})
    if key is not None:
        headers = sign(method, target, headers, body, key, **signing)
    with contextlib.closing(connection):
        connection.request(method, target, body=body, headers=headers)
        answer = connection.getresponse()
        return Reply(answer.status, answer.getheader("x-amzn-ErrorType", ""), answer.read())


def invoke(where, name: str = "echo", query: str = "", **options) -> Reply:
    target = f"/2015-03-31/functions/{name}/invocations" + ("?" + query if query else "")
    return request(where, "POST", target, body=b'{"a":1}', **options)


class HttpEngine(Engine):
    """Serves HTTP on a loopback address of its own, so that ports cannot collide."""

    def __init__(self, **settings) -> None:
        pid = os.getpid()
        self.address = f"127.{1 + pid // 65536 % 250}.{pid // 256 % 256}.{1 + pid % 255}"
        super().__init__(http=f"{self.address}:{PORT}", **settings)
        self.http_socket = os.path.join(self.scratch, "http.sock")

    @property
    def where(self) -> tuple[str, int]:
        return self.address, PORT

    def make_key(self, user: str, *arguments: str) -> Key:
        done = self.cli("keys", "create", user, *arguments)
        assert done.returncode == 0, done.stderr.decode()
        lines = dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
        return Key(lines["AWS_ACCESS_KEY_ID"], lines["AWS_SECRET_ACCESS_KEY"])


def enter_new_network() -> None:
    """Runs in the child: a network with a loopback and FAR_ADDRESS, and nobody else in it."""
    if LIBC.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for name, address in ((b"lo", "127.0.0.1"), (b"lo:1", FAR_ADDRESS)):
            packed = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(control, SIOCSIFADDR, packed)
            flags = struct.unpack("16sH", fcntl.ioctl(
                control, SIOCGIFFLAGS, struct.pack("16sH14x", name, 0))[:18])[1]
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name, flags | IFF_UP))


class FarEngine(HttpEngine):
    """In a network namespace of its own, on an address that is not loopback."""

    def __init__(self, **settings) -> None:
        super().__init__(**settings)
        self.settings["http"] = f"{FAR_ADDRESS}:{PORT},127.0.0.1:{PORT}"

    def spawn(self, **options):
        return super().spawn(preexec_fn=enter_new_network, **options)

    def inside(self, work):
        """What `work` returns (as JSON) when it runs in the engine's network."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                with open(f"/proc/{self.process.pid}/ns/net", "rb") as network:
                    if LIBC.setns(network.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                result = work()
            except BaseException as error:  # what is to be reported, whatever it is
                result = {"error": repr(error)}
            os.write(writer, json.dumps(result).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            result = json.loads(pipe.read())
        os.waitpid(pid, 0)
        if isinstance(result, dict) and "error" in result:
            raise AssertionError(result["error"])
        return result

    def reply_inside(self, call, *arguments, **options) -> Reply:
        def work():
            reply = call(*arguments, **options)
            return [reply.status, reply.code, reply.body.decode("latin-1")]
        status, code, body = self.inside(work)
        return Reply(status, code, body.encode("latin-1"))
