"""Short texts that stand for files: for their content, or for their state as the system tells it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from xxhash import xxh3_64, xxh3_128

_CHUNK_BYTES = 1 << 22


def file_xxh3(path: Path, *, bits: int = 64) -> str:
    """Hex xxh3 of a file's content, read a part at a time; of 64 bits, or of 128 where it is to tell files apart alone.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a"
        >>> path.write_bytes(b"sign")
        4
        >>> file_xxh3(path) == xxh3_64(b"sign").hexdigest(), len(file_xxh3(path, bits=128))
        (True, 32)
    """
    digest = xxh3_128() if bits == 128 else xxh3_64()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def stamp_of(root: Path, names: Iterable[str]) -> str:
    """Of some files below a folder: their names, sizes and times; those that are absent do not count.

    Example:
        >>> stamp_of(Path("nowhere"), ["a"]) == stamp_of(Path("nowhere"), [])
        True
    """
    digest = xxh3_64()
    for name in sorted(set(names)):
        try:
            facts = os.stat(os.path.join(root, name))
        except OSError:
            continue  # reading it will say so
        digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def files_at(path: Path) -> list[str]:
    """Names of the files below a folder, or of the one file, relative to it or to the folder it lies in."""
    if not path.is_dir():
        return [path.name]
    return [os.path.relpath(os.path.join(folder, name), path) for folder, _, names in os.walk(path) for name in names]
