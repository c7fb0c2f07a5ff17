"""An engine that is started without root, by a user who owns nothing, from a test that has root."""
import contextlib
import os
import shutil
import subprocess

from support import leaks
from support.engine import BUILD_ROOT, Engine

CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "freezer")
WITHOUT_CGROUPS = ["memory-limit", "cpu-share", "process-count", "freezer", "cpu-time"]
PROGRAMS = (
    "engine/hakod", "sandbox/hako-spawner", "runtime-shim/native/hako-zygote",
    "runtime-shim/python/hako-zygote-python", "tools/hako/hako",
)
HAS_SUBORDINATE_IDS = all(os.access(f"/usr/bin/new{kind}map", os.X_OK) for kind in ("uid", "gid"))
USER_NAME = "hako-ordinary"


def v1_mounts() -> dict[str, str]:
    """Where each controller of CONTROLLERS is mounted with version 1; empty on pure v2."""
    found = {}
    for line in leaks.read_text("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup":
            for controller in set(options.split(",")) & set(CONTROLLERS):
                found.setdefault(controller, left.split()[4])
    return found


class DelegatedCgroups:
    """Directories of the cgroup v1 hierarchies that an administrator gave to a user."""

    def __init__(self, name: str, uid: int, controllers=CONTROLLERS) -> None:
        mounts = v1_mounts()
        self.paths = sorted({os.path.join(mounts[item], name) for item in controllers})
        self.uid = uid

    def __enter__(self) -> "DelegatedCgroups":
        for path in self.paths:
            os.mkdir(path)
            for where in (path, os.path.join(path, "cgroup.procs"), os.path.join(path, "tasks")):
                os.chown(where, self.uid, self.uid)
        return self

    def __exit__(self, *_) -> None:
        for path in self.paths:
            with contextlib.suppress(FileNotFoundError):
                leaks.eventually(lambda path=path: not leaks.read_text(f"{path}/cgroup.procs"),
                                 f"{path} is empty")
                os.rmdir(path)


class OrdinaryEngine(Engine):
    """`prefix` runs before hakod; `inside` are cgroups the engine is put into; `with_ids` gives the
    user subordinate ids and a name, in a mount namespace of the engine's own."""

    def __init__(self, *, uid: int, prefix: tuple = (), inside: DelegatedCgroups | None = None,
                 with_ids: bool = False, groups: tuple = (), **settings) -> None:
        super().__init__(**settings)
        self.uid = uid
        self.prefix = list(prefix)
        self.inside = inside
        self.with_ids = with_ids
        self.groups = groups
        self.settings.pop("sandbox_uid_base", None)
        os.chmod(self.scratch, 0o755)
        os.chown(self.scratch, uid, uid)
        self.programs = self.reachable_programs()

    def as_user(self) -> list[str]:
        groups = f"--groups={','.join(map(str, self.groups))}" if self.groups else "--clear-groups"
        return ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", groups, "--inh-caps=-all"]

    def reachable_programs(self) -> str:
        """The build tree, or a copy of its programs if it lies where the user must not look."""
        hakod = os.path.join(BUILD_ROOT, PROGRAMS[0])
        if subprocess.run([*self.as_user(), "test", "-x", hakod], check=False).returncode == 0:
            return BUILD_ROOT
        copy = os.path.join(self.scratch, "programs")
        for name in PROGRAMS:
            if os.path.exists(os.path.join(BUILD_ROOT, name)):
                os.makedirs(os.path.join(copy, os.path.dirname(name)), exist_ok=True)
                shutil.copy(os.path.join(BUILD_ROOT, name), os.path.join(copy, name))
        return copy

    def outer_command(self) -> list[str]:
        """What root does before the user's turn, in the process that becomes the engine."""
        steps = []
        for path in self.inside.paths if self.inside else []:
            steps.append(f"echo $$ >{path}/cgroup.procs")
        if self.with_ids:
            self.write_user_files()
            for name in ("passwd", "subuid", "subgid"):
                steps.append(f"mount --bind {self.scratch}/{name} /etc/{name}")
        if not steps:
            return []
        script = " && ".join([*steps, 'exec "$@"'])
        unshare = ["unshare", "--mount"] if self.with_ids else []
        return [*unshare, "sh", "-c", script, "sh"]

    def write_user_files(self) -> None:
        texts = {
            "passwd": leaks.read_text("/etc/passwd")
            + f"{USER_NAME}:x:{self.uid}:{self.uid}::/nonexistent:/bin/false\n",
            "subuid": f"{USER_NAME}:{self.first_id}:{self.ids_count}\n",
            "subgid": f"{USER_NAME}:{self.first_id}:{self.ids_count}\n",
        }
        for name, text in texts.items():
            with open(os.path.join(self.scratch, name), "w", encoding="utf-8") as file:
                file.write(text)

    ids_count = 4096

    @property
    def first_id(self) -> int:
        return self.uid + 100_000

    def sandbox_ids(self) -> tuple[int, int]:
        return (self.first_id, self.ids_count) if self.with_ids else (self.uid, 1)

    def command(self) -> list[str]:
        command = super().command()
        command[0] = os.path.join(self.programs, PROGRAMS[0])
        return [*self.outer_command(), *self.as_user(), *self.prefix, *command]

    def walls_missing(self) -> list[str]:
        return [wall["Name"] for wall in self.status()["WallsMissing"]]
