"""Array files of any arrangement: one clip per file, many named arrays per file, a stack per file, or a file per frame."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from itertools import accumulate
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple, overload

import numpy as np

from karsl.errors import ConfigError, CorruptRecordError, DataErrors, DatasetNotFoundError, KarslError, pluralize
from karsl.formats.array_guess import guess_layouts, layout_of_skeleton
from karsl.formats.array_labels import ClipArray, assign_labels, is_label_array, strip_suffix
from karsl.formats.base import register_format
from karsl.io.annotations import BYTE_RANGE_KEY
from karsl.io.array_files import frame_files, read_offsets
from karsl.io.array_layout import ArrayLayout
from karsl.io.file_index import CLIP_FILES, FileIndex, IndexedFile, Progress
from karsl.io.npz import Member
from karsl.io.sources import IndexedSource
from karsl.skeletons import Skeleton, describe_skeleton

Layout = ArrayLayout | Skeleton | str | Mapping[str, Any]

RESOLVED_KEYS = frozenset(("byte_start", "dtype", "raw", BYTE_RANGE_KEY))
"""Keys of records that are found again from headers, and are wrong when a file was replaced."""
_CLASS_GROUPS = ("label", "class", "word", "gloss")
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


class ArrayRecords(Sequence[dict]):
    """Records of the clips in arrays, each made when it is accessed, so that memory does not grow with the clips of a stack.

    Args:
        arrays: Arrays in order.
    """

    def __init__(self, arrays: Sequence[ClipArray]) -> None:
        self.arrays = list(arrays)
        self._ends = list(accumulate(map(len, self.arrays)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> dict: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict]: ...
    def __getitem__(self, index: int | slice) -> dict | list[dict]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        place = bisect_right(self._ends, number)
        array = self.arrays[place]
        return _to_record(array, number - self._ends[place] + len(array))

    def __iter__(self) -> Iterator[dict]:
        for array in self.arrays:
            for number in range(len(array)):
                yield _to_record(array, number)


def _to_record(array: ClipArray, number: int) -> dict:
    record: dict[str, Any] = {"clip_id": array.stem, "keypoint_path": array.path}
    if array.key is not None:
        record["keypoint_key"] = array.key
        record["clip_id"] += f"/{array.key}"
    if array.count is not None:
        record["keypoint_index"] = number
        record["clip_id"] += f"/{number:06d}"
    record |= array.constant
    if array.labels is not None:
        record["label"] = array.labels if isinstance(array.labels, (int, str)) else array.labels[number]
    record["num_frames"] = array.num_frames if array.lengths is None else int(array.lengths[number])
    if array.stored is not None:
        start, clip_bytes, frame_bytes = array.stored
        before = 0 if clip_bytes or array.lengths is None else int(array.starts[number]) * frame_bytes
        record["byte_start"] = start + number * clip_bytes + before
    return record


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
    finder = _ClipFinder(folder, chosen)
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
            notes.append(f"the {len(found['classes'])} classes are from {source}")
    return ArrayScan(ArrayRecords(arrays), metainfo, tuple(notes), tuple(problems), chosen)


# ---- files ----


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
    names = sorted(_walk(root), key=_natural)
    if not names:
        raise DatasetNotFoundError(f"no {', '.join(CLIP_FILES)} file in {root}; is the path right?")
    if pattern is None:
        return root, names, [], [], {}
    if "(?P<" not in pattern:
        matched = [name for name in names if fnmatch(name, pattern) or fnmatch(name.rpartition("/")[2], pattern)]
        if not matched:
            raise DatasetNotFoundError(f"no file of {root} matches pattern={pattern!r}; it has {names[0]!r}")
        rest = len(names) - len(matched)
        return root, matched, [f"{pluralize(rest, 'file')} not read, by pattern {pattern!r}"] if rest else [], [], {}
    return root, *_match_groups(root, names, pattern)


def _match_groups(root: Path, names: list[str], pattern: str) -> tuple[list[str], list[str], list[str], dict[str, dict]]:
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
    return list(matches), [], problems, groups


def _walk(root: Path) -> Iterator[str]:
    """Yield the relative paths of array files, without hidden ones."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if relative == "." else f"{relative}/"
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in CLIP_FILES:
                yield prefix + name


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


def apply_groups(array: ClipArray, groups: Mapping[str, str]) -> None:
    """Set the label and the constant keys of a clip from the groups of a pattern."""
    values: dict[str, Any] = {key: int(v) if key in ("sign", "label") and v.isdecimal() else v for key, v in groups.items()}
    if isinstance(values.get("sign"), str):
        values["label"] = values.pop("sign")  # a word, and no SignID
    for key in _CLASS_GROUPS:
        if key in values:
            array.labels = values.pop(key)
    array.constant |= values


class _ClipFinder:
    """Finder of the clips among the arrays of files."""

    def __init__(self, root: Path, layout: ArrayLayout) -> None:
        self.root, self.layout = root, layout
        self.arrays: list[ClipArray] = []
        self.problems: list[str] = []
        self._frames: dict[str, list[str]] = {}
        self._skipped: list[str] = []
        self._persons = 1

    def add(self, file: IndexedFile, groups: dict[str, str]) -> None:
        """Find the clips of a file."""
        members = {member.key: member for member in file.members}
        try:
            if self.layout.arrays:
                self._add_parts(file, members, groups)
                return
            for member in file.members:
                self._add_member(file, member, tuple(members), groups)
        except (KarslError, OSError) as error:
            self.problems.append(self._relative(str(error)))

    def join_frames(self, groups: Mapping[str, dict]) -> None:
        """Make a clip of the frames in each folder."""
        for folder, names in self._frames.items():
            try:
                count = len(frame_files(self.root / folder))
            except CorruptRecordError as error:
                self.problems.append(self._relative(str(error)))
                continue
            if count != len(names):
                self.problems.append(
                    f"{folder}: {count} frames, of which {len(names)} have the shape of a frame; export it again"
                )
                continue
            self.arrays.append(ClipArray(folder, None, None, count))
            apply_groups(self.arrays[-1], groups.get(names[0], {}))

    def notes(self) -> list[str]:
        """Return what was not read."""
        notes = []
        if self._skipped:
            notes.append(f"{pluralize(len(self._skipped), 'array')} that are no clips are not read, e.g. {self._skipped[0]}")
        if self._persons > 1:
            notes.append(f"clips have up to {self._persons} persons, person {self.layout.person} is read (person=)")
        return notes

    def _add_member(self, file: IndexedFile, member: Member, keys: tuple, groups: dict[str, str]) -> None:
        shape, ndim = member.shape, self.layout.clip_ndim
        name = file.name if member.key is None else f"{file.name}: {member.key}"
        is_stack = len(shape) == ndim + 1
        clip_shape = shape[1:] if is_stack else shape
        problem = self.layout.shape_problem(clip_shape, member.dtype)
        own_name = strip_suffix(file.name).rpartition("/")[2] if member.key is None else str(member.key)
        if problem and len(shape) <= 2 and is_label_array(own_name):
            return
        may_be_frame = len(shape) == ndim - 1 and member.key is None and self.layout.axes[0] == "T"
        if may_be_frame and self.layout.shape_problem((1, *shape), member.dtype) is None:
            self._frames.setdefault(file.name.rpartition("/")[0], []).append(file.name)
            return
        if problem and len(shape) not in (ndim, ndim + 1) and len(file.members) > 1:
            self._skipped.append(f"{name} {shape}")
            return
        if problem or (is_stack and not shape[0]):
            self.problems.append(f"{name} {problem or f'has no clips, shape {shape}'}; correct the layout, or move it away")
            return
        offsets = read_offsets(self.root / file.name, member.key, keys)
        self._append(file, member.key, shape, offsets, member, groups)

    def _append(
        self, file: IndexedFile, key: Any, shape: tuple, offsets: np.ndarray | None, member: Member, groups: dict[str, str]
    ) -> None:
        """Add the clips of an array of this shape."""
        is_stack = len(shape) > self.layout.clip_ndim
        clip_shape = shape[1:] if is_stack else shape
        frames = self.layout.num_frames(clip_shape)
        self._persons = max(self._persons, self.layout.num_persons(clip_shape))
        lengths = None
        if offsets is not None:
            lengths = self._check_lengths(offsets, shape, is_stack, file.name)
        count = len(lengths) if lengths is not None else shape[0] if is_stack else None
        array = ClipArray(file.name, key, count, frames, lengths, self._position(member, clip_shape, lengths, is_stack))
        apply_groups(array, groups)
        if array.stored is not None:
            array.constant |= {"dtype": member.dtype.name, "raw": self.layout.values_per_keypoint(clip_shape)}
        elif member.range is not None and count is None and not self.layout.arrays:
            array.constant[BYTE_RANGE_KEY] = list(member.range)
        self.arrays.append(array)

    def _check_lengths(self, offsets: np.ndarray, shape: tuple, is_stack: bool, name: str) -> np.ndarray | None:
        lengths = np.diff(offsets)
        if is_stack:  # clips padded to one length
            if len(lengths) != shape[0] or lengths.max() > self.layout.num_frames(shape[1:]):
                raise CorruptRecordError(
                    f"{name}: {len(lengths)} lengths of up to {lengths.max()} frames for a stack {shape}; export them again"
                )
        elif offsets[-1] != shape[0] or self.layout.axes[0] != "T":
            raise CorruptRecordError(f"{name}: lengths with a sum of {offsets[-1]} for {shape[0]} frames; export them again")
        return lengths

    def _position(
        self, member: Member, clip_shape: tuple, lengths: np.ndarray | None, is_stack: bool
    ) -> tuple[int, int, int] | None:
        """Return where the numbers are if the compiled pass reads them as they are stored."""
        is_float = member.dtype in (np.dtype("<f4"), np.dtype("<f2"))
        if member.start is None or not is_float or self.layout.values_per_keypoint(clip_shape) is None:
            return None
        frame_bytes = int(np.prod(clip_shape[1:], dtype=np.int64)) * member.dtype.itemsize
        return member.start, clip_shape[0] * frame_bytes if is_stack else 0, frame_bytes

    def _add_parts(self, file: IndexedFile, members: Mapping[Any, Member], groups: dict[str, str]) -> None:
        """Add the clips of a file with one array per group."""
        names = [name for _, name in self.layout.arrays]
        absent = [name for name in names if name not in members]
        if absent:
            if not (len(members) == 1 and is_label_array(strip_suffix(file.name).rpartition("/")[2])):
                self.problems.append(f"{file.name}: no array {absent[0]!r}, it has {', '.join(map(str, members))}")
            return
        ndim, shapes = self.layout.clip_ndim, {name: members[name].shape for name in names}
        is_stack = len(shapes[names[0]]) == ndim + 1
        for group, name in self.layout.arrays:
            shape = shapes[name][1:] if is_stack else shapes[name]
            problem = self.layout.shape_problem(shape, members[name].dtype, group)
            if problem:
                self.problems.append(f"{file.name}: {name} {problem}; correct the layout, or move it away")
                return
        first = shapes[names[0]]
        leading = {
            name: (shape[: int(is_stack)], self.layout.num_frames(shape[is_stack:])) for name, shape in shapes.items()
        }
        if len(set(leading.values())) > 1:
            self.problems.append(f"{file.name}: arrays of different lengths, {shapes}; export it again")
            return
        self._skipped += [
            f"{file.name}: {key} {m.shape}"
            for key, m in members.items()
            if key not in names and not is_label_array(str(key))
        ]
        offsets = read_offsets(self.root / file.name, names[0], tuple(members))
        self._append(file, None, first, offsets, members[names[0]], groups)

    def _relative(self, text: str) -> str:
        return text.replace(f"{self.root}/", "")


# ---- format ----


def has_array_files(path: Path) -> bool:
    """Return True for an array file, and a folder that contains one and whose names are not almost those of KArSL."""
    if path.is_file():
        return path.suffix.lower() in CLIP_FILES
    first = next(_walk(path), None) if path.is_dir() else None
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
    **_: Any,
) -> IndexedSource:
    """Open array files of any arrangement, see `scan_arrays`.

    Raises:
        DataErrors: If files have problems, with all of them.
    """
    scan = scan_arrays(path, layout=layout, skeleton=skeleton, pattern=pattern, labels=labels, progress=progress)
    if scan.problems or not scan.records:
        raise DataErrors(str(path), scan.problems or (f"no clip of the layout {scan.layout.to_config()}",))
    root = path if path.is_dir() else path.parent
    metainfo = {key: value for key, value in scan.metainfo.items() if key != "layout"}
    return IndexedSource(metainfo, scan.layout.skeleton, scan.records, root.resolve(), scan.notes, layout=scan.layout)
