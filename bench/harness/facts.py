"""Facts about this machine and this tree; every result line carries them."""

import os
import pathlib
import platform
import re
import subprocess


def _output(command, cwd=None):
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _commit(root):
    commit = _output(["git", "rev-parse", "--short=12", "HEAD"], cwd=root)
    if not commit:
        return "unknown"
    changed = _output(["git", "status", "--porcelain", "--untracked-files=no"], cwd=root)
    return commit + ("+changes" if changed else "")


def _build_type(build):
    import json

    text = _output(["meson", "introspect", "--buildoptions", str(build)])
    for option in json.loads(text) if text else []:
        if option["name"] == "buildtype":
            return option["value"]
    return "unknown"


def _compiler():
    first = _output(["c++", "--version"]).splitlines()
    return first[0] if first else "unknown"


def collect(root, build):
    """The keys that go into each line."""
    model = _cpu_model()
    cores = len(os.sched_getaffinity(0))
    slug = re.sub(r"[^a-z0-9]+", "-", f"{model} {cores} cores".lower()).strip("-")
    return {
        "commit": _commit(root),
        "kernel": platform.release(),
        "machine": slug,
        "cpu_model": model,
        "cores": cores,
        "compiler": _compiler(),
        "build_type": _build_type(build),
    }
