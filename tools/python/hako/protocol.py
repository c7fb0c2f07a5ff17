"""The frame protocol, version 1: bytes to values and back (docs/frame-protocol.md)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from .errors import ProtocolError
from .result import InvokeResult

MAGIC = b"HKO1"
PING, PONG, INVOKE, INVOKE_RESULT, CONTROL, CONTROL_RESULT, ERROR = range(1, 8)
STREAM_BEGIN, STREAM_PART = 8, 9
FLAG_FUNCTION_ERROR = 1
FLAG_STREAM = 2

META_BYTES_MAX = 65536
PAYLOAD_BYTES_MAX = 52428800
NAME_BYTES_MAX = 256
CLIENT_CONTEXT_BYTES_MAX = 3583

INVOCATION_TYPES = {"RequestResponse": 0, "Event": 1, "DryRun": 2}

_HEADER = struct.Struct("<4sHHQIIII")
_INVOKE = struct.Struct("<BBHHH")
_RESULT = struct.Struct("<36sIQQQQQHHI")
_BEGIN = struct.Struct("<36sHH")
_CONTROL = struct.Struct("<HHI")
HEADER_BYTES = _HEADER.size
_ANSWERS = (PONG, INVOKE_RESULT, CONTROL_RESULT, ERROR, STREAM_BEGIN, STREAM_PART)


class Header(NamedTuple):
    """A frame's header without its fixed parts."""

    type: int
    flags: int
    correlation: int
    meta_bytes: int
    payload_bytes: int
    status: int


class Frame(NamedTuple):
    """One whole frame."""

    header: Header
    meta: bytes
    payload: bytes


def encode_header(
    frame_type: int,
    correlation: int,
    meta_bytes: int,
    payload_bytes: int,
    *,
    flags: int = 0,
    status: int = 0,
) -> bytes:
    """The 32 bytes in front of every frame."""
    return _HEADER.pack(
        MAGIC, frame_type, flags, correlation, meta_bytes, payload_bytes, status, 0
    )


def encode_ping(correlation: int) -> bytes:
    """A Ping frame."""
    return encode_header(PING, correlation, 0, 0)


def encode_invoke(
    correlation: int,
    name: str,
    payload_bytes: int,
    *,
    invocation_type: str = "RequestResponse",
    tail: bool = False,
    qualifier: str = "",
    client_context: str = "",
    stream: bool = False,
) -> bytes:
    """Header and meta data of an Invoke frame; `payload_bytes` of payload must follow."""
    if invocation_type not in INVOCATION_TYPES:
        raise ValueError(f"invocation_type: must be one of {', '.join(INVOCATION_TYPES)}")
    texts = [name.encode(), qualifier.encode(), client_context.encode()]
    if not 1 <= len(texts[0]) <= NAME_BYTES_MAX:
        raise ValueError(f"function name: must have 1 to {NAME_BYTES_MAX} bytes")
    if len(texts[1]) > NAME_BYTES_MAX:
        raise ValueError(f"qualifier: at most {NAME_BYTES_MAX} bytes")
    if len(texts[2]) > CLIENT_CONTEXT_BYTES_MAX:
        raise ValueError(f"client_context: at most {CLIENT_CONTEXT_BYTES_MAX} bytes")
    _check_payload(payload_bytes)
    fixed = _INVOKE.pack(INVOCATION_TYPES[invocation_type], int(tail), *map(len, texts))
    meta = fixed + b"".join(texts)
    flags = FLAG_STREAM if stream else 0
    return encode_header(INVOKE, correlation, len(meta), payload_bytes, flags=flags) + meta


def encode_control(correlation: int, operation: str, request: bytes, payload_bytes: int) -> bytes:
    """Header and meta data of a Control frame; `payload_bytes` of payload must follow."""
    name = operation.encode()
    if not 1 <= len(name) <= 64:
        raise ValueError("operation: must have 1 to 64 bytes")
    _check_payload(payload_bytes)
    meta = _CONTROL.pack(len(name), 0, len(request)) + name + request
    if len(meta) > META_BYTES_MAX:
        raise ValueError(f"request: operation and JSON have at most {META_BYTES_MAX - 8} bytes")
    return encode_header(CONTROL, correlation, len(meta), payload_bytes) + meta


def _check_payload(payload_bytes: int) -> None:
    if payload_bytes > PAYLOAD_BYTES_MAX:
        raise ValueError(f"payload: at most {PAYLOAD_BYTES_MAX} bytes")


def decode_header(data: bytes | bytearray | memoryview) -> Header:
    """A header that the engine sent; raises ProtocolError."""
    magic, frame_type, flags, correlation, meta_bytes, payload_bytes, status, reserved = (
        _HEADER.unpack(data)
    )
    if magic != MAGIC:
        raise ProtocolError('magic: expected "HKO1" (frame protocol version 1)')
    if frame_type not in _ANSWERS:
        raise ProtocolError(f"type: {frame_type} is not an answer")
    if reserved != 0:
        raise ProtocolError("reserved: must be 0")
    if meta_bytes > META_BYTES_MAX:
        raise ProtocolError(f"meta_bytes: at most {META_BYTES_MAX}")
    if payload_bytes > PAYLOAD_BYTES_MAX:
        raise ProtocolError(f"payload_bytes: at most {PAYLOAD_BYTES_MAX}")
    return Header(frame_type, flags, correlation, meta_bytes, payload_bytes, status)


def decode_stream_begin(frame: Frame) -> str:
    """The content type that a StreamBegin frame names; raises ProtocolError."""
    meta = frame.meta
    if len(meta) < _BEGIN.size:
        raise ProtocolError("meta data of StreamBegin: too short")
    _, version, content_type = _BEGIN.unpack_from(meta)
    type_at = _BEGIN.size + version
    if type_at + content_type != len(meta):
        raise ProtocolError("meta data of StreamBegin: lengths do not add up")
    return meta[type_at:].decode("ascii", "replace")


def decode_invoke_result(frame: Frame) -> InvokeResult:
    """The parts of an InvokeResult frame; raises ProtocolError."""
    meta = frame.meta
    if len(meta) < _RESULT.size:
        raise ProtocolError("meta data of InvokeResult: too short")
    request_id, memory_mib, duration, billed, init, cpu, peak, version, code, log = (
        _RESULT.unpack_from(meta)
    )
    code_at = _RESULT.size + version
    log_at = code_at + code
    if log_at + log != len(meta):
        raise ProtocolError("meta data of InvokeResult: lengths do not add up")
    return InvokeResult(
        status=frame.header.status,
        payload=frame.payload,
        function_error=bool(frame.header.flags & FLAG_FUNCTION_ERROR),
        error_code=meta[code_at:log_at].decode("utf-8", "replace"),
        version=meta[_RESULT.size : code_at].decode("utf-8", "replace"),
        request_id=request_id.rstrip(b"\0").decode("ascii", "replace"),
        log_tail=meta[log_at:].decode("utf-8", "replace"),
        duration_us=duration,
        billed_us=billed,
        init_us=init,
        cpu_us=cpu,
        memory_mib=memory_mib,
        memory_peak_bytes=peak,
    )
