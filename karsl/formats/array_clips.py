"""Clips in the arrays of files: which arrays are clips, stacks or frames, and their records."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any, overload

import numpy as np

from karsl.errors import CorruptRecordError, KarslError, pluralize
from karsl.io.annotations import BYTE_RANGE_KEY
from karsl.io.array_files import Key, frame_files, read_offsets
from karsl.io.array_layout import ArrayLayout
from karsl.io.file_index import CLIP_FILES, IndexedFile
from karsl.io.npz import Member

Label = int | str

LABEL_ARRAYS = ("y", "labels", "label")
"""Names of arrays of labels."""
_CLASS_GROUPS = ("label", "class", "word", "gloss")


@dataclass
class ClipArray:
    """An array with one clip, or with a stack of clips.

    Attributes:
        path: File relative to the root, with `/`, or the folder of a clip's frames.
        key: Array of the file.
        lengths: int64 (N,), frames of each clip of a stack; None for N clips of `num_frames`.
        count: N; None if the array is one clip.
        num_frames: T, the same for all clips without `lengths`.
        stored: `byte_start`, bytes per clip or 0 if `lengths` are joined, bytes per frame; None if clips are decoded.
        constant: Keys of all of its records.
        labels: Label of each clip, or one for all; None if they have none.
    """

    path: str
    key: Key
    count: int | None
    num_frames: int
    lengths: np.ndarray | None = None
    stored: tuple[int, int, int] | None = None
    constant: dict[str, Any] = field(default_factory=dict)
    labels: Label | Sequence[Label] | None = None

    def __len__(self) -> int:
        return 1 if self.count is None else self.count

    @cached_property
    def starts(self) -> np.ndarray:
        """int64 (N + 1,), first frame of each clip of joined `lengths`, and the end."""
        return np.concatenate([[0], np.cumsum([] if self.lengths is None else self.lengths)])

    @cached_property
    def stem(self) -> str:
        """Path without the suffix of an array file."""
        return strip_suffix(self.path)

    @cached_property
    def file_stem(self) -> str:
        """Name of the file without folder and suffix."""
        return PurePosixPath(self.stem).name

    @cached_property
    def folder(self) -> str:
        """Folder of the file, relative to the root; empty in the root."""
        return self.path.rpartition("/")[0]


def strip_suffix(path: str) -> str:
    """Return a path without the suffix of an array file.

    Example:
        >>> strip_suffix("a/1.npy"), strip_suffix("a/v1.2")
        ('a/1', 'a/v1.2')
    """
    pure = PurePosixPath(path)
    return pure.with_suffix("").as_posix() if pure.suffix.lower() in CLIP_FILES else path


def is_label_array(name: str) -> bool:
    """Return True for the name of an array of labels or lengths, which is no clip."""
    name = name.lower()
    return (
        name in (*LABEL_ARRAYS, "lengths", "offsets")
        or name.startswith("y_")
        or name.endswith(("_labels", "_label", "_lengths", "_offsets"))
    )


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


def apply_groups(array: ClipArray, groups: Mapping[str, str]) -> None:
    """Set the label and the constant keys of a clip from the groups of a pattern."""
    values: dict[str, Any] = {key: int(v) if key in ("sign", "label") and v.isdecimal() else v for key, v in groups.items()}
    if isinstance(values.get("sign"), str):
        values["label"] = values.pop("sign")  # a word, and no SignID
    for key in _CLASS_GROUPS:
        if key in values:
            array.labels = values.pop(key)
    array.constant |= values


class ClipFinder:
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
                    f"{folder}: {pluralize(count, 'frame')}, {len(names)} with the shape of a frame; export it again"
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
            notes.append(
                f"clips have up to {pluralize(self._persons, 'person')}, person {self.layout.person} is read (person=)"
            )
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
                    f"{name}: {pluralize(len(lengths), 'length')} of up to "
                    f"{pluralize(lengths.max(), 'frame')} for a stack {shape}; export them again"
                )
        elif offsets[-1] != shape[0] or self.layout.axes[0] != "T":
            raise CorruptRecordError(
                f"{name}: lengths with a sum of {offsets[-1]} for {pluralize(shape[0], 'frame')}; export them again"
            )
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
