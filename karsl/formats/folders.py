"""File names out of glosses and clip ids: safe on every file system, each once, and the same ones every time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

_UNSAFE = re.compile(r"[^\w.()-]+")  # \w takes Arabic letters too
_LONGEST = 100


def safe_name(text: str) -> str:
    """A file name that looks like a text.

    Example:
        >>> safe_name("see you / later?"), safe_name(".."), safe_name("شكرا")
        ('see_you_later_', '_..', 'شكرا')
    """
    name = _UNSAFE.sub("_", text)[:_LONGEST] or "_"
    return f"_{name}" if name.startswith(".") else name


def class_folders(classes: Sequence[str]) -> tuple[str, ...]:
    """A folder name for each class; classes of one name are told apart by their labels.

    Example:
        >>> class_folders(["thanks", "nephew", "Nephew"])
        ('thanks', 'nephew_1', 'Nephew_2')
    """
    names = [safe_name(str(gloss)) for gloss in classes]
    lower = [name.lower() for name in names]
    return tuple(f"{n}_{i}" if lower.count(lower[i]) > 1 else n for i, n in enumerate(names))


class FreshNames:
    """Names that were not given before, folder by folder.

    Example:
        >>> fresh = FreshNames()
        >>> [fresh.name("hello", clip_id) for clip_id in ("01-train/0001/a", "02-train/0001/a")]
        ['a', 'a-2']
    """

    def __init__(self) -> None:
        self._taken: defaultdict[str, set[str]] = defaultdict(set)

    def name(self, folder: str, clip_id: str) -> str:
        """A name for a clip of a folder, after the last part of its id."""
        base = safe_name(clip_id.rstrip("/").rpartition("/")[2])
        taken, name, number = self._taken[folder], base, 2
        while name.lower() in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name.lower())
        return name
