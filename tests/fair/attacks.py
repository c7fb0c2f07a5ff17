"""The resource attacks, one line each, and who carries them out again and again."""
import collections
import threading

from scene import TICK_US

# The neighbour's p99 at most doubles; where it is as short as the noise, this much is allowed.
HELD_US = 150
# Where each call ends with a sandbox that is killed, or with 256 MiB that are given back, the
# kernel frees them in stretches it does not interrupt (preempt=none). 0.4 to 3 ms were measured,
# beside bare processes as well: no wall shortens that. One tick bounds it.
FREEING_US = TICK_US
# A thousand forks and their end all at once, under locks that all forks share: 3 to 13 ms, 2 to 6
# ms beside bare processes.
FORKS_US = 20_000

# Name in functions/attacks.c, memory size, how an invocation of it may end, and what stops it.
Attack = collections.namedtuple(
    "Attack", "name memory_mib endings wall tail_us", defaults=(HELD_US,)
)
DONE, MEMORY, TIME, LIAR = "done", "Runtime.OutOfMemory", "Sandbox.Timedout", (
    "Runtime.InvalidResponse"
)
ATTACKS = (
    Attack("forks", 256, {TIME, MEMORY, DONE}, "RLIMIT_NPROC, pids.max, memory limit",
           FORKS_US),
    Attack("threads", 256, {TIME, DONE}, "RLIMIT_NPROC, pids.max, CPU weight"),
    Attack("anonymous", 256, {MEMORY}, "memory limit", FREEING_US),
    Attack("files", 256, {MEMORY}, "memory limit (/tmp is charged)", FREEING_US),
    Attack("files", 1024, {DONE, TIME}, "size of /tmp", FREEING_US),
    Attack("inodes", 256, {DONE, TIME}, "inodes of /tmp"),
    Attack("memfds", 256, {MEMORY}, "memory limit", FREEING_US),
    Attack("sockets", 256, {MEMORY, DONE, TIME}, "memory limit (buffers are charged)", FREEING_US),
    Attack("tcp", 256, {MEMORY, DONE, TIME}, "memory limit, net.ipv4.tcp_mem", FREEING_US),
    Attack("pipes", 256, {MEMORY, DONE, TIME}, "memory limit, pipe-user-pages-soft"),
    Attack("fds", 256, {DONE, TIME, MEMORY}, "RLIMIT_NOFILE, RLIMIT_NPROC"),
    Attack("log", 256, {DONE, TIME}, "paced reading, log bytes per invocation"),
    Attack("drip", 256, {DONE, TIME}, "paced reading of the log pipe"),
    Attack("hog", 256, {DONE, TIME}, "CPU weight"),
    Attack("inotify", 256, {DONE, TIME}, "max_user_instances, inodes of /tmp"),
    Attack("epoll", 256, {DONE, TIME}, "RLIMIT_NOFILE", FREEING_US),
    Attack("mmap", 256, {DONE, TIME}, "memory limit, max_map_count"),
    Attack("never", 256, {TIME}, "timeout", FREEING_US),
    Attack("doorbell", 256, {LIAR}, "bound on rings without an answer", FREEING_US),
    # The second: what rings is still there when the next invocation comes.
    Attack("idlebell", 256, {DONE, LIAR}, "bound on rings without an answer"),
)


class Repeater(threading.Thread):
    """Calls `once` again and again until told to stop."""

    def __init__(self, pause_s: float = 0) -> None:
        super().__init__()
        self.pause_s = pause_s
        self.told = threading.Event()
        self.error: BaseException | None = None

    def once(self) -> None:
        raise NotImplementedError

    def run(self) -> None:
        try:
            while not self.told.is_set():
                self.once()
                self.told.wait(self.pause_s)
        except BaseException as error:  # told by `finish`
            self.error = error

    def finish(self) -> None:
        self.told.set()
        self.join()
        if self.error is not None:
            raise self.error


class Assault(Repeater):
    """Invokes the attack's function."""

    def __init__(self, engine, attack: Attack, function: str, seconds: float) -> None:
        super().__init__(0.1 if attack.name == "idlebell" else 0)
        self.function = function
        self.event = {"do": attack.name, "ms": int(seconds * 1000)}
        self.endings: list[str] = []
        self.connection = engine.connect()

    def once(self) -> None:
        answer = self.connection.invoke(self.function, self.event)
        assert answer.status == 200, answer
        self.endings.append(answer.json["errorType"] if answer.function_error else DONE)

    def finish(self) -> None:
        super().finish()
        self.connection.close()
