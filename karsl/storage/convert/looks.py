"""Whether a path may be of some form: names and a few first bytes tell, nothing is decoded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from karsl.errors import KarslError
from karsl.io.npz import list_members
from karsl.io.pack_reader import ANNOTATIONS
from karsl.storage.folder_names import SPLIT_FOLDER


def folder_with(pattern: str) -> Callable[[Path], bool]:
    """Whether a folder holds a file of a pattern."""
    return lambda path: path.is_dir() and next(path.glob(pattern), None) is not None


def suffix(*suffixes: str) -> Callable[[Path], bool]:
    """Whether a file's name ends in one of these."""
    return lambda path: path.is_file() and path.suffix.lower() in suffixes


def is_data_root(path: Path) -> bool:
    """Whether a folder holds one named like '01-train'."""
    return path.is_dir() and any(p.is_dir() and re.fullmatch(r"\d{2}-\w+", p.name) for p in path.iterdir())


def never(path: Path) -> bool:
    """For forms that only --from names."""
    return False


def is_annotation(path: Path) -> bool:
    """Whether a path is an annotation file, or a folder with one; beside KArSL's splits it may be older than they are."""
    if not path.is_dir():
        return suffix(".json")(path) and not is_asl_app(path)
    has_splits = any(p.is_dir() and SPLIT_FOLDER.fullmatch(p.name) for p in path.iterdir())
    return (path / ANNOTATIONS).is_file() and not has_splits


def rows_of(columns: int) -> Callable[[Path], bool]:
    """Whether a folder's first archive, or the archive itself, holds rows of so many columns."""

    def looks(path: Path) -> bool:
        file = path if path.is_file() else next(iter(sorted(path.glob("*.npz"))), None)
        if file is None or file.suffix != ".npz":
            return False
        try:
            members, _ = list_members(file)
        except (KarslError, OSError):
            return False
        return bool(members) and members[0].shape[1:] == (columns,)

    return looks


def has_frames(path: Path) -> bool:
    """Whether a folder holds classes of clips of numbered frames."""
    return path.is_dir() and (next(path.glob("*/*/0.npy"), None) or next(path.glob("*/*/1.npy"), None)) is not None


def is_asl_app(path: Path) -> bool:
    """Whether a json file, or the first of a folder, begins like a sign of the ASL-App."""
    file = path if path.is_file() else next((p for p in sorted(path.glob("*.json")) if p.name != "metadata.json"), None)
    if file is None or file.suffix != ".json":
        return False
    with file.open("rb") as stream:
        return b'"frames"' in stream.read(4096)
