#!/usr/bin/python3
"""Lists examples/*/function.json for tools/run, one line each, separated by tabs.

examples.py BUILD_TREE prints name, runtime, handler, memory, timeout, file or folder to deploy, and
the example's folder, which has event.json and expected.json.
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def main() -> None:
    build = pathlib.Path(sys.argv[1])
    for path in sorted((ROOT / "examples").glob("*/function.json")):
        function = json.loads(path.read_text(encoding="utf-8"))
        # Interpreted code lies in the folder; compiled code in the build tree, named by Handler.
        is_compiled = function["Runtime"] in ("native", "executable")
        code = build / "examples" / function["Handler"] if is_compiled else path.parent
        print(
            function["FunctionName"], function["Runtime"], function["Handler"],
            function["MemorySize"], function["Timeout"], code, path.parent, sep="\t",
        )


if __name__ == "__main__":
    main()
