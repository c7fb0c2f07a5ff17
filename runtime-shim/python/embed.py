#!/usr/bin/python3
"""Writes a text file as a C++ header: embed.py NAME INPUT OUTPUT."""

import sys

CHUNK_BYTES_MAX = 8000  # compilers limit the length of one literal


def main(name, source_path, header_path):
    with open(source_path, encoding="utf-8") as source:
        text = source.read()
    lines = ["#pragma once", "", "namespace hako::shim {", "", f"inline constexpr char {name}[] ="]
    for start in range(0, len(text), CHUNK_BYTES_MAX):
        lines.append(f'    R"hako({text[start:start + CHUNK_BYTES_MAX]})hako"')
    lines[-1] += ";"
    lines += ["", "}  // namespace hako::shim"]
    with open(header_path, "w", encoding="utf-8") as header:
        header.write("\n".join(lines) + "\n")


main(*sys.argv[1:])
