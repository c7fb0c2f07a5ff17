"""attempts.txt, and what a real engine needs to run it."""
import dataclasses
import os

HERE = os.path.dirname(os.path.abspath(__file__))
CONTROLS = ("none", "docker", "bare", "overflow")  # and "host", for rows of real instances

# What comes of an attempt where the engine has said that a wall is missing. With one id for all,
# signals may be sent to init; the kernel drops them, because it is first in its pid namespace.
WITHOUT_WALL: dict[str, dict[str, str]] = {
    "own-ids": dict.fromkeys(
        ("kill-init", "term-init", "stop-init", "queue-init", "pidfd-init", "slow-init"), "ok"
    ),
}


@dataclasses.dataclass
class Row:
    name: str
    place: str  # any, instance or engine
    attempt: str
    outcomes: list[str]
    wall: str
    open_in: dict[str, bool]  # control -> whether its kernel may lack the thing
    what: str

    def is_open(self) -> bool:
        """Not stopped, and known: docs/security.md says so."""
        return self.wall.startswith("none")

    def expects(self, outcome: str) -> bool:
        return outcome in self.outcomes


def read_table(path: str = os.path.join(HERE, "attempts.txt")) -> list[Row]:
    rows = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            name, place, attempt, outcomes, wall, controls, what = map(str.strip, line.split("|"))
            open_in = {
                word.lstrip("~"): word.startswith("~")
                for word in controls.split() if word != "-"
            }
            assert place in ("any", "instance", "engine"), line
            assert set(open_in) <= {*CONTROLS, "host"}, line
            rows.append(Row(name, place, attempt, outcomes.split("/"), wall, open_in, what))
    names = [row.name for row in rows]
    assert len(names) == len(set(names)), "two rows have one name"
    return rows
