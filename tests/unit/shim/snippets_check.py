#!/usr/bin/python3
"""Checks that each code block below a `<!-- snippet: FILE -->` line of the given documents is that
file, word for word, and that every file of the snippet folder is shown somewhere:
snippets_check.py SNIPPETS DOCUMENT..."""

import pathlib
import re
import sys

BLOCK = re.compile(r"<!-- snippet: (\S+) -->\n```\w*\n(.*?)```\n", re.DOTALL)


def main(folder, *documents):
    files = {path.name: path.read_text(encoding="utf-8") for path in pathlib.Path(folder).iterdir()}
    faults = []
    shown = set()
    for document in documents:
        for name, text in BLOCK.findall(pathlib.Path(document).read_text(encoding="utf-8")):
            shown.add(name)
            if files.get(name) != text:
                faults.append(f"{document}: {name} differs from the tested file")
    faults += [f"{name} is in no document" for name in sorted(files.keys() - shown)]
    print("\n".join(faults) or f"{len(shown)} snippets are as tested")
    return 1 if faults else 0


sys.exit(main(*sys.argv[1:]))
