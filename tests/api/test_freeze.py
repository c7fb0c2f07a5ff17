"""Idle instances are frozen: threads, timers and children of a function stand still between calls."""
import threading
import unittest

from support import leaks
from support.engine import Engine

# A thread and a double-forked child note the time every millisecond; the handler reports the
# longest pause that each of them has seen.
TICKER = """
import itertools, os, threading, time

TICKS = "/tmp/child-ticks"
pause = threading.Event()  # never set

def gaps(times_s):
    return max((b - a for a, b in zip(times_s, times_s[1:])), default=0.0)

thread_ticks = []

def tick_in_thread():
    while True:
        thread_ticks.append(time.monotonic())
        pause.wait(0.001)

def tick_in_child():
    begun, begins = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(TICKS, "a", buffering=1) as out:
                for count in itertools.count():
                    out.write(f"{time.monotonic()}\\n")
                    if count == 20:
                        os.close(begins)
                    pause.wait(0.001)
        os._exit(0)
    os.close(begins)
    os.read(begun, 1)  # it has ticked

threading.Thread(target=tick_in_thread, daemon=True).start()
tick_in_child()

def handler(event, context):
    pause.wait(0.05)
    with open(TICKS) as ticks:
        child = [float(line) for line in ticks if line.endswith("\\n")]
    return {"thread_gap_s": gaps(thread_ticks), "child_gap_s": gaps(child), "ticks": len(child)}
"""

PAUSE_S = 0.6


def frozen_count(engine):
    return engine.status()["FrozenInstances"]


class Freeze(unittest.TestCase):
    def gaps_after_pause(self, grace_ms):
        with Engine(freeze_grace_ms=grace_ms) as engine:
            engine.create_python("ticker", TICKER)
            engine.result("ticker", {})
            # The pause is the thing measured: nothing ever happens on this event.
            threading.Event().wait(PAUSE_S)
            frozen = frozen_count(engine)
            return engine.result("ticker", {}), frozen

    def test_nothing_runs_between_invocations(self):
        seen, frozen = self.gaps_after_pause(20)
        self.assertEqual(frozen, 1)
        self.assertGreater(seen["thread_gap_s"], PAUSE_S * 0.7)
        self.assertGreater(seen["child_gap_s"], PAUSE_S * 0.7)
        self.assertGreater(seen["ticks"], 10, "the child ran while an invocation did")

    def test_without_freezing_they_run_on(self):
        # The control: the same function shows no such gap if nobody freezes it.
        seen, frozen = self.gaps_after_pause("none")
        self.assertEqual(frozen, 0)
        self.assertLess(seen["thread_gap_s"], PAUSE_S * 0.7)
        self.assertLess(seen["child_gap_s"], PAUSE_S * 0.7)

    def test_a_frozen_instance_is_retired_and_leaves_nothing(self):
        with Engine(freeze_grace_ms=0, idle_timeout_s=1) as engine:
            engine.create_python("ticker", TICKER)
            engine.result("ticker", {})
            self.assertEqual(frozen_count(engine), 1)
            leaks.eventually(lambda: engine.status()["Instances"] == 0, "the instance retires")
            self.assertEqual(frozen_count(engine), 0)


if __name__ == "__main__":
    unittest.main()
