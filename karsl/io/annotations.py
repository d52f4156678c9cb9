"""Annotation files in OpenMMLab's format, `{"metainfo": {...}, "data_list": [...]}`: read, check and write."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from karsl.errors import AnnotationError, PackError, pluralize
from karsl.io.atomic import atomic_path
from karsl.io.labels import LabelTable
from karsl.schema import Count, UInt64, convert, parse_json, read_json, whole_number

BYTE_RANGE_KEY = "member"
"""Record key of the array's position in its archive, a list in the order of `karsl.io.npz.ByteRange`."""
LOCATOR_KEYS = frozenset(
    ("keypoint_path", "keypoint_key", "keypoint_index", BYTE_RANGE_KEY, "frame_start", "byte_start", "dtype", "xxh3", "raw")
    + ("pack", "sample_idx")
)
"""Record keys that locate the clip in one copy of the files or in one dataset."""
MANIFEST = "manifest.json"
PACK_FORMAT, PACK_VERSION = "karsl pack", 1
"""`format` and `version` of a manifest; docs/spec-pack.md describes what a change of the version means."""
_REMEDY = "write it again with 'karsl prepare'"
MIN_CLASSES = 10_000
"""Number of classes that labels may always refer to; more need as many clips, or names in the metainfo."""

_PATH_KEYS = ("keypoint_path", "file")
_MAX_NAME_BYTES, _MAX_PATH_BYTES = 255, 4096  # of file systems
_INVALID = (msgspec.ValidationError, UnicodeEncodeError)  # the latter for texts and keys with lone surrogates
_INT64 = (1 << 63) - 1
_OFFSET = (Count, "a whole number of at least 0 is expected")
_FIELDS: dict[str, tuple[Any, str]] = {
    "keypoint_path": (str, "a string is expected"),
    "file": (str, "a string is expected"),
    "keypoint_key": (str | int | None, "the name of an array is expected"),
    "keypoint_index": (Count | None, "the number of a row is expected"),
    "raw": (Annotated[int, msgspec.Meta(ge=3, le=4)], "3 or 4 values per keypoint are expected"),
    "clip_id": (str | int, "a string is expected"),
    "label": (
        Annotated[int, msgspec.Meta(ge=-_INT64, le=_INT64)],
        "a whole number is expected, and no 'label' where it is unknown",
    ),
    "num_frames": _OFFSET,
    "frame_start": _OFFSET,
    "byte_start": (Annotated[int, msgspec.Meta(ge=-1, le=_INT64)], "an offset in the file is expected"),
    "dtype": (str, "the name of a dtype is expected"),
    "xxh3": (UInt64, "a checksum is expected"),
    "sign": (str | int | None, "a number or string is expected"),
    "signer": (str | int | None, "a number or string is expected"),
    "split": (str | int | list[str] | None, "a string or a list of strings is expected"),
}
"""Type of each record key that karsl reads, and its description. Other keys may have any value."""
_NUMBERS = ("label", "num_frames", "frame_start", "byte_start", "sign")
_COMPANIONS = {"frame_start": ("keypoint_path", "num_frames"), "byte_start": ("keypoint_path", "num_frames", "dtype")}
"""Keys that locate a clip only together with others."""
_Record = msgspec.defstruct(
    "_Record", [(name, kind | msgspec.UnsetType, msgspec.UNSET) for name, (kind, _) in _FIELDS.items()], gc=False
)


@dataclass(frozen=True)
class _Metainfo:
    """Keys of the metainfo that karsl reads."""

    dataset_name: str | None = None
    skeleton: str | dict | None = None
    classes: list[str | int | float] | str | None = None
    classes_ar: list[str | int | float] | str | None = None
    signs: list[int | str] | None = None


def record_splits(record: Mapping) -> tuple[str, ...]:
    """Return the splits that a corpus ships a clip in: none, one, or several, as for the protocols of NTU.

    Example:
        >>> record_splits({"split": "train"}), record_splits({"split": ["xsub_train", "xview_val"]}), record_splits({})
        (('train',), ('xsub_train', 'xview_val'), ())
    """
    split = record.get("split")
    return () if split is None else tuple(split) if isinstance(split, (list, tuple)) else (str(split),)


def join_splits(record: Mapping) -> str:
    """Return the splits of a clip as one text, for people and for columns of tables."""
    return ", ".join(record_splits(record))


def parse_splits(text: str) -> str | list[str]:
    """Return the record's `split` of a text of `join_splits`.

    Example:
        >>> parse_splits("train"), parse_splits("xsub_train, xview_val")
        ('train', ['xsub_train', 'xview_val'])
    """
    names = text.split(", ")
    return text if len(names) == 1 else names


def check_pack_version(folder: str | Path) -> None:
    """Check that the pack in a folder, if its manifest says that there is one, is of the version that this reader reads.

    Raises:
        PackError: If it is of another version, whose files may have another content.
    """
    path = os.path.join(folder, MANIFEST)
    try:
        state = os.stat(path)
    except OSError:
        return
    version = _manifest_version(path, state.st_mtime_ns, state.st_size)
    if version != PACK_VERSION:
        raise PackError(version_problem(path, version))


def version_problem(path: str | Path, version: object) -> str:
    """Return the error of a manifest of another version."""
    return f"{path} is of version {version}, this karsl reads {PACK_VERSION}; update karsl"


@lru_cache(maxsize=64)
def _manifest_version(path: str, mtime_ns: int, size: int) -> object:
    """Return the version of a manifest; `PACK_VERSION` for a file that is not the manifest of a pack, or is damaged."""
    try:
        stored = parse_json(Path(path).read_bytes())
    except (OSError, ValueError):
        return PACK_VERSION
    return stored.get("version") if isinstance(stored, dict) and stored.get("format") == PACK_FORMAT else PACK_VERSION


def parse_annotations(path: str | Path, *, required: Sequence[str] = ()) -> tuple[dict, list[dict]]:
    """Read the metainfo and the records of a local `.json` annotation file, see `check_records`.

    Raises:
        AnnotationError: If the file cannot be read or has another format.
    """
    content = read_json(path, error=AnnotationError, remedy=_REMEDY)
    metainfo, records = split_annotation(content, path)
    check_records(records, path, required=required)
    return metainfo, records


def split_annotation(content: Any, path: str | Path) -> tuple[dict, list[dict]]:
    """Check the form of an annotation file and return its metainfo and records, whose values are not checked yet.

    A key of the metainfo that is null is absent.

    Raises:
        AnnotationError: If the content has another format.

    Example:
        >>> split_annotation({"metainfo": {"classes": ["a"]}, "data_list": []}, "a.json")
        ({'classes': ['a']}, [])
    """
    if not isinstance(content, dict):
        raise AnnotationError(f"{path}: an annotation file contains a dict, this one a {type(content).__name__}")
    absent = [key for key in ("metainfo", "data_list") if key not in content]
    if absent:
        raise AnnotationError(f"{path}: no key {absent}; the format is {{'metainfo': ..., 'data_list': [...]}}")
    metainfo, records = content["metainfo"], content["data_list"]
    if not isinstance(metainfo, dict) or not isinstance(records, list):
        raise AnnotationError(
            f"{path}: metainfo is {type(metainfo).__name__}, data_list {type(records).__name__}; expected a dict and a list"
        )
    convert(metainfo, _Metainfo, where=f"{path}: metainfo", error=AnnotationError, remedy="correct it")
    wrong = next((number for number, record in enumerate(records) if not isinstance(record, dict)), None)
    if wrong is not None:
        raise AnnotationError(f"{path}: record {wrong} is a {type(records[wrong]).__name__}; a dict is expected")
    return {key: value for key, value in metainfo.items() if value is not None}, records


def check_records(records: list[dict], where: str | Path, *, required: Sequence[str] = ()) -> None:
    """Check the keys of records that karsl reads; whole numbers written as 3.0 or '3' become integers, in place.

    Args:
        records: Records, of a file or made by a dataset.
        where: Name of the records, for errors.
        required: Keys that each record needs.

    Raises:
        AnnotationError: If a value has the wrong type or range, or a key is missing; names the first record of each kind.

    Example:
        >>> records = [{"label": "3"}, {"label": 2}]
        >>> check_records(records, "a.json")
        >>> records
        [{'label': 3}, {'label': 2}]
    """
    try:
        msgspec.convert(records, list[_Record])  # type: ignore[valid-type]  # a few hundredths of a second for 75,300
        problems = []
    except _INVALID:
        problems = [(number, *problem) for number, record in enumerate(records) for problem in _wrong_values(record)]
    problems += _absent_keys(records, required)
    problems = problems or list(_wrong_paths(records))
    if problems:
        first: dict[str, tuple[int, str]] = {}
        for number, kind, text in problems:
            first.setdefault(kind, (number, text))
        counts = {kind: sum(problem[1] == kind for problem in problems) - 1 for kind in first}
        texts = [
            f"record {number} {text}" + (f" (and {pluralize(counts[kind], 'other record')})" if counts[kind] else "")
            for kind, (number, text) in first.items()
        ]
        raise AnnotationError(f"{where}: {'; '.join(texts)}")


def _wrong_values(record: dict) -> Iterator[tuple[str, str]]:
    """Yield key and description of each wrong value, after whole numbers have become integers."""
    for key in _NUMBERS:
        if key in record and not (key == "sign" and isinstance(record[key], str)):
            number = whole_number(record[key])
            record[key] = record[key] if number is None else number
    for key in record.keys() & _FIELDS.keys():
        value = record[key]
        plain = value.item() if isinstance(value, np.generic) else value
        plain = os.fspath(plain) if isinstance(plain, os.PathLike) else plain
        kind, expected = _FIELDS[key]
        try:
            msgspec.convert(plain, kind)
        except _INVALID:
            yield key, f"has {key}={shorten(value)}; {expected}"


def _absent_keys(records: list[dict], required: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield number, kind and description of each key that a record lacks."""
    for owner, needed in ((None, tuple(required)), *_COMPANIONS.items()):
        if not needed or not (owner is None or any(owner in record for record in records)):
            continue
        for number, record in enumerate(records):
            if owner is None or owner in record:
                yield from ((number, f"no {key}", f"has no {key!r}; add it") for key in needed if key not in record)


def _wrong_paths(records: list[dict]) -> Iterator[tuple[int, str, str]]:
    """Yield number, kind and description of paths that no file can have."""
    for key in _PATH_KEYS:
        paths = [str(record.get(key, "-")) for record in records]
        joined, longest = "/".join(paths), max(map(len, paths), default=0)
        if joined.isascii() and "\0" not in joined and "" not in paths and longest <= _MAX_NAME_BYTES:
            continue
        for number, path in enumerate(paths):
            if not is_file_name(path):
                yield number, "path", f"has {key}={shorten(path)}; no file can have this name"


def is_file_name(path: str) -> bool:
    """Return True if a text can be the path of a file.

    Example:
        >>> [is_file_name(path) for path in ("a/b.npy", "", "a\\0b", chr(0xD800), "a" * 256)]
        [True, False, False, False, False]
    """
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    parts = name.replace(b"\\", b"/").split(b"/")
    return 0 < len(name) < _MAX_PATH_BYTES and b"\0" not in name and max(map(len, parts)) <= _MAX_NAME_BYTES


def join_folder(folder: str | Path, path: str) -> str:
    r"""Join the path of a record to its folder; `\` of Windows separates folders unless a file has it in its name.

    Example:
        >>> join_folder("data", "01-train\\0001.npz")
        'data/01-train/0001.npz'
    """
    joined = os.path.join(folder, path)
    if "\\" in path and os.sep == "/" and not os.path.exists(joined):
        return os.path.join(folder, path.replace("\\", "/"))
    return joined


def shorten(value: Any, length: int = 60) -> str:
    """Return the representation of a value, at most `length` characters of it, for an error."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}..."


def check_class_count(labels: Collection[int], where: str | Path, *, names: int = 0) -> None:
    """Check that labels are not so large that lists of all classes fill the memory.

    Args:
        labels: Label of each clip.
        where: Name of the clips, for errors.
        names: Number of classes with a name.

    Raises:
        AnnotationError: If a label is negative, or above 10,000, the number of clips and that of names.
    """
    bound = max(MIN_CLASSES, len(labels), names)
    wrong = next((label for label in labels if not 0 <= label < bound), None)
    if wrong is not None:
        raise AnnotationError(
            f"{where}: label {wrong}; {pluralize(len(labels), 'clip')} without named classes may have labels 0 to "
            f"{bound - 1}, list the 'classes' in the metainfo or correct it"
        )


def write_annotations(path: str | Path, metainfo: dict, records: list[dict]) -> Path:
    """Write an annotation file with labels, without positions in archives.

    Args:
        path: A `.json` file; replaced atomically.
        metainfo: Dataset metadata. With `signs`, each record's label is the index of its `sign` there.
        records: One dict per clip.
    """
    label = {sign: i for i, sign in enumerate(metainfo.get("signs") or ())}
    data_list = []
    for record in records:
        stored = {key: value for key, value in record.items() if key != BYTE_RANGE_KEY}
        if record.get("sign") in label:
            stored["label"] = label[record["sign"]]
        data_list.append(stored)
    return write_data_list(path, metainfo, data_list)


def write_data_list(path: str | Path, metainfo: dict, records: list[dict]) -> Path:
    """Write `{"metainfo": ..., "data_list": [...]}` atomically, as UTF-8 with one record per line and readable Arabic."""
    with atomic_path(path) as temp, temp.open("w", encoding="utf-8") as stream:
        stream.write('{"metainfo": ' + json.dumps(metainfo, ensure_ascii=False) + ',\n"data_list": [\n')
        stream.write(",\n".join(json.dumps(r, ensure_ascii=False) for r in records))
        stream.write("\n]}\n")
    return Path(path)


def class_metainfo(signs: tuple[int, ...], table: LabelTable | None) -> dict:
    """Return `signs`, `classes` (English) and `classes_ar` of some SignIDs, in label order.

    Example:
        >>> class_metainfo((7, 9), None)
        {'signs': (7, 9), 'classes': ('0007', '0009')}
    """
    if table is None:
        return {"signs": signs, "classes": tuple(f"{s:04d}" for s in signs)}
    row = {s: i for i, s in enumerate(table.signs)}
    return {
        "signs": signs,
        "classes": tuple(table.english[row[s]] for s in signs),
        "classes_ar": tuple(table.arabic[row[s]] for s in signs),
    }
