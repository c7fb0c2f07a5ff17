"""One socket: frames out, frames in."""

from __future__ import annotations

import math
import select
import socket
import time

from . import protocol
from .errors import ConnectionFailed, ProtocolError
from .protocol import Frame


class Connection:
    """Sends and receives frames. Not for two threads at once."""

    def __init__(self, sock: socket.socket, timeout: float | None) -> None:
        self._socket = sock
        self.timeout = timeout
        self._received = bytearray()
        self._is_broken = False

    @classmethod
    def open(cls, path: str, timeout: float | None) -> Connection:
        """Connects; raises ConnectionFailed."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(path)
        except OSError as error:
            sock.close()
            raise ConnectionFailed(f"{path}: {error.strerror or error}") from error
        return cls(sock, timeout)

    def close(self) -> None:
        """Closes the socket; twice is fine."""
        self._socket.close()

    def deadline(self) -> float | None:
        """When a call that starts now must end."""
        return None if self.timeout is None else time.monotonic() + self.timeout

    def send(self, parts: list[bytes], deadline: float | None) -> None:
        """Sends all parts, gathered where they are small.

        Reads answers while it cannot write: an engine that cannot get rid of its answers stops
        reading requests.
        """
        self._check_usable()
        if sum(map(len, parts)) <= 65536:
            parts = [b"".join(parts)]
        try:
            for part in parts:
                rest = memoryview(part)
                while rest:
                    try:
                        rest = rest[self._socket.send(rest, socket.MSG_DONTWAIT) :]
                    except BlockingIOError:
                        self._await_writable(deadline)
        except (BrokenPipeError, ConnectionResetError):
            return  # the reason, if the engine gave one, waits to be read
        except OSError as error:
            self._is_broken = True
            raise ConnectionFailed(f"send: {error}") from error

    def receive(self, deadline: float | None) -> Frame:
        """The next frame; raises ConnectionFailed, or ProtocolError for an Error frame."""
        self._check_usable()
        try:
            self._fill(protocol.HEADER_BYTES, deadline)
            header = protocol.decode_header(self._received[: protocol.HEADER_BYTES])
            meta_end = protocol.HEADER_BYTES + header.meta_bytes
            frame_end = meta_end + header.payload_bytes
            self._fill(frame_end, deadline)
        except ProtocolError:
            self._is_broken = True
            raise
        view = memoryview(self._received)
        frame = Frame(
            header, bytes(view[protocol.HEADER_BYTES : meta_end]), bytes(view[meta_end:frame_end])
        )
        view.release()
        del self._received[:frame_end]
        if header.type == protocol.ERROR:
            self._is_broken = True
            reason = frame.payload.decode("utf-8", "replace")
            raise ProtocolError(f"the engine refused: {reason}")
        return frame

    def _check_usable(self) -> None:
        if self._is_broken:
            raise ConnectionFailed("the connection broke earlier")

    def _await_writable(self, deadline: float | None) -> None:
        events = self._poll(select.POLLIN | select.POLLOUT, deadline)
        if not events:
            self._is_broken = True  # part of a frame may have left
            raise ConnectionFailed("time ran out while sending")
        if events & select.POLLIN:
            data = self._socket.recv(65536, socket.MSG_DONTWAIT)
            if not data:
                raise BrokenPipeError
            self._received += data

    def _poll(self, events: int, deadline: float | None) -> int:
        """What of `events` is there at the deadline at the latest; 0 if it passed."""
        poller = select.poll()
        poller.register(self._socket, events)
        wait_ms = None
        if deadline is not None:
            wait_ms = max(0, math.ceil((deadline - time.monotonic()) * 1000))
        found = poller.poll(wait_ms)
        return found[0][1] if found else 0

    def _fill(self, wanted_bytes: int, deadline: float | None) -> None:
        while len(self._received) < wanted_bytes:
            if deadline is not None and not self._poll(select.POLLIN, deadline):
                raise ConnectionFailed("time ran out while waiting for an answer")
            try:
                data = self._socket.recv(max(65536, wanted_bytes - len(self._received)))
            except ConnectionResetError:
                data = b""
            except OSError as error:
                self._is_broken = True
                raise ConnectionFailed(f"receive: {error}") from error
            if not data:
                self._is_broken = True
                where = " in the middle of a frame" if self._received else ""
                raise ConnectionFailed(f"the engine closed the connection{where}")
            self._received += data
