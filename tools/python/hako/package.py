"""Code packages: the same files always give the same zip."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

_TIME = (1980, 1, 1, 0, 0, 0)  # the zip format's first moment


def make_package(code: bytes | str | os.PathLike[str]) -> bytes:
    """The zip for `code`: bytes and .zip or .jar files as they are, else a directory or a file.

    Names are sorted, timestamps fixed, execute bits and symbolic links kept.
    """
    if isinstance(code, (bytes, bytearray, memoryview)):
        return bytes(code)
    path = Path(code)
    if path.suffix in (".zip", ".jar") and path.is_file():
        return path.read_bytes()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        if path.is_dir():
            for entry, name in _walk(path, ""):
                _add(archive, entry, name)
        else:
            _add(archive, path.resolve(strict=True), path.name)
    return out.getvalue()


def _walk(folder: Path, prefix: str) -> Iterator[tuple[Path, str]]:
    for entry in sorted(folder.iterdir(), key=lambda item: os.fsencode(item.name)):
        name = prefix + entry.name
        yield entry, name
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry, name + "/")


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        stored, data = stat.S_IFLNK | 0o777, os.fsencode(os.readlink(path))
    elif stat.S_ISDIR(mode):
        stored, data, name = stat.S_IFDIR | 0o755, b"", name + "/"
    elif stat.S_ISREG(mode):
        stored = stat.S_IFREG | (0o755 if mode & 0o111 else 0o644)
        data = path.read_bytes()
    else:
        raise ValueError(f"code: {path} is neither a file, a directory nor a symbolic link")
    info = zipfile.ZipInfo(name, _TIME)
    info.create_system = 3  # Unix: the attributes are a mode
    info.external_attr = stored << 16
    info.compress_type = zipfile.ZIP_DEFLATED if data else zipfile.ZIP_STORED
    archive.writestr(info, data)
