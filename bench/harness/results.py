"""Result lines: one JSON object per case, subject and metric."""

import json
import statistics
import time


class Results:
    """Collects lines; `sink`, if any, gets each as it comes."""

    def __init__(self, facts, sink=None):
        self._facts = facts
        self._sink = sink
        self._run = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.lines = []

    def _append(self, line):
        self.lines.append(line)
        if self._sink is not None:
            self._sink(json.dumps(line))

    def add(self, case, subject, metric, unit, values, n, variant=None):
        """`values`: one per round; the line's value is their median."""
        line = {
            "case": case,
            "subject": subject,
            "metric": metric,
            "unit": unit,
            "value": round(statistics.median(values), 4),
            "n": n,
        }
        if variant is not None:
            line["variant"] = variant
        line["rounds"] = [round(value, 4) for value in values]
        self._append({**line, "run": self._run, **self._facts})

    def add_failure(self, case, text):
        line = {"case": case, "subject": "hako", "metric": "failure", "unit": "", "value": None}
        self._append({**line, "n": 0, "text": text, "run": self._run, **self._facts})

    def find(self, case, subject, metric, variant=None):
        return find(self.lines, case, subject, metric, variant)


def find(lines, case, subject, metric, variant=None):
    """The latest line of that name, or None."""
    for line in reversed(lines):
        key = (line["case"], line["subject"], line["metric"], line.get("variant"))
        if key == (case, subject, metric, variant):
            return line
    return None


def latest_run(path):
    """The lines of the last run kept in `path`."""
    lines = [json.loads(text) for text in path.read_text().splitlines() if text.strip()]
    if not lines:
        raise ValueError(f"{path} holds no lines")
    return [line for line in lines if line["run"] == lines[-1]["run"]]
