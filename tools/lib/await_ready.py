#!/usr/bin/python3
"""Waits for a service's READY=1 (sd_notify(3)): await_ready.py SOCKET SECONDS.

Prints `bound` once the socket exists, so that the service can be started, then leaves with status
0 on READY=1 or 1 when the time is over. The caller notices a service that dies meanwhile.
"""
import os
import socket
import sys
import time


def main() -> int:
    path, seconds = sys.argv[1], float(sys.argv[2])
    deadline = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        os.chmod(path, 0o666)  # the engine may have left root behind when it reports
        print("bound", flush=True)
        while (left := deadline - time.monotonic()) > 0:
            notify.settimeout(left)
            try:
                message = notify.recv(4096)
            except TimeoutError:
                break
            if b"READY=1" in message.split(b"\n"):
                return 0
    print(f"no READY=1 within {seconds:.0f} s", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
