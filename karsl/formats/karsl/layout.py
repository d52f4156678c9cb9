"""KArSL's layout by its names, and what to do where a folder is otherwise: seen by names alone, in a bounded time."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from karsl.storage.files import LISTERS

SPLITS = ("train", "test")
"""Splits of the layout; a folder is called `<two digits>-<split>`."""
SPLIT_FOLDER = re.compile(rf"\d{{2}}-({'|'.join(SPLITS)})")
_SPLIT_WORD = re.compile("|".join(SPLITS), re.IGNORECASE)
_SIGNER = re.compile(r"(?<!\d)\d{1,2}(?!\d)")
_FOOTAGE = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".jpg", ".jpeg", ".png")
_MOST_FOLDERS, _MOST_ENTRIES, _DEEPEST = 300, 200, 8


def way_on(root: str | Path, problems: Sequence[str], *, some_are_good: bool) -> str:
    """What to do about the problems of a scan.

    Example:
        >>> way_on("my clips", ["01-train/0001.npz: the file is empty"], some_are_good=True)
        "'karsl prepare 'my clips' --skip-bad' writes annotations.json without them; then --ann-file annotations.json"
    """
    if not some_are_good:
        others = all(" keypoints, the skeleton " in problem for problem in problems)
        return "if these are other points, say which: skeleton=NAME, or --source-skeleton NAME" if others else ""
    prepare = f"'karsl prepare {shlex.quote(str(root))} --skip-bad'"
    return f"{prepare} writes annotations.json without them; then --ann-file annotations.json"


def layout_seen(root: str | Path) -> str:
    """What lies in a folder that is no data root, and what to do with it.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "1_train").mkdir(); (root / "1_train" / "0001.npz").touch()
        >>> layout_seen(root)
        "it holds '1_train/0001.npz': rename '1_train' to '01-train'"
    """
    root = Path(root)
    for folder in (path := root.absolute(), *path.parents):
        if SPLIT_FOLDER.fullmatch(folder.name):
            return f"it is a folder of the root, which is {str(folder.parent)!r}"
    files = list(_files(root))
    below = next((f for f in files if any(SPLIT_FOLDER.fullmatch(part) for part in f.parts[1:-1])), None)
    if below:
        level = next(i for i, part in enumerate(below.parts) if SPLIT_FOLDER.fullmatch(part))
        down = "one level down" if level == 1 else f"{level} levels down"
        return f"the root is {down}: {str(root.joinpath(*below.parts[:level]))!r}"
    clip = next((f for f in files if f.suffix in LISTERS), None)
    if clip:
        return f"it holds '{clip.as_posix()}': {_renamed(clip.parts[:-1])}"
    footage = next((f for f in files if f.suffix.lower() in _FOOTAGE), None)
    if footage:
        return f"it holds '{footage.as_posix()}': karsl reads keypoints, extract them from the {footage.suffix} files first"
    names = sorted(os.listdir(root))
    return f"it holds {', '.join(map(repr, names[:4]))}{', ...' if len(names) > 4 else ''}" if names else "it is empty"


def _renamed(folders: Sequence[str]) -> str:
    """How folders that hold an array should be called: the one that names a split, and the one that names a signer."""
    place = next((i for i, name in enumerate(folders) if _SPLIT_WORD.search(name)), None)
    if place is None:
        return "the folders of a root are called like '01-train' and '01-test'"
    split = _SPLIT_WORD.search(folders[place])[0].lower()  # type: ignore[index]
    near = [i for i in (place, place - 1, place + 1) if 0 <= i < len(folders) and _SIGNER.search(folders[i])]
    if not near:
        return f"rename '{'/'.join(folders[: place + 1])}' to '<signer>-{split}', such as '01-{split}'"
    signer = int(_SIGNER.search(folders[near[0]])[0])  # type: ignore[index]
    return f"rename '{'/'.join(folders[: max(place, near[0]) + 1])}' to '{signer:02d}-{split}'"


def _files(root: Path) -> Iterator[Path]:
    """Some files below a folder, relative to it, upper ones first."""
    level, seen = [Path()], 0
    for _ in range(_DEEPEST):
        below: list[Path] = []
        for folder in level[: max(_MOST_FOLDERS - seen, 0)]:
            seen += 1
            with suppress(OSError), os.scandir(root / folder) as entries:
                names = sorted((e.name, e.is_dir()) for e in islice(entries, _MOST_ENTRIES) if not e.name.startswith("."))
                yield from (folder / name for name, is_folder in names if not is_folder)
                below += [folder / name for name, is_folder in names if is_folder][: 4 if len(folder.parts) > 1 else None]
        level = below
