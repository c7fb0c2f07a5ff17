"""Runs the measuring programs of the build tree."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import types

PYTHON = "/usr/bin/python3"


class ToolError(Exception):
    """A program is missing, failed, or said nothing."""


@dataclasses.dataclass(frozen=True)
class Function:
    """A bench function: its code and what CreateFunction is asked."""

    path: pathlib.Path
    request: dict


@dataclasses.dataclass(frozen=True)
class Tree:
    """Where things are."""

    root: pathlib.Path
    build: pathlib.Path

    def program(self, name):
        path = self.build / name
        if not path.exists():
            raise ToolError(f"{name} is not built in {self.build}")
        return path

    @property
    def hakod(self):
        return self.program("engine/hakod")

    def native_echo(self):
        path = self.program("bench/functions/libnative_echo.so")
        return Function(path, _request("native", path.name))

    def python_echo(self):
        path = self.root / "bench/functions/echo.py"
        return Function(path, _request("python3.11", "echo.handler"))

    def run(self, name, arguments, timeout_s=300, **variables):
        """What `name` prints. A failure, such as an answer that was wrong, is a ToolError."""
        command = [str(self.program(name)), *map(str, arguments)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                env={**os.environ, **variables},
            )
        except subprocess.TimeoutExpired as error:
            raise ToolError(f"{name} did not end within {timeout_s} s") from error
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise ToolError(f"{name} ended with {done.returncode}: {' | '.join(said[-3:])}")
        return done.stdout

    def run_json(self, name, arguments, timeout_s=300):
        """The one JSON value that `name` prints."""
        return json.loads(self.run(name, arguments, timeout_s))

    def load(self, mode, engine, arguments, cpu=None):
        pin = [] if cpu is None else ["--cpu", cpu]
        socket = ["--socket", engine.socket_path]
        return self.run_json("bench/load/hako_load", [*pin, mode, *socket, *arguments])

    def floor(self, kind, arguments, cpu=None):
        pin = [] if cpu is None else ["--cpu", cpu]
        return self.run_json("bench/floors/hako_floor", [kind, *pin, *arguments])


    @contextlib.contextmanager
    def frame_echo(self, directory, cpu=None):
        """A running frame_echo; has the `socket_path` that load() asks of an engine."""
        path = directory / "frame_echo.sock"
        pin = [] if cpu is None else ["--cpu", str(cpu)]
        command = [self.program("bench/floors/frame_echo"), "--socket", path, "--announce", *pin]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            if process.stdout.readline() != b"ready\n":
                raise ToolError("frame_echo did not start")
            yield types.SimpleNamespace(socket_path=path)
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def _request(runtime, handler):
    return {
        "Runtime": runtime,
        "Handler": handler,
        "Role": "arn:aws:iam::123456789012:role/bench",
        "Timeout": 30,
    }


def build_tree(root, build):
    """Configures if needed and compiles everything; what it says goes to standard error."""
    if not (build / "build.ninja").exists():
        _checked(["meson", "setup", str(build), str(root), "--buildtype=release"])
    _checked(["ninja", "-C", str(build)])


def _checked(command):
    if shutil.which(command[0]) is None:
        raise ToolError(f"{command[0]} is not installed; tools/dev setup installs it")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise ToolError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
