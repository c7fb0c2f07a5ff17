"""The client: invocations and control operations."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from . import protocol
from .connection import Connection
from .errors import FunctionError, HakoError, ProtocolError, api_error
from .package import make_package
from .protocol import Frame
from .result import InvokeResult

DEFAULT_ROLE = "arn:aws:iam::123456789012:role/hako"
_GONE = Frame(protocol.Header(0, 0, 0, 0, 0, 0), b"", b"")


def default_socket_path() -> str:
    """HAKO_SOCKET, else the user's own engine if there is one, else /run/hako/hako.sock."""
    named = os.environ.get("HAKO_SOCKET")
    if named:
        return named
    system = "/run/hako/hako.sock"
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR")
    if os.geteuid() != 0 and runtime_dir:
        own = os.path.join(runtime_dir, "hako", "hako.sock")
        if os.path.exists(own) or not os.path.exists(system):
            return own
    return system


class InvokeStream:
    """A response as it comes: iterate over its parts, which are bytes.

    `content_type` is known from the first part on; None if the function does not stream, then its
    whole response is one part. `result` is there at the end, without a payload. The loop raises
    ApiError, and FunctionError where the function fails, possibly after parts. The client's
    timeout is the longest wait for a part. Leaving early drops the rest when it comes; only closing
    the client ends the function.
    """

    def __init__(self, client: Client, correlation: int) -> None:
        self._client = client
        self._correlation = correlation
        self._is_over = False
        self.content_type: str | None = None
        self.result: InvokeResult | None = None

    def __enter__(self) -> InvokeStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> InvokeStream:
        return self

    def __next__(self) -> bytes:
        while not self._is_over:
            frame = self._client._next_part(self._correlation)
            if frame.header.type == protocol.STREAM_PART:
                return frame.payload
            if frame.header.type == protocol.STREAM_BEGIN:
                self.content_type = protocol.decode_stream_begin(frame)
                continue
            self.close()
            result = _result_of(frame, True)
            self.result = dataclasses.replace(result, payload=b"")
            if result.payload:
                return result.payload
        raise StopIteration

    def close(self) -> None:
        """Wants no more of it; twice is fine."""
        self._is_over = True
        self._client._end_stream(self._correlation)


class Client:
    """One connection to an engine. Use one client per thread.

    `timeout` is the longest time in seconds that a call may take; None waits without limit.
    A payload is bytes (sent as they are) or any value that json.dumps takes; None sends no
    payload, and the function gets {}.
    """

    def __init__(self, path: str | None = None, *, timeout: float | None = None) -> None:
        self._connection = Connection.open(path or default_socket_path(), timeout)
        self._correlation = 0
        self._waiting: dict[int, Frame | None] = {}  # None: not answered yet
        self._unanswered = 0
        self._streams: dict[int, deque[Frame]] = {}  # what came of each and was not taken

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def timeout(self) -> float | None:
        """Longest time in seconds that a later call may take."""
        return self._connection.timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._connection.timeout = seconds

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def ping(self) -> float:
        """One round trip; returns its seconds."""
        start = time.monotonic()
        correlation = self._next_correlation()
        self._call(correlation, [protocol.encode_ping(correlation)], protocol.PONG)
        return time.monotonic() - start

    def invoke(
        self,
        name: str,
        payload: Any = None,
        *,
        qualifier: str = "",
        tail: bool = False,
        invocation_type: str = "RequestResponse",
        client_context: Any = None,
        raise_function_error: bool = True,
    ) -> InvokeResult:
        """Invokes `name` and waits for the answer.

        Raises ApiError (ThrottlingError, ServiceError), and FunctionError if the function failed,
        unless `raise_function_error` is False: then look at `function_error`.
        """
        correlation = self._next_correlation()
        parts = _invoke_parts(
            correlation, name, payload, qualifier, tail, invocation_type, client_context
        )
        frame = self._call(correlation, parts, protocol.INVOKE_RESULT)
        return _result_of(frame, raise_function_error)

    def invoke_stream(
        self,
        name: str,
        payload: Any = None,
        *,
        qualifier: str = "",
        tail: bool = False,
        client_context: Any = None,
    ) -> InvokeStream:
        """Invokes `name` and gives its response part by part, while the function runs."""
        correlation = self._next_correlation()
        parts = _invoke_parts(
            correlation, name, payload, qualifier, tail, "RequestResponse", client_context, True
        )
        self._streams[correlation] = deque()
        try:
            self._connection.send(parts, self._connection.deadline())
        except BaseException:
            self._end_stream(correlation)
            raise
        return InvokeStream(self, correlation)

    def invoke_many(
        self,
        name: str,
        payloads: Iterable[Any],
        *,
        in_flight: int = 32,
        qualifier: str = "",
        tail: bool = False,
        return_errors: bool = False,
    ) -> Iterator[InvokeResult | HakoError]:
        """Invokes `name` once per payload, `in_flight` at a time; yields in the payloads' order.

        The first API or function error is raised; with `return_errors` errors are yielded in
        their place instead. Leaving the loop early is fine: late answers are dropped.
        """
        if in_flight < 1:
            raise ValueError("in_flight: at least 1")
        order: deque[int] = deque()
        rest = iter(payloads)
        try:
            while True:
                self._submit_window(name, rest, order, in_flight, qualifier, tail)
                if not order:
                    return
                frame = self._await_answer(order[0], self._connection.deadline())
                order.popleft()
                try:
                    result: InvokeResult | HakoError = _result_of(frame, True)
                except HakoError as error:
                    if not return_errors:
                        raise
                    result = error
                yield result
        finally:
            for correlation in order:
                self._forget(correlation)

    def control(self, operation: str, request: dict[str, Any], package: bytes = b"") -> Any:
        """Any control operation with Lambda's request members; returns the answer's value."""
        correlation = self._next_correlation()
        body = json.dumps(request, separators=(",", ":")).encode()
        head = protocol.encode_control(correlation, operation, body, len(package))
        frame = self._call(correlation, [head, package], protocol.CONTROL_RESULT)
        if frame.header.status >= 400:
            raise api_error(
                frame.header.status, frame.meta.decode("utf-8", "replace"), frame.payload
            )
        return json.loads(frame.payload) if frame.payload else None

    def create_function(
        self,
        name: str,
        *,
        runtime: str,
        handler: str,
        code: bytes | str | os.PathLike[str],
        memory_mb: int | None = None,
        timeout_s: int | None = None,
        environment: dict[str, str] | None = None,
        description: str | None = None,
        role: str = DEFAULT_ROLE,
        **members: Any,
    ) -> dict[str, Any]:
        """Creates a function; returns its configuration.

        `code` is a zip as bytes, or the path of a zip, a directory or a single file, which are
        packed. Further Lambda members can be given by name (`EphemeralStorage={"Size": 1024}`).
        """
        request = {
            "FunctionName": name,
            "Runtime": runtime,
            "Handler": handler,
            "Role": role,
            **_configuration(memory_mb, timeout_s, environment, description),
            **members,
        }
        return self.control("CreateFunction", request, make_package(code))

    def update_function_code(
        self, name: str, code: bytes | str | os.PathLike[str]
    ) -> dict[str, Any]:
        """Replaces the code; `code` as in `create_function`."""
        return self.control("UpdateFunctionCode", {"FunctionName": name}, make_package(code))

    def update_function_configuration(
        self,
        name: str,
        *,
        memory_mb: int | None = None,
        timeout_s: int | None = None,
        environment: dict[str, str] | None = None,
        description: str | None = None,
        **members: Any,
    ) -> dict[str, Any]:
        """Changes what is given and leaves the rest."""
        request = {
            "FunctionName": name,
            **_configuration(memory_mb, timeout_s, environment, description),
            **members,
        }
        return self.control("UpdateFunctionConfiguration", request)

    def get_function(self, name: str, *, qualifier: str | None = None) -> dict[str, Any]:
        """Configuration, code location and concurrency of a function."""
        return self.control("GetFunction", _named(name, qualifier))

    def list_functions(self) -> list[dict[str, Any]]:
        """The configurations of all functions."""
        functions: list[dict[str, Any]] = []
        marker = None
        while True:
            answer = self.control("ListFunctions", {"Marker": marker} if marker else {})
            functions += answer.get("Functions", [])
            marker = answer.get("NextMarker")
            if not marker:
                return functions

    def delete_function(self, name: str, *, qualifier: str | None = None) -> None:
        """Deletes a function, or one version of it."""
        self.control("DeleteFunction", _named(name, qualifier))

    def put_concurrency(self, name: str, reserved: int) -> dict[str, Any]:
        """Reserves (and limits the function to) this many concurrent invocations."""
        request = {"FunctionName": name, "ReservedConcurrentExecutions": reserved}
        return self.control("PutFunctionConcurrency", request)

    def put_provisioned_concurrency(
        self, name: str, instances: int, *, qualifier: str = "$LATEST"
    ) -> dict[str, Any]:
        """Keeps this many instances initialised."""
        request = {
            "FunctionName": name,
            "Qualifier": qualifier,
            "ProvisionedConcurrentExecutions": instances,
        }
        return self.control("PutProvisionedConcurrencyConfig", request)

    def engine_status(self) -> dict[str, Any]:
        """The engine's pid, version, uptime, counts and features."""
        return self.control("GetEngineStatus", {})

    def _next_correlation(self) -> int:
        self._correlation += 1
        return self._correlation

    def _expect(self, correlation: int) -> None:
        self._waiting[correlation] = None
        self._unanswered += 1

    def _forget(self, correlation: int) -> None:
        if self._waiting.pop(correlation, _GONE) is None:
            self._unanswered -= 1

    def _call(self, correlation: int, parts: list[bytes], wanted_type: int) -> Frame:
        deadline = self._connection.deadline()
        self._expect(correlation)
        try:
            self._connection.send(parts, deadline)
            frame = self._await_answer(correlation, deadline)
        finally:
            self._forget(correlation)
        if frame.header.type != wanted_type:
            raise ProtocolError("type: answer of another type")
        return frame

    def _await_answer(self, correlation: int, deadline: float | None) -> Frame:
        while True:
            frame = self._waiting.get(correlation)
            if frame is not None:
                del self._waiting[correlation]
                return frame
            self._keep(self._connection.receive(deadline))

    def _keep(self, arrived: Frame) -> None:
        """Puts a frame where it is waited for; one that nobody waits for belongs to a call or a
        stream that was given up."""
        correlation = arrived.header.correlation
        if correlation in self._streams:
            self._streams[correlation].append(arrived)
        elif arrived.header.type in (protocol.STREAM_BEGIN, protocol.STREAM_PART):
            return
        elif correlation in self._waiting:
            self._waiting[correlation] = arrived
            self._unanswered -= 1

    def _next_part(self, correlation: int) -> Frame:
        frames = self._streams[correlation]
        deadline = self._connection.deadline()
        while not frames:
            self._keep(self._connection.receive(deadline))
        return frames.popleft()

    def _end_stream(self, correlation: int) -> None:
        self._streams.pop(correlation, None)

    def _submit_window(
        self,
        name: str,
        rest: Iterator[Any],
        order: deque[int],
        in_flight: int,
        qualifier: str,
        tail: bool,
    ) -> None:
        """Sends requests until `in_flight` are unanswered, gathering all into one send.

        Answers that wait for a slower one before them are bounded too.
        """
        batch: list[bytes] = []
        while self._unanswered < in_flight and len(order) < 4 * in_flight:
            try:
                payload = next(rest)
            except StopIteration:
                break
            correlation = self._next_correlation()
            batch += _invoke_parts(
                correlation, name, payload, qualifier, tail, "RequestResponse", None
            )
            self._expect(correlation)
            order.append(correlation)
        if batch:
            self._connection.send(batch, self._connection.deadline())


def _invoke_parts(
    correlation: int,
    name: str,
    payload: Any,
    qualifier: str,
    tail: bool,
    invocation_type: str,
    client_context: Any,
    stream: bool = False,
) -> list[bytes]:
    body = _payload_bytes(payload)
    context = client_context
    if context is not None and not isinstance(context, str):
        context = json.dumps(context, separators=(",", ":"))
    head = protocol.encode_invoke(
        correlation,
        name,
        len(body),
        invocation_type=invocation_type,
        tail=tail,
        qualifier=qualifier,
        client_context=context or "",
        stream=stream,
    )
    return [head, body]


def _payload_bytes(payload: Any) -> bytes:
    if payload is None:
        return b""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload)
    return json.dumps(payload, separators=(",", ":")).encode()


def _result_of(frame: Frame, raise_function_error: bool) -> InvokeResult:
    if frame.header.type != protocol.INVOKE_RESULT:
        raise ProtocolError("type: answer of another type")
    result = protocol.decode_invoke_result(frame)
    if result.status >= 400:
        raise api_error(result.status, result.error_code, result.payload)
    if result.function_error and raise_function_error:
        raise FunctionError(result)
    return result


def _configuration(
    memory_mb: int | None,
    timeout_s: int | None,
    environment: dict[str, str] | None,
    description: str | None,
) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if memory_mb is not None:
        members["MemorySize"] = memory_mb
    if timeout_s is not None:
        members["Timeout"] = timeout_s
    if environment is not None:
        members["Environment"] = {"Variables": environment}
    if description is not None:
        members["Description"] = description
    return members


def _named(name: str, qualifier: str | None) -> dict[str, Any]:
    request = {"FunctionName": name}
    if qualifier:
        request["Qualifier"] = qualifier
    return request
