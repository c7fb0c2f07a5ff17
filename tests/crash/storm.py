"""Clients that never stop asking, and that check every answer they get."""
import dataclasses
import random
import threading

from support.engine import Engine, zip_of
from support.frames import Answer, Connection

THINK_S = 0.002
RETRY_S = 0.01
PYTHON = (
    "import threading\ndef handler(event, context):\n"
    "    if event.get('s'):\n        threading.Event().wait(event['s'])\n    return event\n"
)
GONE = (ConnectionError, FileNotFoundError, EOFError, TimeoutError, BrokenPipeError)


@dataclasses.dataclass
class Seen:
    """What the clients got since `Storm.begin_round`."""

    right: int = 0
    service_errors: list[str] = dataclasses.field(default_factory=list)
    function_errors: list[str] = dataclasses.field(default_factory=list)
    connections_lost: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)


class Storm:
    """Threads that invoke `native` and `python` with unique payloads, and one that deploys."""

    def __init__(self, engine: Engine, seed: int, clients_count: int = 4) -> None:
        self.engine = engine
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.seen = Seen()
        self.acknowledged: dict[str, bool] = {}  # request id -> the answer was a function error
        self.calls_count = 0
        generator = random.Random(seed)
        self.threads = [
            threading.Thread(
                target=self.run_client, args=(number, random.Random(generator.random()))
            )
            for number in range(clients_count)
        ]
        self.threads.append(threading.Thread(target=self.run_deployer))

    def __enter__(self) -> "Storm":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a client never got its answer"

    def begin_round(self) -> None:
        with self.lock:
            self.seen = Seen()

    def end_round(self) -> Seen:
        with self.lock:
            return self.seen

    # ---- clients ----

    def event_of(self, number: int, generator: random.Random) -> tuple[str, dict]:
        name = ("native", "python")[number % 2]
        event = {"do": "echo", "u": f"{number}-{generator.getrandbits(64):x}"}
        if generator.random() < 0.2:
            event["pad"] = f"{generator.getrandbits(32):08x}" * generator.randrange(1, 8000)
        if name == "python" and generator.random() < 0.3:
            event["s"] = 0.02  # so that most kills meet a call under way
        return name, event

    def run_client(self, number: int, generator: random.Random) -> None:
        connection: Connection | None = None
        while not self.stopping.is_set():
            name, event = self.event_of(number, generator)
            try:
                connection = connection or self.engine.connect()
                answer = connection.invoke(name, event)
                self.note(name, event, answer)
                self.stopping.wait(THINK_S)
            except GONE:
                with self.lock:
                    self.seen.connections_lost += connection is not None
                if connection is not None:
                    connection.close()
                connection = None
                self.stopping.wait(RETRY_S)
        if connection is not None:
            connection.close()

    def note(self, name: str, event: dict, answer: Answer) -> None:
        """An answer is the event itself, byte for byte as JSON, or it says that it is an error."""
        with self.lock:
            self.calls_count += 1
            text = f"{name}: {answer.status} {answer.error_code} {answer.payload[:200]!r}"
            if answer.status == 200:
                self.acknowledged[answer.request_id] = answer.function_error
            if answer.status == 200 and not answer.function_error and answer.json == event:
                self.seen.right += 1
            elif answer.status == 200 and answer.function_error:
                self.seen.function_errors.append(text)
            elif answer.status == 500 and answer.error_code == "ServiceException":
                self.seen.service_errors.append(text)
            else:
                self.seen.wrong.append(f"{text} for {str(event)[:200]}")

    def run_deployer(self) -> None:
        """Makes, calls and deletes functions, so that kills meet half-written packages, too."""
        number = 0
        while not self.stopping.is_set():
            number += 1
            request = {
                "FunctionName": f"passing-{number}", "Runtime": "python3.11",
                "Handler": "main.handler", "Role": "arn:aws:iam::123456789012:role/test",
            }
            package = zip_of({"main.py": PYTHON + f"# {number}\n", "data": "x" * 100_000})
            try:
                self.engine.control("CreateFunction", request, package)
                self.engine.control("DeleteFunction", {"FunctionName": f"passing-{number - 1}"})
            except GONE:
                pass  # the engine was killed under it; the next one has what it had stored
            self.stopping.wait(0.1)
