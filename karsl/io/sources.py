"""Sources of clips: a list of records and a way to read one of them, whatever the file format."""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError, KarslError, first_line, pluralize
from karsl.io.annotations import LOCATOR_KEYS, join_folder
from karsl.io.array_layout import ArrayLayout
from karsl.io.clip import value_problem
from karsl.io.file_index import Progress
from karsl.io.hashing import fingerprint_files, list_files
from karsl.io.missing import STRICT, MissingPoints, likely_marker, marker_note
from karsl.io.reader import ClipReader
from karsl.schema import Count, convert
from karsl.skeletons import Skeleton, describe_skeleton

_SAMPLES = 16  # clips that are searched for markers of missing points
_PUBLIC_KEYS = ("clip_id", "label", "sign", "signer", "split", "num_frames", "fps", "hands_exchanged")


_CONTENT_ERRORS: tuple[type[Exception], ...] = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    EOFError,
)
_CONTENT_ERRORS += (struct.error, zlib.error)


@dataclass(frozen=True)
class _PublicRecord:
    """Keys of a record that every user of a source reads."""

    clip_id: str
    num_frames: Count
    label: Annotated[int, msgspec.Meta(le=(1 << 63) - 1)] | None = None
    sign: Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | str | None = None
    signer: str | None = None
    split: str | list[str] | None = None
    fps: Annotated[float, msgspec.Meta(ge=0, le=1e6)] | None = None
    hands_exchanged: Count | None = None


@dataclass(frozen=True)
class _SourceMetainfo:
    """Keys of the metainfo that every user of a source reads."""

    dataset_name: str | None = None
    classes: list[str | int | float] | None = None
    classes_ar: list[str | int | float] | None = None
    signs: list[int | str] | None = None


def check_source(source: ClipSource, where: object) -> None:
    """Check metainfo and records of a source, which come from a file.

    Numbers as names of clips and signers become texts, in place.

    Raises:
        AnnotationError: If a key that users of a source read is missing, or its type, range or length is wrong.
    """
    for record in source.records:
        for key in ("clip_id", "signer"):
            if type(record.get(key)) is int:
                record[key] = str(record[key])
    remedy = "correct it, or write the file again"
    convert(list(source.records), list[_PublicRecord], where=f"{where}, records", error=AnnotationError, remedy=remedy)
    convert(source.metainfo, _SourceMetainfo, where=f"{where}, metainfo", error=AnnotationError, remedy=remedy)
    classes = source.metainfo.get("classes")
    for key in ("classes_ar", "signs"):
        values = source.metainfo.get(key)
        if classes is not None and values is not None and len(values) != len(classes):
            raise AnnotationError(
                f"{where}: {pluralize(len(classes), 'class')}, but {len(values)} {key} in the metainfo; {remedy}"
            )


@contextmanager
def content_errors(what: str) -> Iterator[None]:
    """Raise a CorruptRecordError for errors of Python that only the content of a file explains, such as a wrong type in it.

    Args:
        what: Name of the content.
    """
    try:
        yield
    except KarslError:
        raise
    except _CONTENT_ERRORS as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise CorruptRecordError(f"{what} cannot be read ({reason}); export it again, --debug shows where") from error


def public_record(record: dict) -> dict:
    """Return the keys of a record that do not depend on the file format or location of its clip.

    Example:
        >>> public_record({"clip_id": "a", "signer": None, "num_frames": 3, "keypoint_path": "a.npy"})
        {'clip_id': 'a', 'num_frames': 3}
    """
    return {key: record[key] for key in _PUBLIC_KEYS if record.get(key) is not None}


class ClipSource(ABC):
    """Base class of clip sources. A source is picklable and holds no open file, so that workers can read from it.

    A subclass sets the attributes and implements `read`. The other methods have defaults.

    Attributes:
        metainfo: `dataset_name`, `skeleton` as in a config, `classes` (K), and `classes_ar`, `signs` if known.
        skeleton: Skeleton of every clip that `read` returns.
        records: One dict per clip: `clip_id`, `num_frames`, `label` (index into `classes`), and `sign`, `signer`, `split` if
            known. Other keys locate the clip and belong to the source.
        notes: One sentence for each kind of content in the files that is not read.
        problems: One sentence for each clip that cannot be read and is not in `records`. `open_clips` raises them.
    """

    metainfo: dict
    skeleton: Skeleton
    records: Sequence[dict]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @abstractmethod
    def read(self, record: dict) -> np.ndarray:
        """Return the canonical clip of a record: float32 (T, V, 4), x y z score, four zeros for a missing keypoint."""

    def read_stored(self, record: dict) -> np.ndarray:
        """Return the canonical clip in its stored dtype, float16 or float32."""
        return self.read(record)

    def public_record(self, record: dict) -> dict:
        """Return the keys of a record that a pack stores."""
        return public_record(record)

    @property
    def fingerprint(self) -> str:
        """State of the files as a hash, so that work is resumed on the same files only. Empty if unknown."""
        return ""


@dataclass(frozen=True)
class FunctionSource(ClipSource):
    """A source made of a list of records and a function that reads one of them.

    Args:
        metainfo, skeleton, records, notes, problems: See `ClipSource`.
        reader: Picklable function that maps a record to its canonical clip.
        root: File or folder that `reader` reads from. None disables resuming an interrupted `pack_clips`.

    Example:
        >>> from karsl.skeletons import Skeleton
        >>> dot = Skeleton("dot", (("pose", ("nose",)),))
        >>> records = [{"clip_id": "a", "label": 0, "num_frames": 2}]
        >>> source = FunctionSource({"classes": ("hello",)}, dot, records, lambda record: np.ones((2, 1, 4)))
        >>> isinstance(source, ClipSource), source.read(source.records[0]).shape
        (True, (2, 1, 4))
    """

    metainfo: dict
    skeleton: Skeleton
    records: list[dict]
    reader: Callable[[dict], np.ndarray]
    notes: tuple[str, ...] = ()
    root: Path | None = None
    problems: tuple[str, ...] = ()

    def read(self, record: dict) -> np.ndarray:
        """Return the canonical clip of a record, float32 (T, V, 4)."""
        with content_errors(f"{self.root or 'the source'}: clip {record.get('clip_id')!r}"):
            return self.reader(record)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names, sizes and modification times of all files below `root`. Empty without a root."""
        if self.root is None:
            return ""
        return fingerprint_files(self.root if self.root.is_dir() else self.root.parent, list_files(self.root))


@dataclass(frozen=True)
class IndexedSource(ClipSource):
    """A source whose records locate their clips, see `ClipReader`. Files are opened in the process that reads.

    Args:
        metainfo, skeleton, records, notes, problems: See `ClipSource`.
        root: Folder that the paths of the records are relative to.
        layout: Layout of arrays in files, see `ClipReader.read`.
        missing: Rules that say which points are missing.
    """

    metainfo: dict
    skeleton: Skeleton
    records: Sequence[dict]
    root: Path
    notes: tuple[str, ...] = ()
    layout: ArrayLayout | None = None
    problems: tuple[str, ...] = ()
    missing: MissingPoints = STRICT
    _reader: ClipReader = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reader", ClipReader(cache_bytes=0, nonfinite=self.missing.nonfinite))

    def read(self, record: dict) -> np.ndarray:
        """Return the canonical clip of a record, float32 (T, V, 4)."""
        return self.read_stored(record).astype(np.float32)

    def read_stored(self, record: dict) -> np.ndarray:
        """Return the canonical clip in its stored dtype, without a copy if the file is memory-mapped."""
        path = join_folder(self.root, record["keypoint_path"])
        located = {**record, "keypoint_path": path}
        return self.missing.clear(self._reader.read(located, self.skeleton.num_keypoints, layout=self.layout))

    def public_record(self, record: dict) -> dict:
        """Return a record without the keys that locate its clip."""
        return {key: value for key, value in record.items() if key not in LOCATOR_KEYS}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names, sizes and modification times of the files that the records name, or that are in such a folder."""
        paths = {r["keypoint_path"]: None for r in self.records}
        folders = {
            path: [f"{path}/{name}" for name in list_files(self.root / path)]
            for path in paths
            if (self.root / path).is_dir()
        }
        names = (name for path in paths for name in folders.get(path, [path]))
        return fingerprint_files(self.root, names)


class RemappedSource(ClipSource):
    """The clips of another source on a different skeleton. Keypoints are matched by name.

    Args:
        source: Source of the clips.
        skeleton: Skeleton to return. Keypoints that `source` lacks are missing in every frame.
    """

    def __init__(self, source: ClipSource, skeleton: Skeleton) -> None:
        self.source, self.skeleton = source, skeleton
        self.metainfo = {**source.metainfo, "skeleton": describe_skeleton(skeleton)}
        self.records, self.notes, self.problems = source.records, source.notes, source.problems
        self._mapping = skeleton.mapping_from(source.skeleton)

    def read(self, record: dict) -> np.ndarray:
        """Return the canonical clip on `skeleton`, float32 (T, V, 4)."""
        return remap_clip(self.source.read(record), self._mapping)

    def public_record(self, record: dict) -> dict:
        """Return the public keys of the wrapped source's record."""
        return self.source.public_record(record)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the wrapped source."""
        return self.source.fingerprint


class SubsetSource(ClipSource):
    """Some clips of another source.

    Args:
        source: Source of the clips.
        records: Records of the source.
    """

    def __init__(self, source: ClipSource, records: list[dict]) -> None:
        self.source, self.records = source, records
        self.metainfo, self.skeleton = source.metainfo, source.skeleton
        self.notes, self.problems = source.notes, source.problems

    def read(self, record: dict) -> np.ndarray:
        """Return the canonical clip, float32 (T, V, 4)."""
        return self.source.read(record)

    def read_stored(self, record: dict) -> np.ndarray:
        """Return the canonical clip in its stored dtype."""
        return self.source.read_stored(record)

    def public_record(self, record: dict) -> dict:
        """Return the public keys of the wrapped source's record."""
        return self.source.public_record(record)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the wrapped source."""
        return self.source.fingerprint


def read_checked(source: ClipSource, record: dict) -> np.ndarray:
    """Return the clip of a record, float32 (T, V, 4).

    Raises:
        CorruptRecordError: If it has no frames or not as many as its record says, or a value is not finite.
        FileNotFoundError: If its file does not exist.
    """
    clip, where = source.read(record), f"clip {record['clip_id']!r}"
    if len(clip) != record["num_frames"] or not len(clip):
        raise CorruptRecordError(
            f"{where} has {pluralize(len(clip), 'frame')}, its record {record['num_frames']}; index it again"
        )
    problem = value_problem(clip)
    if problem:
        raise CorruptRecordError(f"{where} {problem}; export it again")
    return clip


def readable_clips(source: ClipSource, progress: Progress | None = None) -> tuple[ClipSource, list[str]]:
    """Read every clip of a source; return the source without those that fail, and one sentence for each of these."""
    records, problems = [], []
    for record in progress(source.records, len(source.records)) if progress else source.records:
        try:
            read_checked(source, record)
        except (CorruptRecordError, FileNotFoundError) as error:
            problems.append(str(error))
        else:
            records.append(record)
    return (SubsetSource(source, records) if problems else source), problems


def marker_notes(source: ClipSource) -> tuple[str, ...]:
    """Return a note for each convention of missing points that some clips, read from all over a source, seem to have."""
    step = max(1, len(source.records) // _SAMPLES)
    found: dict[str, str] = {}
    for record in source.records[::step][:_SAMPLES]:
        with suppress(CorruptRecordError, FileNotFoundError):  # reported when all clips are read
            marker = likely_marker(source.read(record))
            if marker:
                found.setdefault(marker, record["clip_id"])
    return tuple(marker_note(marker, clip_id) for marker, clip_id in found.items())


def remap_clip(clip: np.ndarray, mapping: np.ndarray) -> np.ndarray:
    """Reorder the keypoints of a canonical clip.

    Args:
        clip: (T, V, 4).
        mapping: int64 (V',), index into `clip` of each output keypoint, -1 for a missing one.

    Returns:
        (T, V', 4) of the dtype of `clip`.

    Example:
        >>> remap_clip(np.array([[[1, 2, 3, 1], [4, 5, 6, 1]]]), np.array([1, -1])).tolist()
        [[[4, 5, 6, 1], [0, 0, 0, 0]]]
    """
    out = np.zeros((len(clip), len(mapping), 4), clip.dtype)
    present = mapping >= 0
    out[:, present] = clip[:, mapping[present]]
    return out


def dropped_points(source: Skeleton, target: Skeleton) -> np.ndarray:
    """Return the indices, int64, of the keypoints of `source` that `target` does not have."""
    known = set(target.names)
    return np.array([i for i, name in enumerate(source.names) if name not in known], dtype=np.int64)


def describe_points(skeleton: Skeleton, points: np.ndarray) -> str:
    """Summarize some keypoints of a skeleton for a message.

    Example:
        >>> from karsl.skeletons import get_skeleton
        >>> describe_points(get_skeleton("karsl_184"), np.arange(2, 10))
        "4 of pose, 4 of face, e.g. 'left_elbow'"
    """
    counts = np.bincount(skeleton.group_of[points], minlength=len(skeleton.groups))
    groups = ", ".join(f"{count} of {group}" for group, count in zip(skeleton.groups, counts, strict=True) if count)
    return f"{groups}, e.g. {skeleton.names[int(points[0])]!r}"
