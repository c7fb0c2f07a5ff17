"""An engine played by a thread, written without the client that it tests."""

import os
import socket
import struct
import tempfile
import threading

REQUEST_ID = b"6bc28136-abcd-4365-b021-0ce6b2e64ab0"


def read_exact(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def read_frame(sock):
    head = struct.unpack("<4sHHQIIII", read_exact(sock, 32))
    assert head[0] == b"HKO1" and head[6] == 0 and head[7] == 0, head
    return head[1], head[3], read_exact(sock, head[4]), read_exact(sock, head[5])


def frame(kind, correlation, meta=b"", payload=b"", status=200, flags=0):
    return struct.pack(
        "<4sHHQIIII", b"HKO1", kind, flags, correlation, len(meta), len(payload), status, 0
    ) + meta + payload


def result(correlation, payload=b"null", status=200, flags=0, code=b"", log=b""):
    meta = struct.pack(
        "<36sIQQQQQHHI", REQUEST_ID, 128, 1234, 100000, 2500, 900, 7 << 20, 7, len(code), len(log)
    )
    return frame(4, correlation, meta + b"$LATEST" + code + log, payload, status, flags)


class ScriptedEngine:
    """Listens in a fresh directory; `script(sock)` plays the engine for one connection."""

    def __init__(self, script):
        self._folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self._folder.name, "hako.sock")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(1)
        self.failure = None
        self._thread = threading.Thread(target=self._run, args=(script,))
        self._thread.start()

    def _run(self, script):
        sock, _ = self._listener.accept()
        with sock:
            try:
                script(sock)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                pass
            except BaseException as error:  # handed to the test by close()
                self.failure = error

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as late:
            late.connect(self.path)  # ends an accept() that nobody came for
        self._thread.join(20)
        self._listener.close()
        self._folder.cleanup()
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure


def echo(sock):
    while True:
        _, correlation, _, payload = read_frame(sock)
        sock.sendall(result(correlation, payload))
