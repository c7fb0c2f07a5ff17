"""Resource attacks: each is contained, and a neighbour hardly notices. One line per attack."""
import collections
import time
import unittest

import scene
from attacks import ATTACKS, DONE, TIME, Assault, Attack
from scene import LONG, TICK_US, Watcher, quantile

ATTEMPTS = 5
PING_TAIL_US = 3 * TICK_US
# Beside others that keep the processors busy latencies say nothing of hako: they are told then, not
# judged. What contains the attack is judged always.
IDLE_MIN = 0.7
SECONDS = 1.2 if LONG else 0.35


class Attacks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = scene.make_engine(pool_native=4)
        cls.addClassCleanup(cls.engine.__exit__, None, None, None)
        scene.create(cls.engine, "near", MemorySize=256)
        cls.watcher = Watcher(cls.engine, "near")
        cls.addClassCleanup(cls.watcher.close)
        cls.watcher.measure(0.2)
        cls.processes = scene.processes_count()

    def assail(self, attack: Attack, function: str) -> dict:
        """One round; what was seen."""
        engine, watcher = self.engine, self.watcher
        scene.await_rest(engine)
        watcher.measure(0.05)
        clock = scene.idle_clock()
        before = watcher.measure(SECONDS)
        idle = scene.idle_part(clock)
        rss_kib = scene.engine_rss_kib(engine)
        assault = Assault(engine, attack, function, SECONDS)
        assault.start()
        cpu_ms, begun = scene.engine_cpu_ms(engine), time.monotonic()
        during = watcher.measure(SECONDS)
        ping = watcher.measure(SECONDS / 3, ping=True)
        cpu_part = (scene.engine_cpu_ms(engine) - cpu_ms) / (time.monotonic() - begun) / 1000
        seen = {
            "idle": idle, "before": before, "during": during, "ping": ping, "cpu_part": cpu_part,
            "processes": scene.processes_count() - self.processes,
            "rss_kib": scene.engine_rss_kib(engine) - rss_kib,
        }
        assault.finish()
        return seen | {"endings": assault.endings}

    def check_neighbour(self, seen: dict, tail_us: int) -> str:
        """What is wrong with the latencies; empty if nothing."""
        p50 = [quantile(seen[when], 0.5) for when in ("before", "during")]
        p99 = [quantile(seen[when], 0.99) for when in ("before", "during")]
        ping_p99 = quantile(seen["ping"], 0.99)
        told = (
            f"{self.id()}: p50 {p50[0]:.0f} -> {p50[1]:.0f} us, p99 {p99[0]:.0f} -> {p99[1]:.0f} us "
            f"(n={len(seen['during'])}), ping p99 {ping_p99:.0f} us, engine cpu "
            f"{seen['cpu_part']:.2f}, rss +{seen['rss_kib']} KiB, processes "
            f"{seen['processes']:+}, idle {seen['idle']:.2f}, endings "
            f"{collections.Counter(seen['endings'])}"
        )
        print(f"# {told}", flush=True)
        if seen["idle"] < IDLE_MIN:
            return ""
        bounded = p99[1] <= max(2 * p99[0], p99[0] + tail_us)
        typical = p50[1] <= 2 * p50[0] + 50
        reachable = ping_p99 <= max(tail_us, PING_TAIL_US)
        return "" if bounded and typical and reachable else told


def attack_test(attack: Attack):
    def test(self: Attacks):
        function = f"{attack.name}{attack.memory_mib}"
        scene.create(self.engine, function, MemorySize=attack.memory_mib, Timeout=1)
        faults = []
        for _ in range(ATTEMPTS):
            seen = self.assail(attack, function)
            # On a busy machine its time may be over before its memory is.
            endings = attack.endings | (set() if seen["idle"] >= IDLE_MIN else {DONE, TIME})
            self.assertLessEqual(set(seen["endings"]), endings)
            self.assertLess(seen["rss_kib"], scene.ENGINE_RSS_KIB_MAX)
            self.assertLess(seen["processes"], 1200)
            # Doorbell, drip and log took 0.4 to 0.9 of a core before they were bounded.
            self.assertLess(seen["cpu_part"], 0.3, "the engine works for the attacker")
            faults.append(self.check_neighbour(seen, attack.tail_us))
            if not faults[-1]:
                break
        self.engine.delete(function)
        self.assertIn("", faults, f"the neighbour suffers: {faults}")

    test.__doc__ = attack.wall
    return test


for _attack in ATTACKS:
    _name = f"test_{_attack.name}_{_attack.memory_mib}_mib"
    setattr(Attacks, _name, attack_test(_attack))


class Answers(unittest.TestCase):
    def test_answers_over_6_mib_for_ever(self):
        """Each is refused, the instance stays, and the engine does not grow."""
        engine = scene.make_engine()
        self.addCleanup(engine.__exit__, None, None, None)
        scene.create(engine, "large", MemorySize=256)
        engine.invoke("large", {"do": "large", "bytes": 7 << 20})
        before = scene.engine_rss_kib(engine)
        with engine.connect() as connection:
            for _ in range(200):
                answer = connection.invoke("large", {"do": "large", "bytes": 7 << 20})
                self.assertEqual(answer.json["errorType"], "Function.ResponseSizeTooLarge")
                self.assertEqual(answer.init_us, 0)
        self.assertLess(scene.engine_rss_kib(engine) - before, scene.ENGINE_RSS_KIB_MAX)

    def test_a_log_flood_is_cut_and_marked(self):
        engine = scene.make_engine()
        self.addCleanup(engine.__exit__, None, None, None)
        scene.create(engine, "log", MemorySize=256, Timeout=10)
        answer = engine.invoke("log", {"do": "log", "ms": 1500})
        self.assertFalse(answer.function_error, answer)
        self.assertRegex(answer.log, r"\[hako: log cut at \d+ bytes, \d+ bytes dropped\]")


if __name__ == "__main__":
    unittest.main()
