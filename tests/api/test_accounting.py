"""One record per invocation: ledger, bill, REPORT line and answer agree to the microsecond."""
import collections
import glob
import os
import unittest

from support import leaks
from support.engine import Engine
from support.ledger import read_ledger

MIB = 1 << 20


def report_line(answer, *, cold: bool, ending: str = "") -> str:
    """The REPORT line that belongs to the numbers in `answer`, worked out once more."""
    def milliseconds(us: int) -> str:
        hundredths = -(-us // 10)
        return f"{hundredths // 100}.{hundredths % 100:02d} ms"

    init = f"Init Duration: {milliseconds(answer.init_us)}\t" if cold else ""
    return (
        f"REPORT RequestId: {answer.request_id}\tDuration: {milliseconds(answer.duration_us)}"
        f"\tBilled Duration: {answer.billed_us // 1000} ms\tMemory Size: {answer.memory_mib} MB"
        f"\tMax Memory Used: {-(-answer.memory_peak_bytes // MIB)} MB\t{init}{ending}\n"
    )


def log_text(state: str, function: str) -> str:
    paths = sorted(glob.glob(os.path.join(glob.escape(state), "log", function, "*.log*")))
    return "".join(leaks.read_text(path) for path in paths)


def sums(records) -> dict:
    totals = collections.defaultdict(lambda: collections.Counter())
    for record in records:
        totals[record.function].update(
            Invocations=1, DurationUs=record.duration_us, BilledUs=record.billed_us,
            InitUs=record.init_us, CpuUs=record.cpu_us,
        )
    return totals


class Accounting(unittest.TestCase):
    def make_traffic(self, engine) -> list:
        """Calls of every outcome that needs no second process; answers in the order asked."""
        engine.create_probe("probe", Timeout=1, MemorySize=256)
        engine.create_python(
            "python", "def handler(e, c):\n    return sum(range(e['n']))\n", MemorySize=192
        )
        answers = [engine.invoke("probe", {"do": "echo", "i": i}) for i in range(5)]
        answers += [engine.invoke("python", {"n": n}) for n in (1, 100_000, 1_000_000)]
        answers += [engine.invoke("python", {"not": "n"})]
        for event in ({"do": "segv"}, {"do": "pause"}, {"do": "large", "n": 7_000_000}):
            answers.append(engine.invoke("probe", event))
        with engine.connect() as connection:
            for _ in range(20):
                connection.send_invoke("probe", {"do": "echo"})
            answers += [connection.receive() for _ in range(20)]
        return answers

    def check_agreement(self, engine, answers) -> None:
        records = read_ledger(engine.state)
        by_id = {record.request_id: record for record in records}
        self.assertEqual(len(records), len(answers), "one record for each invocation")
        for answer in answers:
            record = by_id[answer.request_id]
            for field in ("duration_us", "billed_us", "init_us", "cpu_us", "memory_peak_bytes",
                          "memory_mib"):
                self.assertEqual(getattr(record, field), getattr(answer, field), field)
            self.assertEqual(record.billed_us, max(1, -(-record.duration_us // 100_000)) * 100_000)
        bill = engine.bill()
        totals = sums(records)
        self.assertEqual({row["FunctionName"] for row in bill["Rows"]}, set(totals))
        for row in bill["Rows"]:
            for key, value in totals[row["FunctionName"]].items():
                self.assertEqual(row[key], value, f"{row['FunctionName']} {key}")
        for key in ("Invocations", "DurationUs", "BilledUs", "InitUs", "CpuUs"):
            self.assertEqual(bill["Total"][key], sum(total[key] for total in totals.values()), key)

    def check_reports(self, engine, answers) -> None:
        by_id = {record.request_id: record for record in read_ledger(engine.state)}
        endings = {
            "ok": "", "function_error": "",
            "timeout": "Status: timeout", "crash": "Status: error\tError Type: Runtime.ExitError",
            "response_too_large": "",
        }
        seen = collections.Counter()
        for answer in answers:
            record = by_id[answer.request_id]
            line = report_line(answer, cold=record.cold, ending=endings[record.outcome])
            self.assertTrue(answer.log.endswith(line), f"{line!r} does not end {answer.log!r}")
            leaks.eventually(lambda: line in log_text(engine.state, record.function), line)
            self.assertEqual(log_text(engine.state, record.function).count(line), 1)
            seen[record.outcome] += 1
        self.assertEqual(set(seen), set(endings), "every outcome was there")

    def test_ledger_bill_reports_and_answers_agree(self):
        with Engine() as engine:
            answers = self.make_traffic(engine)
            self.check_agreement(engine, answers)
            self.check_reports(engine, answers)

    def test_the_report_of_a_quiet_call_reaches_the_file(self):
        # A flush that the call before had asked for took this one's START line along; then nobody
        # woke the writer for END and REPORT, which stood in memory until the next call.
        with Engine(log_flush_ms=100) as engine:
            engine.create_python(
                "slow", "import time\ndef handler(e, c):\n    time.sleep(e['s'])\n"
            )
            engine.invoke("slow", {"s": 0})
            line = report_line(engine.invoke("slow", {"s": 0.5}), cold=False)
            leaks.eventually(lambda: line in log_text(engine.state, "slow"), line)

    def test_the_record_is_there_before_the_answer_and_survives_kill_9(self):
        with Engine() as engine:
            engine.create_probe("probe")
            answers = []
            for _ in range(3):
                for _ in range(30):
                    answers.append(engine.invoke("probe", {"do": "echo"}))
                engine.kill()
                self.assertEqual(
                    [record.request_id for record in read_ledger(engine.state)],
                    [answer.request_id for answer in answers],
                )
                engine.start()
                self.check_agreement(engine, answers)

    def test_the_billing_increment_is_a_setting(self):
        with Engine(billing_increment_ms=1) as engine:
            engine.create_probe("probe")
            for _ in range(5):
                answer = engine.invoke("probe", {"do": "echo"})
                self.assertEqual(answer.billed_us, max(1, -(-answer.duration_us // 1000)) * 1000)

    def test_cpu_time_is_what_the_function_burnt(self):
        with Engine() as engine:
            source = (
                "import time\ndef handler(e, c):\n"
                "    end = time.process_time() + e['s']\n"
                "    while time.process_time() < end: pass\n"
            )
            engine.create_python("burn", source, Timeout=20, MemorySize=1769)
            engine.invoke("burn", {"s": 0})
            answer = engine.invoke("burn", {"s": 0.3})
            self.assertGreaterEqual(answer.cpu_us, 290_000)
            self.assertLess(answer.cpu_us, 400_000)
            self.assertGreaterEqual(answer.duration_us, answer.cpu_us - 10_000)


if __name__ == "__main__":
    unittest.main()
