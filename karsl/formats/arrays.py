"""Array files of any arrangement: one clip per file, many named arrays per file, a stack per file, or a file per frame."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from karsl.errors import ConfigError, DataErrors, DatasetNotFoundError, pluralize
from karsl.formats.array_clips import ArrayRecords, ClipFinder, is_label_array, strip_suffix
from karsl.formats.array_guess import guess_layouts, layout_of_skeleton
from karsl.formats.array_labels import assign_labels
from karsl.formats.base import register_format
from karsl.io.annotations import BYTE_RANGE_KEY
from karsl.io.array_layout import ArrayLayout
from karsl.io.file_index import CLIP_FILES, FileIndex, IndexedFile, Progress
from karsl.io.file_list import Unread, has_suffix, list_tree
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.npz import Member
from karsl.io.sources import IndexedSource
from karsl.skeletons import Skeleton, describe_skeleton

Layout = ArrayLayout | Skeleton | str | Mapping[str, Any]

RESOLVED_KEYS = frozenset(("byte_start", "dtype", "raw", BYTE_RANGE_KEY))
"""Keys of records that are found again from headers, and are wrong when a file was replaced."""
_SIGNER_SPLIT = re.compile(r"(?=.*\d).*(train|test)", re.IGNORECASE)
_MAX_LISTED = 3


class ArrayScan(NamedTuple):
    """Content of a folder of array files.

    Attributes:
        records: One record per clip, made when it is accessed.
        metainfo: `dataset_name`, `skeleton`, `layout`, and `classes` if there are labels.
        notes: What was assumed or not read, one sentence each.
        problems: What is wrong, one sentence per file.
        layout: Layout of the clips.
    """

    records: ArrayRecords
    metainfo: dict[str, Any]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    layout: ArrayLayout


def scan_arrays(
    root: str | Path,
    *,
    layout: Layout | None = None,
    skeleton: Skeleton | None = None,
    pattern: str | Sequence[str] | None = None,
    labels: str | Path | None = None,
    allow_guess: bool = True,
    index_file: Path | None = None,
    progress: Progress | None = None,
) -> ArrayScan:
    """List the clips of array files by their headers.

    Args:
        root: Folder, or one file.
        layout: What the numbers are, see `ArrayLayout.parse`. None: that of `skeleton`, or a guess from the shapes, which is
            noted.
        skeleton: Skeleton of the clips, for `layout=None`.
        pattern: Files to read: a glob pattern such as `"shard_*.npy"`, or a regular expression with named groups such as
            `r"(?P<signer>\\d+)_(?P<sign>\\d+)"`, which become keys of the records; `label` (or `class`, `word`, `gloss`) is
            the class. Both are matched with paths relative to the root. Or a list of such paths.
        labels: See `assign_labels`.
        allow_guess: Use the only layout that fits, if none is given, and note it. False raises, with a command to check it.
        index_file: File that caches headers between runs.
        progress: `progress(files, total)` wraps the iteration over files.

    Raises:
        DatasetNotFoundError: If there is no such file or folder, or it has no array files.
        ConfigError: If the layout is not given and cannot be guessed, or the pattern is invalid.
        KarslError: If the labels do not fit the clips.
    """
    root = Path(root)
    folder, names, notes, problems, groups = list_array_files(root, pattern)
    index = FileIndex.read(folder, names, index_file=index_file, progress=progress)
    problems += [problem.replace(f"{folder}/", "") for file in index.files for problem in file.problems]
    readable = [file for file in index.files if file.members]
    chosen = _choose_layout(root, readable, layout, skeleton, notes, problems, allow_guess=allow_guess)
    finder = ClipFinder(folder, chosen)
    for file in readable:
        finder.add(file, groups.get(file.name, {}))
    finder.join_frames(groups)
    problems += finder.problems
    notes += finder.notes()
    arrays = sorted(finder.arrays, key=lambda array: _natural(array.path))
    metainfo: dict[str, Any] = {"dataset_name": (root if root.is_dir() else root.with_suffix("")).resolve().name}
    metainfo |= {"skeleton": describe_skeleton(chosen.skeleton), "layout": chosen.to_config()}
    if arrays:
        keys = {file.name: tuple(m.key for m in file.members) for file in readable}
        keys |= {array.path: () for array in arrays if array.path not in keys}
        source, found = assign_labels(folder, arrays, labels=labels, keys=keys, has_pattern=bool(groups))
        metainfo |= found
        if not found and labels is None:
            notes.append(
                "the clips have no labels: there is no folder per class, label table or y.npy; pass --labels (labels=)"
            )
        elif labels is None and source:
            notes.append(f"{pluralize(len(found['classes']), 'class')} from {source}")
    return ArrayScan(ArrayRecords(arrays), metainfo, tuple(notes), tuple(problems), chosen)


# ---- files ----

_TABLES = (".csv", ".json", ".xlsx", ".index")  # of labels, or of what else is known about the clips


def list_array_files(
    root: Path, pattern: str | Sequence[str] | None
) -> tuple[Path, list[str], list[str], list[str], dict[str, dict]]:
    """Return the folder, the names of its array files, notes, problems, and the groups of a pattern by file."""
    if not root.exists():
        raise DatasetNotFoundError(f"no file or folder {str(root)!r}; is the path right?")
    if root.is_file():
        return root.parent, [root.name], [], [], {}
    if pattern is not None and not isinstance(pattern, str):
        return root, list(pattern), [], [], {}
    unread = Unread()
    names = sorted(unread.with_suffix(list_tree(root, unread), CLIP_FILES, expected=_TABLES), key=_natural)
    notes = list(unread.notes())
    if not names:
        raise DatasetNotFoundError(f"no {', '.join(CLIP_FILES)} file in {root}; is the path right?")
    if pattern is None:
        return root, names, notes, [], {}
    if "(?P<" not in pattern:
        matched = [name for name in names if fnmatch(name, pattern) or fnmatch(name.rpartition("/")[2], pattern)]
        if not matched:
            raise DatasetNotFoundError(f"no file of {root} matches pattern={pattern!r}; it has {names[0]!r}")
        rest = len(names) - len(matched)
        notes += [f"{pluralize(rest, 'file')} not read, by pattern {pattern!r}"] if rest else []
        return root, matched, notes, [], {}
    found, problems, groups = _match_groups(root, names, pattern)
    return root, found, notes, problems, groups


def _match_groups(root: Path, names: list[str], pattern: str) -> tuple[list[str], list[str], dict[str, dict]]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"pattern={pattern!r} is no regular expression ({error}); escape special characters") from error
    matches = {name: match for name in names if (match := expression.search(name))}
    others = [name for name in names if name not in matches and not is_label_array(strip_suffix(name).rpartition("/")[2])]
    if not matches:
        raise DatasetNotFoundError(f"no file of {root} matches pattern={pattern!r}; it has {names[0]!r}")
    problems = []
    if others:
        problems.append(
            f"{pluralize(len(others), 'file')} of {len(names)} not matched by pattern {pattern!r}, the first {others[0]!r}; "
            "correct the pattern, or move them away"
        )
    groups = {name: {k: v for k, v in match.groupdict().items() if v is not None} for name, match in matches.items()}
    return list(matches), problems, groups


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key by which clip2 is before clip10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


# ---- layout ----


def _choose_layout(
    root: Path,
    files: Sequence[IndexedFile],
    layout: Layout | None,
    skeleton: Skeleton | None,
    notes: list[str],
    problems: Sequence[str],
    *,
    allow_guess: bool,
) -> ArrayLayout:
    if layout is not None:
        return ArrayLayout.parse(layout)
    files = [file for file in files if not is_label_array(strip_suffix(file.name).rpartition("/")[2])] or list(files)
    if not files:
        raise DataErrors(str(root), problems)
    members = [member for member in files[0].members if not is_label_array(str(member.key))]
    if skeleton is not None:
        known = layout_of_skeleton(skeleton, members)
        if known.columns or known.arrays or not (candidates := guess_layouts(members)) or _fits_keypoints(known, members):
            return known
    candidates = guess_layouts(members)
    shapes = ", ".join(f"{'' if m.key is None else f'{m.key} '}{m.shape}" for m in members[:_MAX_LISTED])
    commands = [f"karsl browse {quote(str(root))} --layout {quote(text)}" for text in candidates]
    where = f"{root}: the layout of {files[0].name}, {shapes}, "
    if len(candidates) == 1 and not allow_guess:
        raise ConfigError(
            f"{where}may be {candidates[0]!r}; look at it with '{commands[0]}', then pass layout={candidates[0]!r}"
        )
    if len(candidates) == 1:
        notes.append(f"{where}is read as {candidates[0]!r}; check it with: {commands[0]}")
        return ArrayLayout.parse(candidates[0])
    if candidates:
        raise ConfigError(f"{where}is one of {', '.join(map(repr, candidates))}; look at both with: {'; '.join(commands)}")
    raise ConfigError(
        f"{where}is not known; describe it with --layout (layout=): a skeleton name, or columns such as "
        "'pose:33x4, lh:21x3, rh:21x3'"
    )


def _fits_keypoints(layout: ArrayLayout, members: Sequence[Member]) -> bool:
    return any(len(m.shape) >= 2 and m.shape[-2] == layout.skeleton.num_keypoints for m in members) or "D" in layout.axes


# ---- format ----


def has_array_files(path: Path) -> bool:
    """Return True for an array file, and a folder that contains one and whose names are not almost those of KArSL."""
    if path.is_file():
        return path.suffix.lower() in CLIP_FILES
    names = list_tree(path, Unread()) if path.is_dir() else iter(())
    first = next((name for name in names if has_suffix(name, CLIP_FILES)), None)
    return first is not None and not any(_SIGNER_SPLIT.fullmatch(name) for name in first.split("/")[:-1])


@register_format(
    "arrays",
    description=".npy, .npz, .pt or .h5 files with one clip each, many, or stacks (clips, frames, ...), see --layout",
    cannot_store="numbers that --layout describes",
    detect=has_array_files,
    priority=900,
    uses_layout=True,
)
def open_arrays(
    path: Path,
    *,
    skeleton: Skeleton | None = None,
    layout: Layout | None = None,
    pattern: str | None = None,
    labels: str | Path | None = None,
    progress: Progress | None = None,
    missing: MissingPoints = STRICT,
    **_: Any,
) -> IndexedSource:
    """Open array files of any arrangement, see `scan_arrays`.

    Raises:
        DataErrors: If no clip can be read, with all problems.
    """
    scan = scan_arrays(path, layout=layout, skeleton=skeleton, pattern=pattern, labels=labels, progress=progress)
    if not scan.records:
        raise DataErrors(str(path), scan.problems or (f"no clip of the layout {scan.layout.to_config()}",))
    root = path if path.is_dir() else path.parent
    metainfo = {key: value for key, value in scan.metainfo.items() if key != "layout"}
    return IndexedSource(
        metainfo,
        scan.layout.skeleton,
        scan.records,
        root.resolve(),
        scan.notes,
        layout=scan.layout,
        problems=scan.problems,
        missing=missing,
    )
