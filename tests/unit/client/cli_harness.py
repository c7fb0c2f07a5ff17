"""The `hako` command, run as a program against an engine played by a thread.

The first argument is the built program, the second one writes a ledger for `hako bill`.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from scripted_engine import ScriptedEngine, frame, read_frame, result

HAKO = sys.argv.pop(1)
MAKE_LEDGER = sys.argv.pop(1)

CONFIGURATION = (
    b'{"FunctionName":"greet","Runtime":"python3.11","Handler":"app.handler","MemorySize":256,'
    b'"Timeout":5,"CodeSize":2048,"LastModified":"2017-12-14T10:00:00.123+0000"}'
)


def run(*arguments, env=None, stdin=b""):
    """Exit code, standard output, standard error of one run."""
    done = subprocess.run(
        [HAKO, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env={"PATH": os.environ["PATH"], **(env or {})},
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Engine(ScriptedEngine):
    """Answers operations from a table and remembers what was asked."""

    def __init__(self, answers):
        self.asked = []
        self._answers = answers
        super().__init__(self._serve)

    def _serve(self, sock):
        while True:
            kind, correlation, meta, payload = read_frame(sock)
            if kind == 1:
                sock.sendall(frame(2, correlation))
                continue
            if kind == 3:
                self.asked.append(("Invoke", meta, payload))
                sock.sendall(result(correlation, **self._answers["Invoke"]))
                continue
            name_bytes, _, _ = struct.unpack("<HHI", meta[:8])
            operation = meta[8 : 8 + name_bytes].decode()
            self.asked.append((operation, json.loads(meta[8 + name_bytes :]), payload))
            answer = self._answers[operation]
            status, code, body = answer if isinstance(answer, tuple) else (200, b"", answer)
            sock.sendall(frame(6, correlation, code, body, status))


class CliTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def engine(self, **answers):
        engine = Engine(answers)
        self.addCleanup(engine.close)
        return engine

    def write(self, name, text, mode=0o644):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path
