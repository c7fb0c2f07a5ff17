"""Many idle instances: what each costs, and what they cost the others."""

import os
import pathlib
import time

from harness import engine as engine_module
from harness.engine import Engine, EngineError

READY_S = 240
ROLE_OF_ONE = "one"
ROLE_OF_MANY = "many"
LOOK_S = 0.002


def _meminfo_kib(*names):
    """Sum of lines of /proc/meminfo. MemAvailable moves with everything on the machine; what the
    kernel itself uses (slabs, stacks, page tables) hardly does."""
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    values = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return sum(values[name] for name in names)


def _memory(pid):
    return {
        "available_kib_each": -_meminfo_kib("MemAvailable"),
        "kernel_kib_each": _meminfo_kib("Slab", "KernelStack", "PageTables", "Percpu"),
        "pss_kib_each": _pss_kib(engine_module.process_tree(pid)),
    }


def _warm_p50_us(bench, engine):
    """On one core: where the scheduler puts three processes would matter more than what is asked
    here."""
    often = ["--function", ROLE_OF_ONE, "--count", bench.sizes.serial_count // 10]
    often += ["--warmup", bench.sizes.serial_count // 100]
    everywhere = os.sched_getaffinity(0)
    _pin(engine, {bench.cpu})
    p50_us = bench.tree.load("warm", engine, often, bench.cpu)["p50_us"]
    _pin(engine, everywhere)
    return p50_us


def _pin(engine, cpus):
    for pid in engine_module.process_tree(engine.pid):
        try:
            for task in engine_module.task_directories(pid):
                os.sched_setaffinity(int(task.name), cpus)
        except OSError:
            continue  # it ended meanwhile


def _pss_kib(pids):
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # it ended meanwhile
        total += next(
            (int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0
        )
    return total


def _provision(engine, count):
    """Makes `count` instances; the moments (seconds) at which each of them was seen ready."""
    before = engine.control("GetEngineStatus", {})["IdleInstances"]
    begun = time.monotonic()
    engine.control(
        "PutProvisionedConcurrencyConfig",
        {
            "FunctionName": ROLE_OF_MANY,
            "Qualifier": "$LATEST",
            "ProvisionedConcurrentExecutions": count,
        },
    )
    moments = []
    while len(moments) < count:
        ready = engine.control("GetEngineStatus", {})["IdleInstances"] - before
        now = time.monotonic() - begun
        moments += [now] * (ready - len(moments))
        if now > READY_S:
            raise EngineError(f"{len(moments)} of {count} instances within {READY_S} s")
        time.sleep(LOOK_S)
    return moments


def _rates(moments):
    """Instances a second in the first and in the last tenth."""
    part = max(2, len(moments) // 10)
    first = part / max(moments[part - 1], LOOK_S)
    last = part / max(moments[-1] - moments[-part - 1], LOOK_S)
    return first, last


def measure(bench, function, count):
    """Metric and value of one round with `count` instances of `function`."""
    # The processes and the pools exist before, so that only instances are counted.
    arguments = ["--instances-max", 2000, "--concurrency-max", 2000, "--idle-timeout-s", 3600]
    with Engine(bench.tree.hakod, arguments=arguments) as engine:
        engine.create(ROLE_OF_ONE, function)
        engine.create(ROLE_OF_MANY, function)
        alone = _warm_p50_us(bench, engine)
        engine_module.await_quiet(engine.pid)
        before = _memory(engine.pid)
        moments = _provision(engine, count)
        engine_module.await_quiet(engine.pid)
        after = _memory(engine.pid)
        crowded = _warm_p50_us(bench, engine)
    first, last = _rates(moments)
    return {
        **{metric: (after[metric] - before[metric]) / count for metric in before},
        "warm_p50_us": crowded,
        "warm_p50_ratio": crowded / alone,
        "create_rate_first": first,
        "create_rate_last": last,
        "create_rate_ratio": last / first,
    }


UNITS = {
    "available_kib_each": "KiB",
    "kernel_kib_each": "KiB",
    "pss_kib_each": "KiB",
    "warm_p50_us": "us",
    "warm_p50_ratio": "x",
    "create_rate_first": "1/s",
    "create_rate_last": "1/s",
    "create_rate_ratio": "x",
}


def density(bench):
    """1000 native and 200 Python instances, or a handful."""
    counts = (20, 5) if bench.sizes.is_quick else (1000, 200)
    functions = (("native", bench.tree.native_echo()), ("python", bench.tree.python_echo()))
    for (variant, function), count in zip(functions, counts):
        figures = measure(bench, function, count)
        for metric, value in figures.items():
            bench.results.add(
                "density", "hako", metric, UNITS[metric], [value], count, variant
            )
