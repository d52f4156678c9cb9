"""Short texts that stand for the state of files, so that work on others is not gone on with."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from xxhash import xxh3_64


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
