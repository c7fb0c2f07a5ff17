"""The frame protocol once more, written from docs/frame-protocol.md and not from the engine's code.

Kept apart from the shipped clients on purpose: it can also send what they would refuse to send.
"""
import dataclasses
import json
import socket
import struct

HEADER = struct.Struct("<IHHQIIII")
INVOKE_META = struct.Struct("<BBHHH")
RESULT_META = struct.Struct("<36sIQQQQQHHI")
CONTROL_META = struct.Struct("<HHI")
MAGIC = 0x314F4B48
BEGIN_META = struct.Struct("<36sHH")
PING, PONG, INVOKE, INVOKE_RESULT, CONTROL, CONTROL_RESULT, ERROR = range(1, 8)
STREAM_BEGIN, STREAM_PART = 8, 9
FLAG_FUNCTION_ERROR = 1
FLAG_STREAM = 2
REQUEST_RESPONSE, EVENT, DRY_RUN = 0, 1, 2


@dataclasses.dataclass
class Answer:
    """Any answer frame, decoded."""

    kind: int
    correlation: int
    status: int
    flags: int
    payload: bytes
    error_code: str = ""
    version: str = ""
    log: str = ""
    request_id: str = ""
    memory_mib: int = 0
    duration_us: int = 0
    billed_us: int = 0
    init_us: int = 0
    cpu_us: int = 0
    memory_peak_bytes: int = 0
    content_type: str = ""

    @property
    def streamed(self) -> bool:
        return bool(self.flags & FLAG_STREAM)

    @property
    def function_error(self) -> bool:
        return bool(self.flags & FLAG_FUNCTION_ERROR)

    @property
    def json(self):
        return json.loads(self.payload)

    @property
    def message(self) -> str:
        body = self.json
        return body.get("message") or body.get("Message") or body.get("errorMessage") or ""


def encode(
    kind: int, correlation: int, meta: bytes = b"", payload: bytes = b"", flags: int = 0
) -> bytes:
    header = HEADER.pack(MAGIC, kind, flags, correlation, len(meta), len(payload), 0, 0)
    return header + meta + payload


def encode_invoke(
    correlation: int, name: str, payload: bytes, *, tail: bool = True, qualifier: str = "",
    client_context: bytes = b"", invocation_type: int = REQUEST_RESPONSE, stream: bool = False,
) -> bytes:
    raw_name, raw_qualifier = name.encode(), qualifier.encode()
    meta = INVOKE_META.pack(
        invocation_type, int(tail), len(raw_name), len(raw_qualifier), len(client_context)
    )
    meta += raw_name + raw_qualifier + client_context
    return encode(INVOKE, correlation, meta, payload, FLAG_STREAM if stream else 0)


def encode_control(correlation: int, operation: str, request: bytes, blob: bytes) -> bytes:
    raw = operation.encode()
    meta = CONTROL_META.pack(len(raw), 0, len(request)) + raw + request
    return encode(CONTROL, correlation, meta, blob)


def decode(header: tuple, meta: bytes, payload: bytes) -> Answer:
    magic, kind, flags, correlation, _, _, status, _ = header
    assert magic == MAGIC, f"magic {magic:#x}"
    answer = Answer(kind, correlation, status, flags, payload)
    if kind == CONTROL_RESULT:
        answer.error_code = meta.decode()
    elif kind == STREAM_BEGIN:
        request_id, version_bytes, type_bytes = BEGIN_META.unpack_from(meta)
        rest = meta[BEGIN_META.size :]
        assert len(rest) == version_bytes + type_bytes, "meta lengths do not add up"
        answer.request_id = request_id.decode()
        answer.version, answer.content_type = (
            rest[:version_bytes].decode(), rest[version_bytes:].decode()
        )
    elif kind == INVOKE_RESULT:
        fields = RESULT_META.unpack_from(meta)
        answer.request_id = fields[0].rstrip(b"\0").decode()
        answer.memory_mib, answer.duration_us, answer.billed_us = fields[1:4]
        answer.init_us, answer.cpu_us, answer.memory_peak_bytes = fields[4:7]
        version_bytes, code_bytes, log_bytes = fields[7:10]
        rest = meta[RESULT_META.size :]
        assert len(rest) == version_bytes + code_bytes + log_bytes, "meta lengths do not add up"
        answer.version = rest[:version_bytes].decode()
        answer.error_code = rest[version_bytes : version_bytes + code_bytes].decode()
        answer.log = rest[version_bytes + code_bytes :].decode(errors="replace")
    return answer


class Connection:
    """One connection; requests may be pipelined with `send_*` and collected with `receive`."""

    def __init__(self, path: str, timeout_s: float = 60.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.socket.connect(path)
        self.correlation = 0

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_invoke(self, name: str, event=None, *, raw: bytes | None = None, **options) -> int:
        self.correlation += 1
        payload = json.dumps(event).encode() if raw is None else raw
        self.send(encode_invoke(self.correlation, name, payload, **options))
        return self.correlation

    def read_exactly(self, count: int) -> bytes:
        parts, left = [], count
        while left:
            part = self.socket.recv(min(left, 1 << 20))
            if not part:
                raise EOFError(f"the engine closed the connection, {left} bytes missing")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def receive(self) -> Answer:
        header = HEADER.unpack(self.read_exactly(HEADER.size))
        meta = self.read_exactly(header[4])
        return decode(header, meta, self.read_exactly(header[5]))

    def invoke(self, name: str, event=None, **options) -> Answer:
        correlation = self.send_invoke(name, event, **options)
        answer = self.receive()
        assert answer.correlation == correlation
        return answer

    def stream(self, name: str, event=None, on_part=None, **options):
        """Invokes for a streamed answer: how it began (None: not at all), its bytes, its end."""
        correlation = self.send_invoke(name, event, stream=True, **options)
        begin, parts = None, bytearray()
        while True:
            answer = self.receive()
            assert answer.correlation == correlation
            if answer.kind == STREAM_BEGIN:
                assert begin is None, "a stream begins once"
                begin = answer
            elif answer.kind == STREAM_PART:
                assert begin is not None and answer.payload, "a part belongs to a stream"
                parts += answer.payload
                if on_part is not None:
                    on_part(bytes(parts))
            else:
                assert answer.kind == INVOKE_RESULT, answer
                return begin, bytes(parts), answer

    def control(self, operation: str, request: dict | bytes, blob: bytes = b"") -> Answer:
        self.correlation += 1
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.send(encode_control(self.correlation, operation, body, blob))
        return self.receive()

    def ping(self) -> Answer:
        self.correlation += 1
        self.send(encode(PING, self.correlation))
        return self.receive()
