#!/usr/bin/python3
"""The Python floor: the handler of one file in a bare loop over a socket, nothing else.

usage: python_loop.py HANDLER_FILE FD
A message each way is four bytes of length (little endian), then JSON. The JSON work is part of the
floor: Lambda's contract gives a handler an object and takes one from it.
"""

import json
import runpy
import socket
import struct
import sys

LENGTH = struct.Struct("<I")


def read_exactly(connection, count):
    data = connection.recv(count)
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data


def main():
    handler = runpy.run_path(sys.argv[1])["handler"]
    connection = socket.socket(fileno=int(sys.argv[2]))
    while True:
        head = connection.recv(LENGTH.size)
        if len(head) < LENGTH.size:
            return
        event = json.loads(read_exactly(connection, LENGTH.unpack(head)[0]))
        answer = json.dumps(handler(event, None)).encode()
        connection.sendall(LENGTH.pack(len(answer)) + answer)


main()
