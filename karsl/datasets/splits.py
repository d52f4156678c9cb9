"""Split files: which clips are in which part, their hash, and leakage between parts."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from xxhash import xxh3_64_hexdigest, xxh3_128

from karsl.errors import (
    AnnotationError,
    ConfigError,
    CorruptRecordError,
    DataErrors,
    DatasetNotFoundError,
    did_you_mean,
    pluralize,
)
from karsl.io.atomic import atomic_path
from karsl.io.file_index import Progress
from karsl.io.sources import ClipSource
from karsl.schema import convert, read_json

CLIP = "clip"
"""Name of the field that differs for each clip, its `clip_id`."""
CONTENT = "content"
SESSION = "session"
Disjoint = tuple[str, str, str]
_FORMAT = "karsl-split-1"
_NOT_OURS = "it is no split file of 'karsl splits make', or was edited"
_MAX_NAMED = 3
# `<chapter>_<signer>_<sign>_(DD_MM_YY_HH_MM_SS)_c`, the name of a clip of KArSL
_KARSL_NAME = re.compile(r"\d+_\d+_\d+_\((?P<day>\d+)_(?P<month>\d+)_(?P<year>\d+)_\d+_\d+_\d+\)")


@dataclass(frozen=True)
class Split:
    """Parts of a corpus.

    Args:
        name: Name, e.g. `leave-one-out-02`.
        parts: Ids of the clips by name of the part, such as `train`; stored in ascending order.
        disjoint: Triples of a field and two parts that must have no value of the field in common, as in
            `('signer', 'train', 'test')`. No clip and no content is in two parts, without being named here.
        protocol: Arguments that made the split, for readers.

    Example:
        >>> split = Split("mine", {"train": ("b", "a"), "test": ("c",)})
        >>> split.parts["train"], split.hash == Split("other", {"test": ("c",), "train": ("a", "b")}).hash
        (('a', 'b'), True)
    """

    name: str
    parts: Mapping[str, tuple[str, ...]]
    disjoint: tuple[Disjoint, ...] = ()
    protocol: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", {part: tuple(sorted(clips)) for part, clips in self.parts.items()})

    @cached_property
    def hash(self) -> str:
        """Hash of the names of the parts and of their clips, 32 hex digits."""
        digest = xxh3_128()
        for part in sorted(self.parts):
            digest.update(json.dumps([part, *self.parts[part]]).encode())
        return digest.hexdigest()

    def clips_of(self, parts: str | Sequence[str]) -> set[str]:
        """Return the ids of the clips of one or several parts. ConfigError if there is no such part."""
        names = [parts] if isinstance(parts, str) else list(parts)
        for name in names:
            if name not in self.parts:
                advice = "; make the split with --val-by, as in --val-by clip" if name == "val" else ""
                hint = did_you_mean(str(name), self.parts, f"it has {', '.join(self.parts)}{advice}")
                raise ConfigError(f"split {self.name!r} has no part {name!r}{hint}")
        return {clip for name in names for clip in self.parts[name]}


def write_split(path: str | Path, split: Split) -> Path:
    """Write a split as json, atomically, with one clip per line; the same split gives the same bytes."""
    head = {"format": _FORMAT, "name": split.name, "hash": split.hash, "protocol": dict(split.protocol)}
    with atomic_path(path) as temp, temp.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}"))
        stream.write(f',\n "disjoint": {json.dumps(split.disjoint)},\n "parts": {{')
        for number, (part, clips) in enumerate(split.parts.items()):
            lines = ",\n   ".join(json.dumps(clip, ensure_ascii=False) for clip in clips)
            stream.write(f"{',' * bool(number)}\n  {json.dumps(part, ensure_ascii=False)}: [\n   {lines}\n  ]")
        stream.write("\n }\n}\n")
    return Path(path)


def read_split(path: str | Path) -> Split:
    """Read a split file and check it.

    Raises:
        DatasetNotFoundError: If there is no such file; a FileNotFoundError.
        AnnotationError: If it is not a split file, or its clips are not those that its hash was made from.
        DataErrors: If a clip is in two parts.
    """
    if not Path(path).is_file():
        raise DatasetNotFoundError(f"no split file {str(path)!r}; 'karsl splits make' writes one")
    stored = read_json(path, error=AnnotationError, remedy=_NOT_OURS)
    content = convert(stored, _Content, where=path, error=AnnotationError, remedy=_NOT_OURS)
    if content.format != _FORMAT:
        raise AnnotationError(f"{path}: format {content.format!r}; expected {_FORMAT!r}, is karsl older than the file?")
    if unknown := {part for triple in content.disjoint for part in triple[1:]} - content.parts.keys():
        raise AnnotationError(
            f"{path}: 'disjoint' names no part {', '.join(sorted(unknown))}; it has {', '.join(content.parts)}"
        )
    split = Split(content.name, content.parts, content.disjoint, content.protocol)
    if leaks := list(_shared(split, CLIP, lambda clip: clip)):
        raise DataErrors(str(path), leaks)
    if split.hash != content.hash:
        raise AnnotationError(
            f"{path}: hash {content.hash!r} is not that of its clips, {split.hash}: it was edited; restore it, or give the "
            "edited parts a name and a hash of their own"
        )
    return split


@dataclass(frozen=True)
class _Content:
    """Content of a split file."""

    format: str
    name: str
    hash: str
    protocol: dict[str, Any]
    disjoint: tuple[Disjoint, ...]
    parts: dict[str, tuple[str, ...]]


def record_field(record: Mapping, name: str, session: re.Pattern | None = None) -> str | None:
    """Return the value of a field by which clips are grouped, None if the record has none.

    Args:
        record: Record with `clip_id`.
        name: `'clip'`, `'session'` or a key of the record such as `'signer'`. A session belongs to one signer. Without the
            key `session`, it is the date in the name that KArSL gives a clip.
        session: Regular expression that finds the session in the `clip_id`, as its first group or as a whole.

    Example:
        >>> record_field({"clip_id": "01-train/0071/03_01_0071_(01_12_16_12_30_00)_c", "signer": "01"}, "session")
        '01/2016-12-01'
        >>> record_field({"clip_id": "20240131_anna_7"}, "session", re.compile(r"^\\d{8}"))
        '20240131'
    """
    if name == CLIP:
        return str(record["clip_id"])
    value = record.get(name)
    if name == SESSION:
        if session is not None:
            found = session.search(str(record["clip_id"]))
            value = found and found[min(1, session.groups)]
        elif value is None and (found := _KARSL_NAME.search(str(record["clip_id"]))):
            value = f"20{found['year']}-{found['month']}-{found['day']}"
        if value is not None and record.get("signer") is not None:
            value = f"{record['signer']}/{value}"
    return None if value is None else str(value)


def hash_contents(source: ClipSource, progress: Progress | None = None) -> dict[str, str]:
    """Return a hash of the content of each clip, by `clip_id`. Clips of a pack are not read, since it stores checksums.

    Args:
        source: Source of the clips.
        progress: `progress(records, total)` wraps the iteration over clips.

    Raises:
        DataErrors: If clips cannot be read, with all of them.
    """
    contents, problems = {}, []
    for record in progress(source.records, len(source.records)) if progress else source.records:
        if record.get("xxh3") is not None:
            contents[str(record["clip_id"])] = f"{record['num_frames']} {record['xxh3']}"
            continue
        try:
            clip = source.read(record)
        except (CorruptRecordError, FileNotFoundError) as error:
            problems.append(str(error))
        else:
            contents[str(record["clip_id"])] = f"{len(clip)} {xxh3_64_hexdigest(np.ascontiguousarray(clip).data)}"
    if problems:
        raise DataErrors("the clips of the splits", problems, "--quick does not read clips")
    return contents


def find_leaks(
    split: Split, records: Sequence[Mapping], *, contents: Mapping[str, str] | None = None, session: re.Pattern | None = None
) -> list[str]:
    """Return one sentence for each value that is in two parts which must not share it, with names of clips.

    Args:
        split: The split.
        records: Records of the corpus.
        contents: Hash of the content of each clip, by `clip_id`. None does not compare contents.
        session: As for `record_field`.
    """
    known = {str(record["clip_id"]): record for record in records}
    absent = [clip for clips in split.parts.values() for clip in clips if clip not in known]
    problems = [] if not absent else [f"{pluralize(len(absent), 'clip')} of the split not in the corpus: {_named(absent)}"]
    problems += _shared(split, CLIP, lambda clip: clip)
    for name, *pair in split.disjoint:
        values = {clip: record_field(record, name, session) for clip, record in known.items()}
        unknown = [clip for part in pair for clip in split.parts[part] if clip in known and values[clip] is None]
        if unknown:
            problems.append(
                f"{pluralize(len(unknown), 'clip')} without {name}, which must differ by part: {_named(unknown)}"
            )
        problems += _shared(split, name, values.get, [tuple(pair)])
    if contents is not None:
        counts = Counter(clip for clips in split.parts.values() for clip in clips)
        problems += _shared(split, CONTENT, lambda clip: contents.get(clip) if counts[clip] == 1 else None)
    return problems


def _shared(
    split: Split, name: str, value_of: Callable[[str], str | None], pairs: Sequence[tuple] | None = None
) -> Iterator[str]:
    """Yield a sentence for each value that two parts share."""
    groups: dict[str, dict[str, list[str]]] = {}
    for part, clips in split.parts.items():
        groups[part] = defaultdict(list)
        for clip in clips:
            if (value := value_of(clip)) is not None:
                groups[part][value].append(clip)
    for one, other in combinations(split.parts, 2) if pairs is None else pairs:
        for value in sorted(groups[one].keys() & groups[other].keys()):
            first, second = groups[one][value], groups[other][value]
            if name == CLIP:
                yield f"clip {value!r} is in {one} and {other}"
            elif name == CONTENT:
                yield f"the same content is in {one} ({_named(first)}) and in {other} ({_named(second)})"
            else:
                yield f"{name} {value!r} is in {one} ({_named(first)}) and in {other} ({_named(second)})"


def _named(clips: Sequence[str]) -> str:
    more = len(clips) - _MAX_NAMED
    return ", ".join(map(repr, clips[:_MAX_NAMED])) + (f" and {more} more" if more > 0 else "")
