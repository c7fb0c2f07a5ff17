"""What needs an engine to be attacked and a neighbour to notice. Each method is one row of
attempts.txt and returns "stopped", "open", or a text that says what went wrong."""
import io
import json
import os
import statistics
import time
import zipfile

from support import leaks
from support.engine import Engine

STORM_CALLS = 200
# A sane neighbour: at most so many times its own median before, or below the floor in any case.
# Two CPUs are shared with the attacker, who has every right to one of them.
STORM_RATIO_MAX = 20
STORM_FLOOR_US = 5_000


def zip_entry(name: str, mode: int, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        add_entry(archive, name, mode, content)
    return buffer.getvalue()


def add_entry(archive: zipfile.ZipFile, name: str, mode: int, content: bytes) -> None:
    info = zipfile.ZipInfo(name, date_time=(2017, 12, 14, 10, 0, 0))
    info.create_system = 3
    info.external_attr = mode << 16
    archive.writestr(info, content)


class EngineAttempts:
    """`victim` is a warm neighbour that must go on giving its own right answers."""

    def __init__(self, engine: Engine, shared: bytes) -> None:
        self.engine = engine
        self.shared = shared
        self.serial = 0
        self.victim = self.deploy("victim")
        self.assert_victim_well()

    # ---- helpers ----

    def deploy(self, name: str, **configuration) -> str:
        files = {"libescape.so": self.shared}
        self.engine.create(
            name, files, runtime="native", handler="libescape.so", **configuration
        )
        return name

    def attacker(self, **configuration) -> str:
        self.serial += 1
        return self.deploy(f"attacker-{self.serial}", **{"Timeout": 1} | configuration)

    def misbehave(self, name: str, *words: str):
        return self.engine.invoke(name, dict.fromkeys(words, 1))

    def assert_victim_well(self) -> None:
        """Different bytes each time: an answer of before, or somebody else's, is noticed."""
        self.serial += 1
        event = {"keep": f"{self.serial}-{os.urandom(16).hex()}"}
        answer = self.engine.invoke(self.victim, event)
        assert answer.status == 200 and answer.json == event, f"{answer}\n{self.engine.log()}"

    def victim_median_us(self) -> float:
        times = []
        with self.engine.connect() as connection:
            for number in range(STORM_CALLS):
                event = {"keep": str(number)}
                begun = time.perf_counter()
                answer = connection.invoke(self.victim, event, tail=False)
                times.append((time.perf_counter() - begun) * 1e6)
                assert answer.json == event, answer
        return statistics.median(times)

    def sandbox_processes(self) -> list[int]:
        """Of this engine's ids; what is inside a sandbox cannot have others. Without root the
        engine itself may have the same, but is in no pid namespace of its own."""
        first, count = self.engine.sandbox_ids()
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                status = leaks.read_text(f"/proc/{name}/status")
                uid = status.partition("\nUid:\t")[2].split("\t")[0]
                is_inside = len(status.partition("\nNSpid:")[2].partition("\n")[0].split()) > 1
                if (is_inside and first <= int(uid or -1) < first + count
                        and "\nState:\tZ" not in status):
                    found.append(int(name))
        return found


    def refused(self, package: bytes) -> str:
        self.serial += 1
        request = {
            "FunctionName": f"package-{self.serial}", "Runtime": "native",
            "Handler": "libescape.so", "Role": "arn:aws:iam::123456789012:role/test",
        }
        answer = self.engine.control("CreateFunction", request, package)
        if answer.status == 400 and "InvalidParameterValue" in answer.error_code:
            return "stopped"
        return f"accepted: {answer}"

    def refused_links(self, *links: tuple[str, str]) -> str:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            add_entry(archive, "libescape.so", 0o100755, b"x")
            for name, target in links:
                add_entry(archive, name, 0o120777, target.encode())
        return self.refused(buffer.getvalue())

    # ---- packages ----

    def package_link_out(self) -> str:
        return self.refused_links(("up", "../../../../etc/shadow"))

    def package_link_absolute(self) -> str:
        return self.refused_links(("shadow", "/etc/shadow"))

    def package_link_chain(self) -> str:
        return self.refused_links(("a/b/c/up", "../../.."), ("out", "a/b/c/up/../../x"))

    def package_slip(self) -> str:
        return self.refused(zip_entry("../../slipped", 0o100644, b"x"))

    def package_under_link(self) -> str:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            add_entry(archive, "dir", 0o120777, b"libescape.so")
            add_entry(archive, "dir/file", 0o100644, b"x")
        return self.refused(buffer.getvalue())

    def package_device(self) -> str:
        return self.refused(zip_entry("disk", 0o060666, b""))

    # ---- processes ----

    def kill_all(self) -> str:
        name = self.attacker()
        answer = self.misbehave(name, "kill-all")
        if not answer.function_error:
            return f"survived: {answer}"
        self.assert_victim_well()
        again = self.engine.invoke(name, {"keep": 1})
        return "stopped" if again.json == {"keep": 1} else f"no new instance: {again}"

    def stop_self(self) -> str:
        name = self.attacker()
        answer = self.misbehave(name, "stop-self")
        if b"timed out" not in answer.payload:
            return f"no time-out: {answer}"
        self.assert_victim_well()
        again = self.engine.invoke(name, {"keep": 1})
        return "stopped" if again.json == {"keep": 1} else f"no new instance: {again}"

    def gone_again(self, before: set[int]) -> str:
        """No process of an attacker lives on; blanks may have been refilled meanwhile, so only
        sleeping grandchildren (whose parent is an init) count."""
        def orphans():
            return [
                pid for pid in self.sandbox_processes()
                if pid not in before and len(self.pid_chain(pid)) > 1
                and int(self.pid_chain(pid)[-1]) > 2
            ]
        try:
            leaks.eventually(lambda: not orphans(), "daemons gone", 15)
        except AssertionError as error:
            return str(error)
        return "stopped"

    def pid_chain(self, pid: int) -> list[str]:
        """The process's id in each pid namespace, outermost first."""
        status = leaks.read_text(f"/proc/{pid}/status")
        return status.partition("\nNSpid:\t")[2].partition("\n")[0].split()

    def daemons(self, before: set[int]) -> list[int]:
        return [
            pid for pid in self.sandbox_processes()
            if pid not in before and int((self.pid_chain(pid) or ["0"])[-1]) > 2
        ]

    def daemon_timeout(self) -> str:
        before = set(self.sandbox_processes())
        answer = self.misbehave(self.attacker(), "daemon-hang")
        if b"Task timed out" not in answer.payload:
            return f"no time-out: {answer}"
        return self.gone_again(before)

    def daemon_response(self) -> str:
        before = set(self.sandbox_processes())
        name = self.attacker()
        answer = self.misbehave(name, "daemon")
        if answer.payload != b'"done"':
            return f"no daemon: {answer}"
        leaks.eventually(lambda: self.daemons(before), "a daemon")  # it forks beside the response
        self.assert_victim_well()
        self.engine.delete(name)
        return self.gone_again(before)

    # ---- the channel ----

    def channel(self, how: str, *texts: bytes) -> str:
        name = self.attacker()
        answer = self.misbehave(name, "channel", how)
        self.assert_victim_well()
        if not answer.function_error or not any(text in answer.payload for text in texts):
            return f"taken for an answer: {answer.payload[:200]!r}"
        again = self.engine.invoke(name, {"keep": how})
        return "stopped" if again.json == {"keep": how} else f"no new instance: {again}"

    def channel_kind(self) -> str:
        return self.channel("kind", b"Runtime.")

    def channel_number(self) -> str:
        return self.channel("number", b"timed out", b"Runtime.")

    def channel_bytes(self) -> str:
        return self.channel("bytes", b"Runtime.")

    def channel_just_over(self) -> str:
        return self.channel("just-over", b"Runtime.")

    def channel_ready(self) -> str:
        return self.channel("ready", b"Runtime.")

    def channel_header(self) -> str:
        return self.channel("header", b"timed out", b"Runtime.")

    def channel_holes(self) -> str:
        return self.channel("holes", b"timed out", b"Runtime.")

    def channel_unwritten(self) -> str:
        """All of the answer area, after a neighbour's secret went through the engine."""
        secret = os.urandom(24).hex()
        for _ in range(4):
            self.engine.invoke(self.victim, {"keep": secret * 1000})
        answer = self.misbehave(self.attacker(), "channel", "unwritten")
        if secret.encode() in answer.payload:
            return "the neighbour's bytes"
        if answer.payload.strip(b"\0") != b"":
            return f"something else's bytes: {answer.payload.strip(bytes(1))[:100]!r}"
        self.assert_victim_well()
        return "stopped"

    def channel_rewrite(self) -> str:
        """The rewriting goes on in a daemon over many calls; any of them may fail, none may answer
        with what is not the attacker's, and nothing of it may touch the victim."""
        secret = os.urandom(24).hex()
        name = self.attacker()
        for number in range(30):
            answer = self.misbehave(name, "channel", "rewrite")
            if secret.encode() in answer.payload:
                return "the neighbour's bytes"
            if number % 3 == 0:
                event = {"keep": secret * (1 + number * 50)}
                reply = self.engine.invoke(self.victim, event)
                if reply.payload != json.dumps(event).encode():
                    return f"the victim's answer is wrong in call {number}: {str(reply)[:300]}"
        self.engine.delete(name)
        self.assert_victim_well()
        return "stopped"

    def channel_stream(self) -> str:
        """The same for a caller that takes a stream: nothing but the attacker's own ring comes."""
        secret = os.urandom(24).hex()
        name = self.attacker()
        for number in range(30):
            with self.engine.connect() as connection:
                begin, parts, answer = connection.stream(name, {"channel": 1, "rewrite": 1})
            if secret.encode() in parts + answer.payload:
                return "the neighbour's bytes"
            if begin is not None and not begin.content_type.isprintable():
                return f"a content type that is no header line: {begin.content_type!r}"
            if number % 3 == 0:
                event = {"keep": secret * (1 + number * 50)}
                reply = self.engine.invoke(self.victim, event)
                if reply.payload != json.dumps(event).encode():
                    return f"the victim's answer is wrong in call {number}: {str(reply)[:300]}"
        self.engine.delete(name)
        self.assert_victim_well()
        return "stopped"

    # ---- noise ----

    def storm(self, name: str, start) -> str:
        quiet = self.victim_median_us()
        start()
        loud = self.victim_median_us()
        self.engine.delete(name)
        self.note(f"storm: victim p50 {quiet:.0f} us before, {loud:.0f} us during")
        if loud > STORM_FLOOR_US and loud > STORM_RATIO_MAX * quiet:
            return f"victim p50 {quiet:.0f} us before, {loud:.0f} us during"
        self.assert_victim_well()
        return "stopped"

    def storm_idle(self) -> str:
        name = self.attacker()
        return self.storm(name, lambda: self.misbehave(name, "storm"))

    def storm_busy(self) -> str:
        name = self.attacker(Timeout=5)
        with self.engine.connect() as connection:
            def start():
                connection.send_invoke(name, {"storm-hang": 1})
                leaks.eventually(lambda: self.engine.status(), "the engine answers")
            return self.storm(name, start)

    def log_abuse(self) -> str:
        name = self.attacker(Timeout=10)
        answer = self.misbehave(name, "log")
        if answer.payload != b'"done"':
            return f"no answer: {answer}"
        self.assert_victim_well()
        bill = json.dumps(self.engine.bill())
        if name not in bill or "0" * 36 in bill:
            return f"the bill believes the log: {bill}"
        return "stopped" if len(answer.log.encode()) <= 4096 else "a tail without bound"

    def note(self, text: str) -> None:
        print(f"# {text}", flush=True)

    # ---- what zygotes share ----

    def two_instances(self, source: str) -> list:
        answers = []
        for _ in range(2):
            self.serial += 1
            name = f"python-{self.serial}"
            self.engine.create_python(name, source)
            answers.append(self.engine.result(name, {}))
        return answers

    def random_shared(self) -> str:
        source = (
            "import random, secrets, ssl, uuid, tempfile\n"
            "def handler(event, context):\n"
            "    return [random.random(), secrets.token_hex(8), ssl.RAND_bytes(8).hex(),\n"
            "            str(uuid.uuid4()), str(uuid.uuid1()), tempfile.mktemp()]\n"
        )
        first, second = self.two_instances(source)
        same = [one for one, other in zip(first, second) if one == other]
        return "stopped" if not same else f"the same in both: {same}"

    def two_layouts(self) -> tuple[dict, dict]:
        return tuple(self.misbehave(name, "layout").json for name in (self.victim, self.attacker()))

    def canary_shared(self) -> str:
        first, second = self.two_layouts()
        return "open" if first["canary"] == second["canary"] else "stopped"

    def layout_shared(self) -> str:
        first, second = self.two_layouts()
        return "open" if first["libc"] == second["libc"] else "stopped"
