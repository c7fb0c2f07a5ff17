"""The cases. Each measures hako and its floor in turn and adds lines to the results."""

import dataclasses
import itertools
import json
import os
import pathlib
import time

from harness import engine as engine_module
from harness.density import density
from harness.engine import Engine
from harness.results import Results
from harness.tools import PYTHON, Tree

SANDBOX_BENCH = "bench/micro/sandbox/bench_sandbox"
LATENCY_UNITS = {"p50_us": "us", "p99_us": "us", "p999_us": "us"}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much of everything; `quick` only proves that it runs."""

    is_quick: bool
    rounds: int
    serial_count: int
    python_count: int
    pipeline_ms: int
    cold_count: int
    spawn_count: int
    idle_s: float
    micro_min_time_s: float


FULL = Sizes(False, 5, 50_000, 20_000, 2_000, 40, 40, 5.0, 0.2)
QUICK = Sizes(True, 1, 500, 200, 200, 3, 3, 0.5, 0.001)


@dataclasses.dataclass
class Bench:
    """What a case needs."""

    tree: Tree
    results: Results
    sizes: Sizes

    @property
    def cpu(self):
        """The processor of the pinned cases: the last, because interrupts prefer the first."""
        return max(os.sched_getaffinity(0))

    def interleave(self, subjects):
        """Calls each subject once per round, A B A B ...; the samples of each, in order."""
        samples = {name: [] for name in subjects}
        for _ in range(self.sizes.rounds):
            for name, measure in subjects.items():
                samples[name].append(measure())
        return samples

    def add(self, case, samples, units):
        """A line per subject and metric. A subject is "hako" or ("floor", variant)."""
        for name, rounds in samples.items():
            subject, variant = name if isinstance(name, tuple) else (name, None)
            count = sum(sample["n"] for sample in rounds)
            for metric, unit in units.items():
                values = [sample[metric] for sample in rounds]
                self.results.add(case, subject, metric, unit, values, count, variant)

    def add_ratio(self, case, samples, metric, floor):
        """hako over floor, round by round: what both share cancels out."""
        pairs = list(zip(samples["hako"], samples[floor]))
        values = [hako[metric] / other[metric] for hako, other in pairs]
        name = metric.removesuffix("_us") + "_ratio"
        self.results.add(case, "hako", name, "x", values, len(values), floor[1])


def _serial(bench, case, cpu):
    """One client, one request at a time, 64 B."""
    tree = bench.tree
    count = bench.sizes.serial_count
    often = ["--count", count, "--warmup", count // 10]
    warm = ["--function", "echo", *often]
    spin = ["--spin-us", 50] if cpu is None else []  # spinning on a shared core is a loss
    with Engine(tree.hakod, cpu) as engine, tree.frame_echo(engine.directory, cpu) as frame_echo:
        engine.create("echo", tree.native_echo())
        subjects = {
            "hako": lambda: tree.load("warm", engine, warm, cpu),
            ("floor", "stream chain"): lambda: tree.floor("chain", often, cpu),
            ("floor", "futex chain"): lambda: tree.floor("chain", ["--futex", *spin, *often], cpu),
            ("floor", "frame echo"): lambda: tree.load("warm", frame_echo, warm, cpu),
        }
        samples = bench.interleave(subjects)
    bench.add(case, samples, LATENCY_UNITS)
    for name in samples:
        if name != "hako":
            bench.add_ratio(case, samples, "p50_us", name)


def warm_native_one_core(bench):
    _serial(bench, "warm_native_one_core", bench.cpu)


def warm_native_unpinned(bench):
    _serial(bench, "warm_native_unpinned", None)


def freeze(bench):
    """Every call thaws its instance (no grace) beside an engine that never freezes."""
    case = "freeze"
    count = bench.sizes.serial_count // 2
    often = ["--function", "echo", "--count", count, "--warmup", count // 10]
    cpu = bench.cpu
    with Engine(bench.tree.hakod, cpu, ["--freeze-grace-ms", 0, "--cgroup", "hako-frozen"]) as cold:
        with Engine(bench.tree.hakod, cpu, ["--freeze-grace-ms", "none"]) as never:
            cold.create("echo", bench.tree.native_echo())
            never.create("echo", bench.tree.native_echo())
            samples = bench.interleave(
                {
                    "hako": lambda: bench.tree.load("warm", cold, often, cpu),
                    ("floor", "never frozen"): lambda: bench.tree.load("warm", never, often, cpu),
                }
            )
    bench.add(case, samples, LATENCY_UNITS)
    rounds = zip(samples["hako"], samples["floor", "never frozen"])
    added = [frozen["p50_us"] - other["p50_us"] for frozen, other in rounds]
    bench.results.add(case, "hako", "added_p50_us", "us", added, len(added))


def in_flight_32(bench):
    case = "in_flight_32"
    milliseconds = bench.sizes.pipeline_ms
    floor_count = ["--in-flight", 32, "--count", milliseconds * 50]
    with Engine(bench.tree.hakod) as engine:
        engine.create("echo", bench.tree.native_echo())

        def hako():
            before_ns = engine_module.tree_cpu_ns(engine.pid)
            sample = bench.tree.load(
                "warm",
                engine,
                ["--function", "echo", "--in-flight", 32, "--duration-ms", milliseconds]
                + ["--warmup", 2000],
            )
            used_us = (engine_module.tree_cpu_ns(engine.pid) - before_ns) / 1e3
            answered = sample["n"] + 2000
            sample["cpu_us_each"] = (used_us + sample["client_cpu_us"]) / answered
            return sample

        def floor(arguments):
            return bench.tree.floor("pipeline", [*floor_count, *arguments])

        samples = bench.interleave(
            {
                "hako": hako,
                ("floor", "one worker"): lambda: floor([]),
                ("floor", "8 workers"): lambda: floor(["--workers", 8]),
                ("floor", "batched"): lambda: floor(["--batched"]),
            }
        )
    bench.add(case, samples, {"rate": "1/s", **LATENCY_UNITS})
    bench.add(case, {"hako": samples["hako"]}, {"cpu_us_each": "us"})


def _cold(bench, case, function, floors):
    """First calls; `floors`: what to start in their place, variant to `hako_floor spawn` words."""
    request = {**function.request, "FunctionName": "@NAME@"}
    often = ["--count", bench.sizes.spawn_count]
    with Engine(bench.tree.hakod) as engine:
        package_path = engine.directory / "cold.zip"
        package_path.write_bytes(engine_module.package(function.path))
        arguments = ["--package", package_path, "--create-json", json.dumps(request)]
        arguments += ["--count", bench.sizes.cold_count]
        round_numbers = itertools.count()

        def hako():
            prefix = f"bench-cold-{next(round_numbers)}-"
            sample = bench.tree.load("cold", engine, [*arguments, "--prefix", prefix])
            if sample["cold_count"] != sample["n"]:
                raise engine_module.EngineError(
                    f"{sample['cold_count']} of {sample['n']} first calls report an init duration"
                )
            return sample

        def floor(words):
            return lambda: bench.tree.floor("spawn", [*often, *words])

        subjects = {("floor", variant): floor(words) for variant, words in floors.items()}
        samples = bench.interleave({"hako": hako, **subjects})
    bench.add(case, samples, {"p50_us": "us", "p99_us": "us"})
    bench.add(case, {"hako": samples["hako"]}, {"init_p50_us": "us"})
    for name in subjects:
        bench.add_ratio(case, samples, "p50_us", name)


def cold_native(bench):
    floors = {"spawn of static glibc": [bench.tree.program("bench/floors/first_byte")]}
    if (bench.tree.build / "bench/floors/first_byte_bare").exists():
        floors["spawn without libc"] = [bench.tree.program("bench/floors/first_byte_bare")]
    _cold(bench, "cold_native", bench.tree.native_echo(), floors)


def cold_python(bench):
    write = "import posix; posix.write(1, b'x')"  # unbuffered, and posix is built in
    floors = {"exec of python3 -ISE": ["--fork", "--", PYTHON, "-ISE", "-c", write]}
    _cold(bench, "cold_python", bench.tree.python_echo(), floors)


def warm_python_one_core(bench):
    case = "warm_python_one_core"
    count = bench.sizes.python_count
    often = ["--count", count, "--warmup", count // 10]
    floors = bench.tree.root / "bench/floors"
    function = bench.tree.python_echo()
    script = ["--script", floors / "python_loop.py", "--handler", function.path, *often]
    with Engine(bench.tree.hakod, bench.cpu) as engine:
        engine.create("echo", function)
        samples = bench.interleave(
            {
                "hako": lambda: bench.tree.load(
                    "warm", engine, ["--function", "echo", *often], bench.cpu
                ),
                ("floor", "bare loop"): lambda: bench.tree.floor("python", script, bench.cpu),
            }
        )
    bench.add(case, samples, LATENCY_UNITS)
    bench.add_ratio(case, samples, "p50_us", ("floor", "bare loop"))


def blank_sandboxes(bench):
    """The spawner alone: no engine, and a zygote whose worker answers probes."""
    case = "blank_sandboxes"
    variables = {
        "HAKO_SPAWNER": str(bench.tree.program("sandbox/hako-spawner")),
        "HAKO_PROBE_ZYGOTE": str(bench.tree.program("tests/sandbox/probe_zygote")),
    }
    arguments = ["--short"] if bench.sizes.is_quick else []
    by_case = {}
    for _ in range(bench.sizes.rounds):
        said = bench.tree.run(SANDBOX_BENCH, arguments, **variables)
        for line in map(json.loads, said.splitlines()):
            by_case.setdefault(line["case"], []).append(line)

    def add(key, source, metric, unit, count_key):
        lines = by_case[source]
        count = sum(line[count_key] for line in lines)
        bench.results.add(case, "hako", metric, unit, [line[key] for line in lines], count)

    add("per_second", "make_acquire_destroy", "rate", "1/s", "n")
    add("kib_each", "blank_memory", "kib_each", "KiB", "alive")
    add("p50_us", "acquire_to_answer", "acquire_p50_us", "us", "n")
    add("p99_us", "acquire_to_answer", "acquire_p99_us", "us", "n")
    add("p50_us", "acquire_to_worker", "worker_p50_us", "us", "n")


def idle(bench):
    """An engine with a function deployed and nothing to do."""
    case = "idle"
    with Engine(bench.tree.hakod) as engine:
        engine.create("echo", bench.tree.native_echo())
        bench.tree.load("warm", engine, ["--function", "echo", "--count", 100])
        engine_module.await_quiet(engine.pid, quiet_s=2.0)  # past the last sync of the ledger
        switches = engine_module.switch_count(engine.pid)
        used_ns = engine_module.cpu_ns(engine.pid)
        time.sleep(bench.sizes.idle_s)
        switches = engine_module.switch_count(engine.pid) - switches
        used_ns = engine_module.cpu_ns(engine.pid) - used_ns
        rss = engine_module.rss_kib(engine.pid)
    bench.results.add(case, "hako", "rss_mib", "MiB", [rss / 1024], 1)
    bench.results.add(case, "hako", "context_switches", "", [switches], 1)
    bench.results.add(case, "hako", "cpu_us", "us", [used_ns / 1e3], 1)


def micro(bench):
    """Every Google Benchmark program under bench/micro; the rounds are its repetitions."""
    folder = bench.tree.build / "bench/micro"
    programs = sorted(
        path
        for path in folder.glob("*/*")
        if path.is_file() and os.access(path, os.X_OK) and path.suffix == ""
        and str(path.relative_to(bench.tree.build)) != SANDBOX_BENCH  # a case of its own
    )
    for program in programs:
        name = str(program.relative_to(bench.tree.build))
        report = bench.tree.run_json(
            name,
            ["--benchmark_format=json"]
            + [f"--benchmark_min_time={bench.sizes.micro_min_time_s}"]
            + [f"--benchmark_repetitions={bench.sizes.rounds}"],
            timeout_s=600,
        )
        _add_micro(bench, pathlib.Path(program).name, report["benchmarks"])


# Keys of a Google Benchmark entry that are not the program's own counters.
_MICRO_KEYS = {
    "family_index",
    "per_family_instance_index",
    "repetitions",
    "repetition_index",
    "threads",
    "iterations",
    "real_time",
    "cpu_time",
}


def _add_micro(bench, program, entries):
    by_name = {}
    for entry in entries:
        if entry.get("error_occurred"):
            raise engine_module.EngineError(f"{entry['name']}: {entry['error_message']}")
        if entry["run_type"] == "iteration":
            by_name.setdefault(entry["name"], []).append(entry)
    for name, rounds in by_name.items():
        count = sum(entry["iterations"] for entry in rounds)
        times = [entry["real_time"] for entry in rounds]
        bench.results.add("micro", "hako", name, rounds[0]["time_unit"], times, count, program)
        for key, value in rounds[0].items():
            if isinstance(value, (int, float)) and key not in _MICRO_KEYS:
                values = [entry[key] for entry in rounds]
                bench.results.add("micro", "hako", f"{name}:{key}", "", values, count, program)


CASES = {
    "warm_native_one_core": warm_native_one_core,
    "warm_native_unpinned": warm_native_unpinned,
    "freeze": freeze,
    "in_flight_32": in_flight_32,
    "cold_native": cold_native,
    "cold_python": cold_python,
    "warm_python_one_core": warm_python_one_core,
    "blank_sandboxes": blank_sandboxes,
    "idle": idle,
    "density": density,
    "micro": micro,
}
