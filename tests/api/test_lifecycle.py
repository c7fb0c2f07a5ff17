"""Cold and warm starts, reuse order, scale-out, throttling, retirement, provisioned instances."""
import threading
import time
import unittest

from support import leaks
from support.engine import Engine

COUNTER = """
import os, threading, time
count = 0
born_s = time.time()
birth = os.urandom(8).hex()
def handler(event, context):
    global count
    count += 1
    if event.get("wait_s"):
        threading.Event().wait(event["wait_s"])
    kind = os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
    return {"count": count, "birth": birth, "born_s": born_s, "kind": kind}
"""


class WarmReuse(unittest.TestCase):
    def test_second_call_is_served_by_the_same_instance(self):
        with Engine() as engine:
            engine.create_python("counter", COUNTER)
            first = engine.invoke("counter", {})
            second = engine.invoke("counter", {})
            self.assertEqual((first.json["count"], second.json["count"]), (1, 2))
            self.assertEqual(first.json["birth"], second.json["birth"])
            self.assertGreater(first.init_us, 0)
            self.assertEqual(second.init_us, 0)
            self.assertIn("Init Duration: ", first.log)
            self.assertNotIn("Init Duration: ", second.log)

    def test_the_instance_used_last_is_used_first(self):
        with Engine() as engine:
            engine.create_python("counter", COUNTER)
            births = self.scale_out(engine, 3)
            last = engine.result("counter", {})["birth"]
            self.assertIn(last, births)
            again = {engine.result("counter", {})["birth"] for _ in range(5)}
            self.assertEqual(again, {last})

    def scale_out(self, engine, count):
        with engine.connect() as connection:
            for _ in range(count):
                connection.send_invoke("counter", {"wait_s": 0.5})
            answers = [connection.receive().json for _ in range(count)]
        births = {answer["birth"] for answer in answers}
        self.assertEqual(len(births), count, "concurrent calls need an instance each")
        return births

    def test_a_change_of_code_takes_new_instances(self):
        with Engine() as engine:
            engine.create_python("counter", COUNTER)
            old = engine.result("counter", {})["birth"]
            answer = engine.control(
                "UpdateFunctionConfiguration",
                {"FunctionName": "counter", "Environment": {"Variables": {"COLOUR": "red"}}},
            )
            self.assertEqual(answer.status, 200, answer)
            new = engine.result("counter", {})
            self.assertNotEqual(new["birth"], old)
            self.assertEqual(new["count"], 1)


class Throttling(unittest.TestCase):
    def test_calls_beyond_the_reserved_concurrency_get_429(self):
        with Engine() as engine:
            engine.create_python("counter", COUNTER, Timeout=10)
            answer = engine.control(
                "PutFunctionConcurrency",
                {"FunctionName": "counter", "ReservedConcurrentExecutions": 2},
            )
            self.assertEqual(answer.status, 200, answer)
            with engine.connect() as connection:
                for _ in range(5):
                    connection.send_invoke("counter", {"wait_s": 1.5})
                answers = [connection.receive() for _ in range(5)]
            throttled = [answer for answer in answers if answer.status == 429]
            self.assertEqual(len(throttled), 3, answers)
            for answer in throttled:
                self.assertEqual(answer.error_code, "TooManyRequestsException")
                self.assertEqual(answer.message, "Rate Exceeded.")
                self.assertEqual(
                    answer.json["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded"
                )
            engine.result("counter", {})

    def test_the_account_limit_throttles_too(self):
        with Engine(concurrency_max=2) as engine:
            engine.create_python("one", COUNTER, Timeout=10)
            engine.create_python("two", COUNTER, Timeout=10)
            with engine.connect() as connection:
                for name in ("one", "two", "one", "two"):
                    connection.send_invoke(name, {"wait_s": 1.5})
                answers = [connection.receive() for _ in range(4)]
            throttled = [answer for answer in answers if answer.status == 429]
            self.assertEqual(len(throttled), 2, answers)
            for answer in throttled:
                self.assertEqual(answer.json["Reason"], "ConcurrentInvocationLimitExceeded")

    def test_what_is_reserved_is_there_when_the_others_are_busy(self):
        with Engine(concurrency_max=105) as engine:
            engine.create_probe("busy", Timeout=60)
            engine.create_probe("reserved")
            answer = engine.control(
                "PutFunctionConcurrency",
                {"FunctionName": "reserved", "ReservedConcurrentExecutions": 5},
            )
            self.assertEqual(answer.status, 200, answer)
            with engine.connect() as connection:
                for _ in range(101):
                    connection.send_invoke("busy", {"do": "pause"})
                throttled = connection.receive()
                self.assertEqual(throttled.status, 429, throttled)
                self.assertEqual(throttled.json["Reason"], "ConcurrentInvocationLimitExceeded")
                engine.result("reserved", {})


class Retirement(unittest.TestCase):
    def test_idle_instances_retire_to_zero(self):
        with Engine(idle_timeout_s=1) as engine:
            before = engine.warmed_holdings()
            engine.create_python("counter", COUNTER)
            engine.create_probe("native")
            engine.result("counter", {})
            engine.result("native", {})
            engine.await_holdings(before)
            self.assertEqual(engine.result("counter", {})["count"], 1)

    def test_deleting_a_function_ends_its_instances(self):
        with Engine() as engine:
            before = engine.warmed_holdings()
            engine.create_python("counter", COUNTER)
            engine.result("counter", {})
            engine.delete("counter")
            engine.await_holdings(before)


class Provisioned(unittest.TestCase):
    def test_pinned_instances_are_warm_before_the_first_call_and_never_retire(self):
        with Engine(idle_timeout_s=1) as engine:
            engine.create_python("counter", COUNTER)
            engine.create_python("other", COUNTER)
            answer = engine.control(
                "PutProvisionedConcurrencyConfig",
                {"FunctionName": "counter", "Qualifier": "$LATEST",
                 "ProvisionedConcurrentExecutions": 2},
            )
            self.assertEqual(answer.status, 202, answer)
            self.await_ready(engine, 2)
            ready_s = time.time()
            first = engine.result("counter", {})
            self.assertLess(first["born_s"], ready_s, "initialised before the first call")
            self.assertEqual((first["kind"], first["count"]), ("provisioned-concurrency", 1))
            # `other` retires after its second; by then the pinned ones would have gone, too.
            engine.result("other", {})
            leaks.eventually(lambda: engine.status()["Instances"] == 2, "`other` retired", 15)
            self.assertLess(engine.result("counter", {})["born_s"], ready_s)

    def await_ready(self, engine, count):
        def ready():
            answer = engine.control(
                "GetProvisionedConcurrencyConfig",
                {"FunctionName": "counter", "Qualifier": "$LATEST"},
            )
            return answer.json["Status"] == "READY" and (
                answer.json["AvailableProvisionedConcurrentExecutions"] == count
            )
        leaks.eventually(ready, f"{count} provisioned instances ready")


class ParallelClients(unittest.TestCase):
    def test_many_connections_at_once(self):
        with Engine() as engine:
            engine.create_probe("probe")
            errors = []

            def client(number):
                try:
                    with engine.connect() as connection:
                        for i in range(20):
                            event = {"do": "echo", "client": number, "i": i}
                            answer = connection.invoke("probe", event)
                            assert answer.json == event, answer
                except Exception as error:  # handed to the main thread below
                    errors.append(error)

            threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(errors, [])

    def test_32_in_flight_on_one_connection_come_out_of_order(self):
        with Engine() as engine:
            engine.create_python("counter", COUNTER, Timeout=20)
            engine.create_probe("probe")
            with engine.connect() as connection:
                slow = connection.send_invoke("counter", {"wait_s": 2})
                quick = {connection.send_invoke("probe", {"do": "echo"}) for _ in range(31)}
                order = [connection.receive() for _ in range(32)]
            self.assertEqual([answer.status for answer in order], [200] * 32)
            self.assertEqual(order[-1].correlation, slow)
            self.assertEqual({answer.correlation for answer in order[:-1]}, quick)


if __name__ == "__main__":
    unittest.main()
