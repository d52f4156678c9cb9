"""Layout of the KArSL corpus: folder names, SignIDs, subsets, categories, and advice for folders of another layout."""

from __future__ import annotations

import os
import re
import shlex
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from karsl.errors import ConfigError
from karsl.io.file_index import CLIP_FILES
from karsl.io.file_list import is_hidden
from karsl.skeletons import get_skeleton, skeleton_names

SPLITS = ("train", "test")
"""Splits of the layout. A folder is named `<two digits>-<split>`."""
SPLIT_FOLDER = re.compile(rf"\d{{2}}-({'|'.join(SPLITS)})")
LAST_SIGN = 502
"""Highest SignID. Source: Sidig et al. 2021, https://doi.org/10.1145/3423420"""
SUBSETS: dict[str, range] = {
    "karsl100": range(71, 171),
    "karsl190": range(1, 191),
    "karsl502": range(1, LAST_SIGN + 1),
}
"""SignIDs of the subsets that papers report on."""

# First SignID of each category; same source.
_CATEGORIES = {
    1: "Numbers",
    32: "Letters",
    71: "Health",
    160: "Common verbs",
    192: "Family",
    224: "Characteristics",
    273: "Directions and places",
    289: "Social",
    299: "Home",
    356: "Religion",
    459: "Jobs",
}
_FIRST_SIGNS = tuple(_CATEGORIES)

_SPLIT_WORD = re.compile("|".join(SPLITS), re.IGNORECASE)
_OTHER_SKELETON = re.compile(r" has (\d+) keypoints, the skeleton ")
_SIGNER = re.compile(r"(?<!\d)\d{1,2}(?!\d)")
_VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".jpg", ".jpeg", ".png")
_MAX_FOLDERS, _MAX_ENTRIES, _MAX_DEPTH = 300, 200, 8


def signs_of_subset(name: str) -> range:
    """Return the SignIDs of a named subset.

    Raises:
        ConfigError: If there is no such subset.
    """
    if not isinstance(name, str) or name not in SUBSETS:
        raise ConfigError(f"filter_cfg: subset={name!r}; expected one of {', '.join(SUBSETS)}")
    return SUBSETS[name]


def category_of(sign: int) -> str:
    """Return the category of a SignID, or an empty string if KArSL has no such sign.

    Example:
        >>> category_of(104), category_of(502), category_of(503)
        ('Health', 'Jobs', '')
    """
    return _CATEGORIES[_FIRST_SIGNS[bisect_right(_FIRST_SIGNS, sign) - 1]] if 1 <= sign <= LAST_SIGN else ""


def suggest_fix(root: str | Path, problems: Sequence[str], *, has_records: bool) -> str:
    """Return a remedy for the problems of a scan, or an empty string.

    Args:
        root: Folder that was scanned.
        problems: Problems found.
        has_records: True if some clips are usable.

    Example:
        >>> suggest_fix("my clips", ["01-train/0001.npz: the file is empty"], has_records=True)
        "'karsl prepare 'my clips' --skip-bad' writes annotations.json without them; then --ann-file annotations.json"
    """
    if not has_records:
        found = [match for match in map(_OTHER_SKELETON.search, problems) if match]
        return _suggest_skeleton({int(match[1]) for match in found}) if len(found) == len(problems) else ""
    prepare = f"'karsl prepare {shlex.quote(str(root))} --skip-bad'"
    return f"{prepare} writes annotations.json without them; then --ann-file annotations.json"


def _suggest_skeleton(counts: set[int]) -> str:
    """Return how to name the skeleton of clips with these numbers of keypoints."""
    names = [name for name in skeleton_names() if counts == {get_skeleton(name).num_keypoints}]
    reason = (
        f"{counts.pop()} keypoints are those of {' and '.join(names)}" if names else "if the clips have another skeleton"
    )
    name = names[0] if names else "NAME"
    return f"{reason}: pass skeleton='{name}' to the dataset, or --source-skeleton {name} to 'karsl prepare'"


def describe_layout(root: str | Path) -> str:
    """Describe the content of a folder that is not a data root, and how to make it one. Reads a bounded number of names.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "1_train").mkdir(); (root / "1_train" / "0001.npz").touch()
        >>> describe_layout(root)
        "it contains '1_train/0001.npz': rename '1_train' to '01-train'"
    """
    root = Path(root)
    for folder in (path := root.absolute(), *path.parents):
        if SPLIT_FOLDER.fullmatch(folder.name):
            return f"it is a folder of the root, which is {str(folder.parent)!r}"
    files = list(list_some_files(root))
    inner = next((f for f in files if any(SPLIT_FOLDER.fullmatch(name) for name in f.parts[1:-1])), None)
    if inner:
        level = next(i for i, name in enumerate(inner.parts) if SPLIT_FOLDER.fullmatch(name))
        depth = "one level down" if level == 1 else f"{level} levels down"
        return f"the root is {depth}: {str(root.joinpath(*inner.parts[:level]))!r}"
    clip = next((f for f in files if f.suffix.lower() in CLIP_FILES), None)
    if clip:
        return f"it contains '{clip.as_posix()}': {suggest_name(clip.as_posix())}"
    video = next((f for f in files if f.suffix.lower() in _VIDEO_SUFFIXES), None)
    if video:
        return f"it contains '{video.as_posix()}': 'karsl extract' finds the keypoints in its {video.suffix} files"
    names = sorted(os.listdir(root))
    return f"it contains {', '.join(map(repr, names[:4]))}{', ...' if len(names) > 4 else ''}" if names else "it is empty"


def suggest_name(clip: str) -> str:
    """Return a suggestion for the names of the folders of a clip, from those that name a split and a signer.

    Args:
        clip: Path of the clip relative to the root, with `/`.

    Example:
        >>> suggest_name("Signer2-Train/0001.npz")
        "rename 'Signer2-Train' to '02-train'"
    """
    folders = clip.split("/")[:-1]
    index = next((i for i, name in enumerate(folders) if _SPLIT_WORD.search(name)), None)
    if index is None:
        return "the folders of a root are named like '01-train' and '01-test'"
    split = _SPLIT_WORD.search(folders[index])[0].lower()  # type: ignore[index]
    near = [i for i in (index, index - 1, index + 1) if 0 <= i < len(folders) and _SIGNER.search(folders[i])]
    if not near:
        return f"rename '{'/'.join(folders[: index + 1])}' to '<signer>-{split}', such as '01-{split}'"
    signer = int(_SIGNER.search(folders[near[0]])[0])  # type: ignore[index]
    return f"rename '{'/'.join(folders[: max(index, near[0]) + 1])}' to '{signer:02d}-{split}'"


def list_some_files(root: Path) -> Iterator[Path]:
    """Yield some files below a folder, relative to it, breadth first."""
    level, count = [Path()], 0
    for _ in range(_MAX_DEPTH):
        next_level: list[Path] = []
        for folder in level[: max(_MAX_FOLDERS - count, 0)]:
            count += 1
            with suppress(OSError), os.scandir(root / folder) as entries:
                names = sorted((e.name, e.is_dir()) for e in islice(entries, _MAX_ENTRIES) if not is_hidden(e.name))
                yield from (folder / name for name, is_folder in names if not is_folder)
                max_folders = 4 if len(folder.parts) > 1 else None
                next_level += [folder / name for name, is_folder in names if is_folder][:max_folders]
        level = next_level
