"""What outlives the process, and how it ends: restart, kill -9, drain, second signal."""
import os
import signal
import socket
import subprocess
import time
import unittest

from support import leaks
from support.engine import HAKOD, SOURCE_ROOT, Engine
from support.ledger import read_ledger

ECHO = "def handler(event, context):\n    return event\n"
BORN = "import time\nborn_s = time.time()\ndef handler(event, context):\n    return born_s\n"
WAITS = (
    "import threading\ndef handler(event, context):\n"
    "    threading.Event().wait(event['s'])\n    return 'done'\n"
)


class Restart(unittest.TestCase):
    def test_functions_survive_a_restart_and_a_kill(self):
        with Engine() as engine:
            engine.create_python("keeps", ECHO, MemorySize=192, Timeout=7, Description="stays")
            engine.control(
                "PutFunctionConcurrency",
                {"FunctionName": "keeps", "ReservedConcurrentExecutions": 3},
            )
            engine.create_python("goes", ECHO)
            engine.delete("goes")
            before = engine.control("GetFunction", {"FunctionName": "keeps"}).json
            for end in (engine.stop, engine.kill):
                end()
                engine.start()
                listed = engine.control("ListFunctions", {}).json["Functions"]
                self.assertEqual([item["FunctionName"] for item in listed], ["keeps"])
                after = engine.control("GetFunction", {"FunctionName": "keeps"}).json
                self.assertEqual(after["Configuration"], before["Configuration"])
                self.assertEqual(after["Concurrency"], {"ReservedConcurrentExecutions": 3})
                self.assertEqual(engine.result("keeps", {"a": 1}), {"a": 1})

    def test_provisioned_instances_come_back(self):
        with Engine() as engine:
            engine.create_python("pinned", BORN)
            request = {"FunctionName": "pinned", "Qualifier": "$LATEST"}
            engine.control(
                "PutProvisionedConcurrencyConfig", request | {"ProvisionedConcurrentExecutions": 1}
            )
            engine.stop()
            engine.start()

            def ready():
                answer = engine.control("GetProvisionedConcurrencyConfig", request)
                return answer.json["Status"] == "READY"
            leaks.eventually(ready, "provisioned again")
            ready_s = time.time()
            self.assertLess(engine.result("pinned", 1), ready_s)

    def test_a_start_cleans_up_after_engine_and_spawner_were_killed(self):
        with Engine() as engine:
            engine.create_python("slow", WAITS, Timeout=60)
            connection = engine.connect()
            connection.send_invoke("slow", {"s": 50})
            leaks.eventually(lambda: engine.status()["InFlight"] == 1, "it runs")
            engine.note_processes()
            keepers = leaks.children_of(engine.process.pid)
            spawners = [pid for keeper in keepers for pid in leaks.children_of(keeper)]
            pidfds = [os.pidfd_open(pid) for pid in keepers + spawners]
            signal.pidfd_send_signal(engine.pidfd, signal.SIGSTOP)
            for pidfd in pidfds:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                os.close(pidfd)
            signal.pidfd_send_signal(engine.pidfd, signal.SIGKILL)
            self.assertEqual(engine.wait(), -signal.SIGKILL)
            connection.close()
            old = dict(engine.seen_processes)
            engine.start()
            leaks.eventually(lambda: not leaks.alive(old), "processes of the run before gone")
            self.assertEqual(engine.result("slow", {"s": 0}), "done")


class Draining(unittest.TestCase):
    def begin(self, engine, seconds):
        engine.create_python("slow", WAITS, Timeout=60)
        connection = engine.connect()
        connection.send_invoke("slow", {"s": seconds})
        leaks.eventually(lambda: engine.status()["InFlight"] == 1, "it runs")
        return connection

    def refused(self, engine):
        try:
            with engine.connect() as connection:
                connection.ping()
        except (ConnectionError, FileNotFoundError, EOFError, socket.timeout):
            return True
        return False

    def test_sigterm_lets_running_calls_finish(self):
        with Engine() as engine:
            connection = self.begin(engine, 1.5)
            engine.signal(signal.SIGTERM)
            leaks.eventually(lambda: self.refused(engine), "new connections refused")
            self.assertEqual(connection.receive().json, "done")
            self.assertEqual(engine.wait(), 0)
            engine.assert_nothing_left()

    def test_the_drain_has_a_deadline(self):
        with Engine(drain_timeout_s=1) as engine:
            connection = self.begin(engine, 40)
            engine.signal(signal.SIGTERM)
            answer = connection.receive()
            self.assertEqual((answer.status, answer.error_code), (500, "ServiceException"))
            connection.close()
            self.assertEqual(engine.wait(10), 0)
            engine.assert_nothing_left()

    def test_the_logs_are_whole_at_the_end(self):
        for signals in (1, 2):  # a drain, and a stop at once
            with self.subTest(signals), Engine(log_flush_ms=1) as engine:
                engine.create_probe("probe")
                with engine.connect() as connection:
                    for _ in range(200):
                        connection.send_invoke("probe", {"do": "log"})
                    for _ in range(100):
                        connection.receive()
                    for _ in range(signals):
                        engine.signal(signal.SIGTERM)
                    engine.wait()
                folder = os.path.join(engine.state, "log", "probe")
                log = "".join(leaks.read_text(os.path.join(folder, f)) for f in os.listdir(folder))
                records = read_ledger(engine.state)
                self.assertGreaterEqual(len(records), 100)
                for record in records:
                    self.assertIn(f"REPORT RequestId: {record.request_id}\t", log)

    def test_a_second_sigterm_ends_it_at_once(self):
        with Engine() as engine:
            connection = self.begin(engine, 40)
            engine.signal(signal.SIGTERM)
            leaks.eventually(lambda: self.refused(engine), "new connections refused")
            engine.signal(signal.SIGTERM)
            engine.wait(5)
            engine.assert_nothing_left()
            connection.close()


class Process(unittest.TestCase):
    def test_the_serving_engine_has_no_privileges(self):
        with Engine() as engine:
            text = leaks.read_text(f"/proc/{engine.process.pid}/status")
            status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
            uids, gids = status["Uid"].split(), status["Gid"].split()
            self.assertEqual(len(set(uids)), 1)
            self.assertNotEqual(uids[0], "0")
            self.assertNotEqual(gids[0], "0")
            self.assertEqual(status["Groups"].strip(), "")
            for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertEqual(int(status[name], 16), 0, name)
            self.assertEqual(status["NoNewPrivs"], "1")
            self.assertEqual(status["Seccomp"], "2")
            for thread in os.listdir(f"/proc/{engine.process.pid}/task"):
                text = leaks.read_text(f"/proc/{engine.process.pid}/task/{thread}/status")
                self.assertIn("Seccomp:\t2\n", text)
                self.assertIn("CapEff:\t0000000000000000\n", text)

    def test_systemd_socket_activation(self):
        with Engine() as engine:
            engine.stop()
            path = os.path.join(engine.scratch, "activated.sock")
            notify_path = os.path.join(engine.scratch, "notify2.sock")
            with socket.socket(socket.AF_UNIX) as listener, \
                    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                listener.bind(path)
                listener.listen(16)
                os.chmod(path, 0o666)
                notify.bind(notify_path)
                os.chmod(notify_path, 0o666)
                self.spawn_activated(engine, listener.fileno(), notify_path)
                # A client that connects before the engine is ready is served, not refused.
                engine.socket_path = path
                with engine.connect() as connection:
                    self.assertEqual(connection.ping().kind, 2)
                engine.await_ready(notify)
            engine.create_python("echo", ECHO)
            self.assertEqual(engine.result("echo", [1]), [1])

    def spawn_activated(self, engine, descriptor, notify_path):
        """LISTEN_PID must be the engine's own: a shell sets it and becomes the engine."""
        script = 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        plain = engine.command()
        engine.command = lambda: ["/bin/bash", "-c", script, "bash", str(descriptor), *plain]
        environment = dict(os.environ, NOTIFY_SOCKET=notify_path)
        engine.spawn(env=environment, pass_fds=(descriptor,))

    def test_the_configuration_reference_is_up_to_date(self):
        done = subprocess.run(
            [HAKOD, "--print-config-reference"], capture_output=True, timeout=20, check=True
        )
        path = os.path.join(SOURCE_ROOT, "docs", "configuration.md")
        with open(path, "rb") as file:
            self.assertEqual(file.read(), done.stdout, f"write it again: hakod > {path}")

    def test_version_and_help_need_no_state(self):
        for flag in ("--version", "--help"):
            done = subprocess.run([HAKOD, flag], capture_output=True, timeout=20, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(done.stdout)


if __name__ == "__main__":
    unittest.main()
