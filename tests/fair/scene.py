"""An engine with a neighbour function beside what is tested, and what the kernel says of both."""
import collections
import glob
import math
import os
import select
import time

from support import leaks
from support.engine import BUILD_ROOT, Engine

LONG = os.environ.get("HAKO_FAIR_LONG") == "1"
UID_BASE = 2_130_000_000
TICK_US = 4_000  # of a kernel with HZ=250, the slowest in use
ENGINE_RSS_KIB_MAX = 16 * 1024
REST_LOOKS = 3
REST_LOOK_MS = 20


def package() -> bytes:
    with open(os.path.join(BUILD_ROOT, "tests", "fair", "functions", "libfair.so"), "rb") as file:
        return file.read()


def make_engine(**settings) -> Engine:
    engine = Engine(sandbox_uid_base=UID_BASE, **settings)
    engine.__enter__()
    return engine


def prefer_functions(engine: Engine) -> None:
    """What else runs on this machine is not what is measured: against it our trees shall win. Only
    where shares are measured: next to such weights the kernel wakes a task of a lighter group, the
    engine, up to a tick late."""
    functions, preferred = cpu_trees(engine)
    write(os.path.join(functions, weight_file()), "26214" if is_v1() else "1000")
    write(os.path.join(preferred, weight_file()), "262144" if is_v1() else "10000")


def create(engine: Engine, name: str, **configuration) -> None:
    files = {"libfair.so": package()}
    engine.create(name, files, runtime="native", handler="libfair.so", **configuration)


def is_v1() -> bool:
    return os.path.exists("/sys/fs/cgroup/cpu/cpu.shares") or os.path.exists(
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"
    )


def weight_file() -> str:
    return "cpu.shares" if is_v1() else "cpu.weight"


def cpu_trees(engine: Engine) -> list[str]:
    """The cgroups with the CPU controller: of all sandboxes, and of the engine."""
    mount = "/sys/fs/cgroup/cpu" if is_v1() else "/sys/fs/cgroup"
    return sorted(glob.glob(f"{mount}/{engine.settings['cgroup']}*"))


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def pin(engine: Engine, *processors: int) -> None:
    """The engine and all there is of it now to these processors; sandboxes inherit it."""
    for pid in [engine.process.pid, *leaks.descendants_of(engine.process.pid)]:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), processors)


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, math.floor(len(values) * part))]


def engine_rss_kib(engine: Engine) -> int:
    text = leaks.read_text(f"/proc/{engine.process.pid}/status")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


def engine_cpu_ms(engine: Engine) -> int:
    fields = leaks.stat_fields(engine.process.pid)
    return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")


def processes_count() -> int:
    return sum(name.isdigit() for name in os.listdir("/proc"))


def idle_clock() -> tuple[int, float]:
    """Ticks that all processors have idled, and the time."""
    fields = leaks.read_text("/proc/stat").split("\n", 1)[0].split()
    return int(fields[4]), time.monotonic()


def idle_part(since: tuple[int, float]) -> float:
    """How much of the machine did nothing since, 0 to 1."""
    ticks, now = idle_clock()
    seconds = (now - since[1]) * (os.cpu_count() or 1)
    return (ticks - since[0]) / os.sysconf("SC_CLK_TCK") / seconds


def await_rest(engine: Engine) -> None:
    """Until nothing of the engine has run for a while: killed instances are gone, idle ones frozen,
    the pools full."""
    seen = collections.deque(maxlen=REST_LOOKS)
    pause = select.poll()  # rest announces nothing

    def rests() -> bool:
        pause.poll(REST_LOOK_MS)
        seen.append(_cpu_ns(engine))
        return len(seen) == REST_LOOKS and len(set(seen)) == 1

    leaks.eventually(rests, "the engine is at rest")


def _cpu_ns(engine: Engine) -> int:
    total = 0
    for pid in [engine.process.pid, *leaks.descendants_of(engine.process.pid)]:
        words = leaks.read_text(f"/proc/{pid}/schedstat").split()
        total += int(words[0]) if words else 0  # none: it has just ended
    return total


class Watcher:
    """Asks once a millisecond, ahead of everything on this machine: what it measures is who
    answers, not how long it waits itself."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.connection = engine.connect()
        self.name = name
        self.connection.invoke(name, {"do": "nothing"})

    def close(self) -> None:
        self.connection.close()

    def _ask(self) -> None:
        answer = self.connection.invoke(self.name, {"do": "nothing"})
        assert answer.status == 200 and not answer.function_error, answer

    def measure(self, seconds: float, *, ping: bool = False) -> list[float]:
        return sample(self.connection.ping if ping else self._ask, seconds)


def sample(ask, seconds: float) -> list[float]:
    """Latencies of `ask` in microseconds."""
    pause = select.poll()
    samples = []
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.perf_counter_ns()
            ask()
            samples.append((time.perf_counter_ns() - begun) / 1000)
            pause.poll(1)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return samples
