"""The table of hako, floors and targets, made from result lines alone."""

import dataclasses
import statistics

from harness.results import find

BEGIN = "<!-- bench:begin -->"
END = "<!-- bench:end -->"


@dataclasses.dataclass(frozen=True)
class Target:
    """A promise on a hako line: at most or at least `limit`."""

    metric: str
    sense: str  # "at most" or "at least"
    limit: float
    unit: str
    variant: str | None = None

    def holds(self, value):
        return value <= self.limit if self.sense == "at most" else value >= self.limit

    def __str__(self):
        space = "" if self.unit == "x" else " "
        return f"{self.sense} {_figure(self.limit)}{space}{self.unit}".rstrip()


@dataclasses.dataclass(frozen=True)
class Row:
    title: str
    case: str
    metric: str
    floor: str | None = None  # the floor's variant
    target: Target | None = None
    variant: str | None = None  # hako's own


ROWS = (
    Row(
        "Warm native echo, 64 B, serial, all on one core: p50",
        "warm_native_one_core",
        "p50_us",
        "stream chain",
        target=Target("p50_ratio", "at most", 1.5, "x", "stream chain"),
    ),
    Row("the same: p99", "warm_native_one_core", "p99_us", "stream chain"),
    Row("the same against shared memory: p50", "warm_native_one_core", "p50_us", "futex chain"),
    Row(
        "the same against the frame protocol without sandbox: p50",
        "warm_native_one_core",
        "p50_us",
        "frame echo",
    ),
    Row(
        "Warm native echo, 64 B, serial, not pinned: p50",
        "warm_native_unpinned",
        "p50_us",
        "stream chain",
        target=Target("p50_ratio", "at most", 1.5, "x", "stream chain"),
    ),
    Row("the same: p99", "warm_native_unpinned", "p99_us", "stream chain"),
    Row("the same against spinning: p50", "warm_native_unpinned", "p50_us", "futex chain"),
    Row(
        "Warm native echo, 32 in flight: rate",
        "in_flight_32",
        "rate",
        "one worker",
        target=Target("rate", "at least", 60_000, "1/s"),
    ),
    Row("the same, floor with 8 workers", "in_flight_32", "rate", "8 workers"),
    Row("the same, floor in batches", "in_flight_32", "rate", "batched"),
    Row("the same: p99", "in_flight_32", "p99_us", "one worker"),
    Row("the same: CPU per invocation, all processes", "in_flight_32", "cpu_us_each"),
    Row(
        "Cold native, first response: p50",
        "cold_native",
        "p50_us",
        "spawn of static glibc",
        target=Target("p50_us", "at most", 1000, "us"),
    ),
    Row("the same: p99", "cold_native", "p99_us", "spawn of static glibc"),
    Row("the same, floor without libc: p50", "cold_native", "p50_us", "spawn without libc"),
    Row(
        "Cold Python, first response: p50",
        "cold_python",
        "p50_us",
        "exec of python3 -ISE",
        target=Target("p50_us", "at most", 3000, "us"),
    ),
    Row("the same: p99", "cold_python", "p99_us", "exec of python3 -ISE"),
    Row(
        "Blank sandboxes made and destroyed",
        "blank_sandboxes",
        "rate",
        target=Target("rate", "at least", 250, "1/s"),
    ),
    Row(
        "Memory of a blank sandbox, 500 alive",
        "blank_sandboxes",
        "kib_each",
        target=Target("kib_each", "at most", 600, "KiB"),
    ),
    Row("Blank sandbox taken until its worker runs: p50", "blank_sandboxes", "worker_p50_us"),
    Row("Warm call of an instance that is frozen between calls: p50", "freeze", "p50_us",
        "never frozen"),
    Row(
        "the same: what freezing and thawing add",
        "freeze",
        "added_p50_us",
        target=Target("added_p50_us", "at most", 20, "us"),
    ),
    *(
        Row(f"{title}: {what}", "density", metric, target=target, variant=variant)
        for variant, title in (("native", "1000 native idle"), ("python", "200 Python idle"))
        for what, metric, target in (
            ("memory each by MemAvailable", "available_kib_each", None),
            ("of it kernel", "kernel_kib_each", None),
            ("PSS each", "pss_kib_each", None),
            (
                "warm p50 against one instance",
                "warm_p50_ratio",
                Target("warm_p50_ratio", "at most", 1.3, "x", variant),
            ),
            (
                "rate of making, last against first",
                "create_rate_ratio",
                Target("create_rate_ratio", "at least", 0.5, "x", variant),
            ),
        )
    ),
    Row(
        "Idle engine: resident memory",
        "idle",
        "rss_mib",
        target=Target("rss_mib", "at most", 16, "MiB"),
    ),
    Row(
        "Idle engine: context switches in 5 s",
        "idle",
        "context_switches",
        target=Target("context_switches", "at most", 0, ""),
    ),
    Row(
        "Idle engine: CPU time in 5 s",
        "idle",
        "cpu_us",
        target=Target("cpu_us", "at most", 0, "us"),
    ),
    Row(
        "Warm Python echo, 64 B, serial, all on one core: p50",
        "warm_python_one_core",
        "p50_us",
        "bare loop",
    ),
    Row("the same: p99", "warm_python_one_core", "p99_us", "bare loop"),
)


def _figure(value):
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}".replace(",", " ")
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _cell(line):
    return "" if line is None else f"{_figure(line['value'])} {line['unit']}".strip()


def _ratio(hako, floor):
    """The median of the rounds' ratios: what a round's two sides share cancels out."""
    return statistics.median(one / other for one, other in zip(hako["rounds"], floor["rounds"]))


def verdicts(lines):
    """(row, hako line, floor line, "met" | "MISSED" | "") of each measured row."""
    out = []
    for row in ROWS:
        hako = find(lines, row.case, "hako", row.metric, row.variant)
        if hako is None:
            continue
        floor = find(lines, row.case, "floor", row.metric, row.floor) if row.floor else None
        word = ""
        if row.target is not None:
            judged = find(lines, row.case, "hako", row.target.metric, row.target.variant)
            word = "met" if judged and row.target.holds(judged["value"]) else "MISSED"
        out.append((row, hako, floor, word))
    return out


def _table(header, rows):
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _cells(lines):
    header = ["Case", "hako", "floor", "ratio", "target", "result"]
    rows = []
    for row, hako, floor, word in verdicts(lines):
        named = "" if floor is None else f"{_cell(floor)} ({row.floor})"
        ratio = "" if floor is None else f"{_ratio(hako, floor):.2f}"
        target = str(row.target) if row.target else ""
        rows.append([row.title, _cell(hako), named, ratio, target, word])
    return header, rows


def _micro_rows(lines):
    rows = []
    for line in lines:
        if line["case"] == "micro" and line["metric"] != "failure":
            rows.append([line["variant"], line["metric"], _cell(line)])
    return rows


def markdown(lines, with_micro):
    """The tables as they stand in the documents."""
    first = lines[0]
    out = [
        f"Measured {first['run']} at commit {first['commit']} by `bench/run` on {first['cores']} "
        f"cores of {first['cpu_model']}, Linux {first['kernel']}, {first['compiler']}, "
        f"{first['build_type']} build.",
        "",
        *_table(*_cells(lines)),
    ]
    failures = [line for line in lines if line["metric"] == "failure"]
    out += [f"\nNot measured: {line['case']}: {line['text']}" for line in failures]
    micro = _micro_rows(lines)
    if micro and with_micro:
        out += ["", *_table(["Micro benchmark", "what", "value"], micro)]
    return "\n".join(out)


def text(lines):
    """The same for a terminal."""
    out = []
    micro = (["Micro benchmark", "what", "value"], _micro_rows(lines))
    for header, rows in (_cells(lines), micro):
        if not rows:
            continue
        widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]
        for row in [header, *rows]:
            out.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        out.append("")
    for line in lines:
        if line["metric"] == "failure":
            out.append(f"FAILED {line['case']}: {line['text']}")
    return "\n".join(out)


def update_document(path, lines, with_micro):
    """Puts the tables between the markers of `path`; ValueError if it has none."""
    old = path.read_text()
    if BEGIN not in old or END not in old:
        raise ValueError(f"{path} has no {BEGIN} ... {END}")
    head, rest = old.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    path.write_text(f"{head}{BEGIN}\n{markdown(lines, with_micro)}\n{END}{tail}")
