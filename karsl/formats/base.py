"""Formats of clip files: `@register_format`, detection by path, and the job that a format's writer gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import AnnotationError, ConfigError, CorruptRecordError, DataErrors, SkeletonError, did_you_mean, pluralize
from karsl.io.annotations import check_class_count
from karsl.io.clip import to_float16
from karsl.io.file_index import Progress
from karsl.io.file_list import has_file
from karsl.io.sources import ClipSource, describe_points, dropped_points, read_checked, remap_clip
from karsl.plugins import load_plugins
from karsl.skeletons import Skeleton, get_skeleton

SUPPORTS_ALL = frozenset({"z", "score", "mask"})
"""`Format.supports` of a format that stores every coordinate, every score and which points are missing."""

Writer = Callable[[Path, "ConversionJob"], None]


@dataclass(frozen=True)
class Format:
    """A format of clip files.

    Args:
        name: Name for `--to` and `--from`.
        description: Layout of the files, in a few words.
        cannot_store: Information that writing loses; for a read-only format, the content that is read.
        reader: Opens a path as a `ClipSource`. None for a write-only format.
        detect: Returns True if a path may be of this format. Looks at names and first bytes only.
        priority: Rank in detection. Formats with a lower number are tried first.
        writer: Writes all clips of a `ConversionJob` to a path. None for a read-only format.
        is_file: True if the format is one file, not a folder.
        skeleton: Skeleton of every file of the format. None supports any skeleton.
        supports: Subset of `'z'`, `'score'` and `'mask'`, see `LossReport.check`.
        supports_half: True if arrays may be stored as float16.
        uses_label_table: True if files name classes by SignID only, so that a label table adds glosses.
        uses_layout: True if the reader has the arguments `layout`, `pattern` and `labels`.
        has_persons: True if the reader has the argument `person`, the position of the person to read in each frame.
        extra: Optional dependency of karsl that the format needs.
        hint: Describes how a folder that no format detects differs from this one.
    """

    name: str
    description: str
    cannot_store: str
    reader: Callable[..., ClipSource] | None
    detect: Callable[[Path], bool] = lambda path: False
    priority: int = 1000
    writer: Writer | None = None
    is_file: bool = False
    skeleton: str | None = None
    supports: frozenset[str] = frozenset({"z", "score"})
    supports_half: bool = False
    uses_label_table: bool = False
    uses_layout: bool = False
    has_persons: bool = False
    extra: str = ""
    hint: Callable[[Path], str] | None = None


FORMATS: dict[str, Format] = {}
"""Registered formats by name, in order of detection."""


def register_format(name: str, **fields: Any) -> Callable[[Callable[..., ClipSource]], Callable[..., ClipSource]]:
    """Register the decorated reader, and the writer if given, as a format.

    A reader is called as `reader(path, skeleton=, trusted=, label_table=, progress=, missing=)` and ignores what it does not
    use. Clips that cannot be read are `problems` of its source, which `open_clips` raises or leaves out.
    Modules of `karsl.formats` are imported with the package. Import other modules with `--import`, or install them as a
    plugin, see `karsl.plugins`.

    Args:
        name: Name of the format.
        fields: Further fields of `Format`; `description` and `cannot_store` are required.

    Raises:
        ConfigError: If the name is already registered.

    Example:
        >>> @register_format("doc-example", description="nothing", cannot_store="everything")
        ... def open_example(path, **_):
        ...     raise NotImplementedError
        >>> FORMATS.pop("doc-example").reader is open_example
        True
    """
    _check_name(name)

    def register(reader: Callable[..., ClipSource]) -> Callable[..., ClipSource]:
        _add(Format(name, reader=reader, **fields))
        return reader

    return register


def register_writer(name: str, **fields: Any) -> Callable[[Writer], Writer]:
    """Register the decorated writer as a write-only format, see `register_format`.

    Raises:
        ConfigError: If the name is already registered.
    """
    _check_name(name)

    def register(writer: Writer) -> Writer:
        _add(Format(name, reader=None, writer=writer, **fields))
        return writer

    return register


def _check_name(name: str) -> None:
    if name in FORMATS:
        raise ConfigError(f"format {name!r} is already registered; choose another name")


def _add(added: Format) -> None:
    """Add a format; `FORMATS` stays in order of detection."""
    formats = sorted([*FORMATS.values(), added], key=lambda f: (f.priority, f.name))
    FORMATS.clear()
    FORMATS.update((f.name, f) for f in formats)


def get_format(name: str) -> Format:
    """Return the format of a name.

    Raises:
        ConfigError: If there is none. The message suggests the nearest name.

    Example:
        >>> get_format("karsl").name
        'karsl'
    """
    load_plugins()
    if name in FORMATS:
        return FORMATS[name]
    hint = did_you_mean(name, FORMATS, f"formats are {', '.join(FORMATS)}")
    raise ConfigError(f"no format {name!r}{hint}")


def detect_format(path: Path) -> Format:
    """Return the format of a file or folder: the first in `FORMATS` that detects it.

    Raises:
        ConfigError: If no format detects it.
    """
    load_plugins()
    for candidate in FORMATS.values():
        if candidate.detect(path):
            return candidate
    hints = "".join(f"; {f.hint(path)}" for f in FORMATS.values() if f.hint and path.is_dir())
    raise ConfigError(f"{path} has none of the formats {', '.join(FORMATS)}; name one with --from (format=...){hints}")


def writable_formats() -> tuple[str, ...]:
    """Return the names of the formats that can be written."""
    load_plugins()
    return tuple(f.name for f in FORMATS.values() if f.writer)


def file_with_suffix(*suffixes: str) -> Callable[[Path], bool]:
    """Return a detector of files with one of the suffixes, given in lower case."""
    return lambda path: path.is_file() and path.suffix.lower() in suffixes


def file_or_folder_with(suffix: str) -> Callable[[Path], bool]:
    """Return a detector of files with a suffix, given in lower case, and of folders that contain such a file."""
    is_file = file_with_suffix(suffix)
    return lambda path: is_file(path) or has_file(path, (suffix,))


def resolve_skeleton(declared: str | Mapping[str, Any] | None, requested: Skeleton | None, *, where: Path) -> Skeleton:
    """Return the skeleton that a file declares, or the requested one if the file declares none that is registered.

    Raises:
        AnnotationError: If there is neither.
        SkeletonError: If the declared one is unknown and none is requested.

    Example:
        >>> resolve_skeleton("hand_42", get_skeleton("mp_75"), where=Path("x")).name  # the caller remaps if it has to
        'hand_42'
    """
    if declared is None:
        if requested is None:
            option = "--source-skeleton NAME (skeleton=...), coco_17 for example"
            raise AnnotationError(f"{where}: the file does not name its skeleton; pass {option}")
        return requested
    try:
        return get_skeleton(declared)
    except SkeletonError:
        if requested is None:
            raise
        return requested


def class_list(labels: Iterable[int], names: Mapping[int, str] | None = None) -> tuple[str, ...]:
    """Return a name for each class up to the largest label; unnamed classes are named by their label in four digits.

    Raises:
        AnnotationError: See `check_class_count`.

    Example:
        >>> class_list([2, 0], {0: "hello"})
        ('hello', '0001', '0002')
    """
    labels = list(labels)
    check_class_count(labels, "the clips", names=len(names or ()))
    largest = max(labels, default=-1)
    return tuple((names or {}).get(label, f"{label:04d}") for label in range(largest + 1))


_LOSSES = {
    "z": "depth is not 0, and this format stores x and y only",
    "score": "scores other than 1 are not stored; detected points are read back with score 1",
    "mask": "points exactly at the origin look like missing ones and are read back as missing",
}


class LossReport:
    """Kinds of information that a conversion loses, with the number of clips affected.

    Args:
        format: Name of the format that is written, for errors.
        strict: Raise at the first loss.

    Example:
        >>> report = LossReport("spoter")
        >>> for clip_id in "ab":
        ...     report.add("z", clip_id)
        >>> report.lines(3)
        ('z: depth is not 0, and this format stores x and y only (2 of 3 clips)',)
    """

    def __init__(self, format: str, *, strict: bool = False) -> None:
        self.format, self.strict = format, strict
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, kind: str, clip_id: str, message: str = "") -> None:
        """Count a loss of one clip; an empty message is that of the kind, `'z'`, `'score'` or `'mask'`.

        Raises:
            ConfigError: If strict.
        """
        text = message or _LOSSES[kind]
        if self.strict:
            raise ConfigError(
                f"{self.format} cannot store clip {clip_id!r} ({kind}: {text}); omit --strict to accept the loss"
            )
        self._counts[kind, text] = self._counts.get((kind, text), 0) + 1

    def lines(self, num_clips: int) -> tuple[str, ...]:
        """Return one line per kind, in order of first occurrence."""
        return tuple(
            f"{kind}: {text} ({count} of {pluralize(num_clips, 'clip')})" for (kind, text), count in self._counts.items()
        )

    def check(self, clip: np.ndarray, clip_id: str, supports: frozenset[str]) -> None:
        """Count what a format loses of a clip, and set points to missing that will be read back as missing.

        Args:
            clip: Canonical clip, (T, V, 4), on the skeleton of the format. Modified in place.
            clip_id: Its id.
            supports: Subset of `'z'`, `'score'` and `'mask'` (missing points are marked rather than written as zeros).
        """
        present = clip[..., 3] > 0
        if "z" not in supports and clip[..., 2][present].any():
            self.add("z", clip_id)
        if "score" not in supports and (clip[..., 3][present] != 1).any():
            self.add("score", clip_id)
        lost = unmarked_points(clip, supports)
        if lost.any():
            self.add("mask", clip_id)
            clip[lost] = 0


def unmarked_points(clip: np.ndarray, supports: frozenset[str]) -> np.ndarray:
    """Return a mask, bool (T, V), of present points that a format stores as zeros only, like missing ones.

    Example:
        >>> clip = np.array([[[0, 0, 0.5, 1], [0.5, 0, 0, 1], [0, 0, 0, 0]]])
        >>> unmarked_points(clip, frozenset()).tolist(), unmarked_points(clip, frozenset({"z"})).tolist()
        ([[True, False, False]], [[False, False, False]])
    """
    if "mask" in supports:
        return np.zeros(clip.shape[:2], bool)
    return (clip[..., 3] > 0) & (clip[..., : 3 if "z" in supports else 2] == 0).all(-1)


@dataclass
class ConversionJob:
    """Input of a format's writer.

    Args:
        source: Source of the clips.
        skeleton: Skeleton to write.
        supports: See `LossReport.check`.
        losses: Report that collects losses.
        dtype: float32, or float16 for formats that support it.
        progress: `progress(records, total)` wraps the iteration over clips.
    """

    source: ClipSource
    skeleton: Skeleton
    supports: frozenset[str]
    losses: LossReport
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.float32))
    progress: Progress | None = None

    @property
    def metainfo(self) -> dict:
        """Metainfo of the source without its skeleton."""
        return {k: v for k, v in self.source.metainfo.items() if k != "skeleton"}

    def gloss(self, record: dict) -> str:
        """Return the class name of a record."""
        return str(self.source.metainfo["classes"][record["label"]])

    def clips(self, *, key: Callable[[dict], Any] | None = None) -> Iterator[tuple[dict, np.ndarray]]:
        """Yield each record with its clip, float32 or float16 (T, V, 4), on the skeleton to write.

        Args:
            key: Sort key of records, for formats that group clips.

        Raises:
            DataErrors: At the end, with every clip that could not be read.
            ConfigError: If a loss occurs while strict, or float16 cannot represent a value.
        """
        records = sorted(self.source.records, key=key) if key else self.source.records
        mapping = self.skeleton.mapping_from(self.source.skeleton)
        dropped = dropped_points(self.source.skeleton, self.skeleton)
        problems: list[str] = []
        for record in self.progress(records, len(records)) if self.progress else records:
            try:
                clip = read_checked(self.source, record)
            except (CorruptRecordError, FileNotFoundError) as error:
                problems.append(str(error))
                continue
            if problems:
                continue  # nothing will be written; check the remaining clips only
            if len(dropped) and (clip[:, dropped, 3] > 0).any():
                points = describe_points(self.source.skeleton, dropped)
                self.losses.add("points", record["clip_id"], f"{points}, are not in the format's skeleton and are left out")
            clip = remap_clip(clip, mapping)
            self.losses.check(clip, record["clip_id"], self.supports)
            yield record, self._to_dtype(clip, record["clip_id"])
        if problems:
            raise DataErrors("the clips to convert", problems)

    def _to_dtype(self, clip: np.ndarray, clip_id: str) -> np.ndarray:
        if self.dtype == np.float32:
            return clip
        half = to_float16(clip, name=clip_id, has_mask="mask" in self.supports)
        if (half != clip).any():
            self.losses.add("precision", clip_id, "values are rounded to float16, 3 digits; --dtype float32 keeps them")
        return half
