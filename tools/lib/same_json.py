#!/usr/bin/python3
"""True (exit status 0) if two files hold the same JSON value: same_json.py ONE OTHER."""
import json
import sys


def read(path: str):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    sys.exit(0 if read(sys.argv[1]) == read(sys.argv[2]) else 1)
